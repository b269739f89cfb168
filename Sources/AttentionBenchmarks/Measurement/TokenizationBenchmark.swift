import Attention
import AttentionModels

/// The subject `tokenize`: texts through a tokenizer, on one thread and on all.
public struct TokenizationBenchmark: Sendable {
  /// What cuts the texts.
  public var tokenizer: SubwordTokenizer
  /// What is cut.
  public var texts: [String]
  /// What the order of the samples is drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// Creates a benchmark.
  public init(tokenizer: SubwordTokenizer, texts: [String], seed: Int = 0, repeats: Int? = nil) {
    self.tokenizer = tokenizer
    self.texts = texts
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. The texts together are one call.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<TokenizationRow> {
    let machine = MachineReport(seed: seed)
    let (tokenizer, texts) = (tokenizer, texts)
    let expected = texts.map { tokenizer.encode($0) }
    let isRepeatable = tokenizer.encode(texts) == expected
    let ways: [(name: String, threads: Int, run: () -> Void)] = [
      ("one by one", 1, { for text in texts { withExtendedLifetime(tokenizer.encode(text)) {} } }),
      ("batch", 1, { withExtendedLifetime(tokenizer.encodeOnThisThread(texts)) {} }),
      ("batch", machine.threads, { withExtendedLifetime(tokenizer.encode(texts)) {} }),
    ]
    var works = ways.map { way in
      TimedWork(way.name, repeats: repeats ?? AttentionBenchmark.defaultRepeats, budget: repeats == nil ? 3 : nil) {
        for _ in 0..<$0 { way.run() }
      }
    }
    var generator = SeededGenerator(seed: UInt64(truncatingIfNeeded: seed))
    works.measureInterleaved(using: &generator) { done, all, name in
      progress(.init(stage: "measuring \(name)", done: done, all: all))
    }
    let statistics = works.map { Statistics($0.samples).scaled(by: 1e3) }
    let bytes = texts.reduce(0) { $0 + $1.utf8.count }
    let tokens = expected.reduce(0) { $0 + $1.count }
    let rows = zip(ways, statistics).map { way, time in
      TokenizationRow(
        way: way.name, rowThreads: way.threads, timing: RowTiming(time), texts: texts.count, bytes: bytes,
        tokens: tokens,
        isRepeatable: isRepeatable)
    }
    return MeasuredReport(machine: machine, rows: rows, statistics: statistics)
  }
}
