import Attention
import AttentionModels

/// The subject `embed`: texts to vectors, tokenisation included, in the ways that texts come.
public struct EmbeddingBenchmark: Sendable {
  /// What is measured.
  public let encoder: SentenceEncoder
  /// What reading it took.
  public let loading: ModelLoading
  /// The texts.
  public let texts: [String]
  /// The ways; beside ``EmbeddingMode/concurrent`` what it is compared with, ``EmbeddingMode/unsorted``.
  public let modes: [EmbeddingMode]
  /// The tasks of ``EmbeddingMode/concurrent``.
  public let tasks: Int
  /// What the order of the samples is drawn from.
  public let seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public let repeats: Int?

  /// Creates a benchmark.
  public init(
    encoder: SentenceEncoder, loading: ModelLoading, texts: [String],
    modes: [EmbeddingMode] = EmbeddingMode.ofOneCaller, tasks: Int = 8, seed: Int = 0, repeats: Int? = nil
  ) {
    self.encoder = encoder
    self.loading = loading
    self.texts = texts
    self.modes = modes.contains(.concurrent) && !modes.contains(.unsorted) ? [.unsorted] + modes : modes
    self.tasks = tasks
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<EmbeddingRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    let bits = UInt64(truncatingIfNeeded: seed)
    // Before the reference's float64 weights take memory, too.
    let peaks = modes.map { mode in
      progress(.init(stage: "embedding \(mode.rawValue)", done: 0, all: 0))
      _ = EmbeddingPass(encoder, texts, mode, tasks: tasks).run()
      return ProcessMemory.peakBytes
    }
    let reference = ReferenceEncoder(encoder.model)
    var works: [TimedWork] = []
    var measured: [(input: EmbeddingInput, verification: Verification, calls: Guarded<CallTimes>)] = []
    for mode in modes {
      let input = EmbeddingInput(EmbeddingPass(encoder, texts, mode, tasks: tasks), reference: reference)
      progress(.init(stage: "checking \(mode.rawValue)", done: works.count, all: modes.count))
      let calls = Guarded(CallTimes())
      measured.append((input, Verification(input, seed: bits) { input.pass.run() }, calls))
      works.append(
        TimedWork(
          mode.rawValue, repeats: run.samples, budget: run.budget,
          surround: { body in
            body()
            calls.withLock { $0.keepLast() }
          },
          run: { iterations in
            var seconds: [Double] = []
            for _ in 0..<iterations { _ = input.pass.run { seconds.append($0) } }
            calls.withLock { [seconds] in $0.last = seconds }
          }))
    }
    run.measure(works, taken: 0, progress: progress)
    let oneCaller = measured.firstIndex { $0.input.mode == .unsorted }
    let rows = measured.indices.map { index in
      let (input, verification, calls) = measured[index]
      var comparison: ConcurrencyComparison?
      if input.mode == .concurrent, let oneCaller {
        comparison = ConcurrencyComparison(
          input, seconds: Statistics(run.samples(of: index)).median, oneCaller: measured[oneCaller].input,
          seconds: Statistics(run.samples(of: oneCaller)).median)
      }
      let samples = run.samples(of: index)
      return EmbeddingRow(
        input, samples: samples, calls: calls.withLock { $0.kept.suffix(samples.count).flatMap(\.self) }, verification,
        comparison, loading: loading, peakBytes: peaks[index], gemmPeak: run.machine.gemmPeak)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: run.statistics.map { $0.scaled(by: 1e3) })
  }

  /// The texts' rows in the first of the ways, for a comparison with others'.
  public func rows() -> Tensor {
    let parts: [Tensor] = modes[0].calls(texts.count).map { encoder.embed(Array(texts[$0])) }
    return Tensor.concatenated(parts)
  }
}

/// The seconds of each call of a sample, those of warming up left out.
private struct CallTimes: Sendable {
  /// Of the last runs.
  var last: [Double] = []
  private(set) var kept: [[Double]] = []

  mutating func keepLast() { kept.append(last) }
}

/// Several tasks' work beside that of one caller, who makes the same calls one after another.
struct ConcurrencyComparison {
  /// The tasks' throughput over the one caller's.
  let throughputRatio: Double
  /// Whether each task's rows have the bits of the one caller's.
  let areRowsEqual: Bool

  init(_ tasks: EmbeddingInput, seconds: Double, oneCaller: EmbeddingInput, seconds oneCallerSeconds: Double) {
    throughputRatio = tasks.operations / seconds / (oneCaller.operations / oneCallerSeconds)
    let (found, expected, count) = (tasks.pass.run(), oneCaller.pass.run(), oneCaller.outputRows)
    areRowsEqual = (0..<tasks.callers).allSatisfy { task in
      Verification.haveSameBits(found.sliced(task * count..<(task + 1) * count), expected)
    }
  }
}
