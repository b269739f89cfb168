import Attention

/// The subject `ragged`: batches of sequences of unequal lengths, beside uniform ones of equal useful work.
public struct RaggedBenchmark: Sendable {
  /// What is measured.
  public var cases: [RaggedInput.Case]
  /// By which paths.
  public var paths: [AttentionPath]
  /// What inputs, the order of the samples, and the rows that errors are sought in are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// The lengths and heads that are measured unless others are asked for, and the paths.
  public static let (defaultLengths, defaultHeads) = ("zipf:256x512", "h12d64 h12d64-causal")
  /// Not the naive one, which takes seconds for a batch.
  public static let defaultPaths: [AttentionPath] = [.blas, .fused]

  /// Creates a benchmark.
  public init(
    cases: [RaggedInput.Case], paths: [AttentionPath] = defaultPaths, seed: Int = 0, repeats: Int? = nil
  ) {
    self.cases = cases
    self.paths = paths
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. Takes the memory of all cases together, and a quarter of what is left, 512 MiB at most.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<RaggedRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    let bits = UInt64(truncatingIfNeeded: seed)
    let inputs = cases.map { RaggedInput($0, seed: bits) }.named()
    var works: [TimedWork] = []
    var measured: [(index: Int, path: AttentionPath, verification: Verification)] = []
    for (index, input) in inputs.enumerated() {
      for path in paths {
        let name = "\(input.name) \(path.rawValue)"
        progress(.init(stage: "checking \(name)", done: works.count, all: inputs.count * paths.count))
        measured.append((index, path, Verification(input, seed: bits) { input.run(path) }))
        works.append(
          TimedWork(name, repeats: run.samples, budget: run.budget) { iterations in
            for _ in 0..<iterations { _ = input.run(path) }
          })
      }
    }
    run.measure(works, taken: cases.reduce(0) { $0 + ($1.memoryEstimate ?? 0) }, progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    var rows = zip(measured, statistics).map { found, time in
      RaggedRow(
        inputs[found.index], found.path, time, found.verification, gemmPeak: run.machine.gemmPeak)
    }
    for (row, found) in measured.enumerated() where !cases[found.index].source.isUniform {
      let twin = cases[found.index].uniformTwin
      let other = measured.firstIndex { cases[$0.index] == twin && $0.path == found.path }
      rows[row].rateOverUniform = other.map { rows[row].gflops / rows[$0].gflops }
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  // MARK: Cases

  /// Heads from the text of the command line: cases without b, q and k, such as `h12d64-causal`.
  public static func heads(parsing text: String, limits: CaseLimits = .init()) throws(BenchmarkCaseError)
    -> [BenchmarkCase]
  {
    try BenchmarkCase.list(parsing: text, given: ["b": 1, "q": 1, "k": 1], limits: limits)
  }

  /// All lengths with all heads; beside each batch of unequal lengths, the uniform one of equal useful work.
  ///
  /// - Parameter lengths: how they are told, and the lengths themselves.
  public static func cases(
    lengths: [(source: SequenceLengths, lengths: [Int])], heads: [BenchmarkCase], limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [RaggedInput.Case] {
    var cases: [RaggedInput.Case] = []
    var known: Set<RaggedInput.Case> = []
    var remaining = limits.memory
    for (source, lengths) in lengths {
      for heads in heads {
        let one = RaggedInput.Case(source, lengths: lengths, heads: heads)
        for each in source.isUniform ? [one] : [one, one.uniformTwin] where known.insert(each).inserted {
          guard let bytes = each.memoryEstimate else { throw .sizeOverflow(case: each.name) }
          guard bytes <= limits.memory else {
            throw .tooLarge(case: each.name, bytes: bytes, limit: limits.memory)
          }
          remaining -= bytes
          cases.append(each)
          guard cases.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
          guard remaining >= 0 else { throw .tooLargeTogether(cases: cases.count, limit: limits.memory) }
        }
      }
    }
    return cases
  }
}
