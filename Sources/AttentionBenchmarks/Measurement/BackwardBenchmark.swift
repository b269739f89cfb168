import Attention

/// The subject `backward`: attention forward and back, as training runs it.
public struct BackwardBenchmark: Sendable {
  /// What is measured.
  public var cases: [BenchmarkCase]
  /// What inputs, the order of the samples, and the heads that errors are sought in are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// Creates a benchmark.
  public init(cases: [BenchmarkCase], seed: Int = 0, repeats: Int? = nil) {
    self.cases = cases
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. Takes the memory of all cases together, and a quarter of what is left, 512 MiB at most.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<BackwardRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    let bits = UInt64(truncatingIfNeeded: seed)
    var works: [TimedWork] = []
    var measured: [Measured] = []
    for sizes in cases {
      let input = BackwardInput(sizes, seed: bits)
      progress(.init(stage: "checking \(sizes)", done: works.count, all: BackwardWay.allCases.count * cases.count))
      measured += BackwardBenchmark.check(input, seed: bits)
      let kept = input.forward()
      for way in BackwardWay.allCases {
        works.append(
          TimedWork("\(sizes) \(way.rawValue)", repeats: run.samples, budget: run.budget) { iterations in
            for _ in 0..<iterations {
              let forward = way == .backward ? kept : input.forward()
              if way != .forward { _ = input.gradients(through: forward) }
            }
          })
      }
    }
    let memory = cases.reduce(0) { $0 + $1.backwardMemoryEstimate }
    run.measure(works, taken: Int(min(memory, 0x1p62)), progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let rows = measured.indices.map { index in
      let forward = measured.indices.first {
        measured[$0].input.sizes == measured[index].input.sizes && measured[$0].way == .forward
      }
      return BackwardRow(
        measured[index], statistics[index], forwardMedian: forward.map { statistics[$0].median } ?? .nan,
        gemmPeak: run.machine.gemmPeak)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  /// A case by one of the ways, and what is known of its results.
  struct Measured {
    let input: BackwardInput
    let way: BackwardWay
    let verification: Verification
    /// Rows of the output, or of the gradients.
    let outputRows: Int
    /// Of the queries that were looked at, those into which a gradient flowed.
    let flowingQueries: Int?
  }

  private static func check(_ input: BackwardInput, seed: UInt64) -> [Measured] {
    let reference = BackwardReference(input, seed: seed)
    return BackwardWay.allCases.map { way in
      guard way != .forward else {
        let verification = Verification(input.input, seed: seed) { input.forward().output }
        return Measured(
          input: input, way: way, verification: verification, outputRows: input.input.outputRows, flowingQueries: nil)
      }
      let kept = way == .backward ? input.forward() : nil
      return Measured(
        input: input, way: way,
        verification: Verification(reference, seed: seed) { input.run(upstream: reference.upstream, kept: kept) },
        outputRows: reference.outputRows, flowingQueries: reference.flowingQueries)
    }
  }
}
