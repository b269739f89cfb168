import Attention

/// The main job of `attention bench`: inputs measured by several paths, with the machine's peaks in the same run.
public struct AttentionBenchmark: Sendable {
  /// What is measured.
  public var inputs: [AttentionInput]
  /// By which paths.
  public var paths: [AttentionPath]
  /// What the order of the samples, and the rows that errors are sought in, are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// The samples that are taken at the most unless the number is given.
  public static let defaultRepeats = 20
  /// A call of the naive path that would take longer is measured in part.
  private static let longestNaiveCall = 0.25

  /// Creates a benchmark.
  public init(
    inputs: [AttentionInput], paths: [AttentionPath] = [.naive, .blas, .fused], seed: Int = 0, repeats: Int? = nil
  ) {
    self.inputs = AttentionBenchmark.named(inputs)
    self.paths = paths
    self.seed = seed
    self.repeats = repeats
  }

  /// The inputs with names of their own: rows, baselines and charts tell cases apart by name.
  private static func named(_ inputs: [AttentionInput]) -> [AttentionInput] {
    var known: Set<String> = []
    return inputs.map { input in
      var input = input
      let name = input.name
      var copy = 2
      while !known.insert(input.name).inserted {
        input.name = "\(name) (\(copy))"
        copy += 1
      }
      return input
    }
  }

  /// Runs it. Takes the memory of all inputs together, and for a moment at the end a quarter of what is left, 512 MiB at most.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<AttentionRow> {
    TensorStorage.cacheLimit = min(TensorStorage.cacheLimit, CaseLimits.cacheShare)
    var machine = MachineReport(seed: seed)
    let bits = UInt64(truncatingIfNeeded: seed)
    var generator = SeededGenerator(seed: bits)
    var measurements: [AttentionMeasurement] = []
    let all = inputs.count * paths.count
    for input in inputs {
      for path in paths {
        progress(.init(stage: "checking \(input.name) \(path.rawValue)", done: measurements.count, all: all))
        measurements.append(prepare(input, path, seed: bits))
      }
    }
    let peaks = MachinePeaks(threads: machine.threads, repeats: repeats ?? Self.defaultRepeats, seed: bits)
    var works = measurements.map {
      $0.work(repeats: repeats ?? Self.defaultRepeats, budget: repeats == nil ? 1.2 : nil)
    }
    works += peaks.works
    works.measureInterleaved(using: &generator) { done, all, name in
      progress(.init(stage: "measuring \(name)", done: done, all: all))
    }
    progress(.init(stage: "reading memory", done: 0, all: 0))
    machine.readBandwidth = ReadBandwidth.measure(
      taken: inputs.reduce(0) { $0 + ($1.memoryEstimate ?? 0) }, rounds: min(5, repeats ?? 5), using: &generator)
    let measured = peaks.results(works.suffix(peaks.works.count))
    machine.gemmPeak = measured.gemmPeak
    machine.fmaPeak = measured.fmaPeak

    let statistics = zip(works, measurements).map { Statistics($0.samples).scaled(by: 1e3 * $1.factor) }
    let rows = measurements.indices.map { index in
      let twin = measurements.indices.first {
        measurements[$0].path == .naive && measurements[$0].input.name == measurements[index].input.name
      }
      return measurements[index].row(
        statistics[index], naiveMedian: twin.map { statistics[$0].median }, gemmPeak: measured.gemmPeak)
    }
    return MeasuredReport(
      report: Report(machine: machine, rows: rows),
      warnings: faultWarnings(rows) + outlierWarnings(zip(rows.map(\.key), statistics)))
  }

  /// Chooses how much to run, and checks its results: that warms it up, too.
  private func prepare(_ input: AttentionInput, _ path: AttentionPath, seed: UInt64) -> AttentionMeasurement {
    let plan = input.plan(path)
    var part = input.whole
    if path == .naive {
      let seconds = plan.usefulOperations / NaiveProbe.operationsPerSecond(like: input)
      if seconds > 1.5 * Self.longestNaiveCall {
        part = input.part(
          fraction: Self.longestNaiveCall / seconds, queryFraction: 2 * Self.longestNaiveCall / seconds,
          threads: Engine.threadCount.count)
      }
    }
    var piece = input.cut(to: part)
    var work = piece.plan(path).usefulOperations
    if work == 0 {
      // The part sees nothing (its sequences are empty): there is nothing to scale by.
      (part, piece, work) = (input.whole, input, plan.usefulOperations)
    }
    return AttentionMeasurement(
      input: input, path: path, part: part, piece: piece, plan: plan,
      factor: work > 0 ? plan.usefulOperations / work : 1,
      verification: Verification(piece, path: path, seed: seed))
  }
}

/// What a run found, and what is to be said beside it.
public struct MeasuredReport<Row: ReportRow>: Sendable {
  /// The report.
  public let report: Report<Row>
  /// One sentence each, or none.
  public let warnings: [String]
}

/// Says which results are wrong, however fast they were.
package func faultWarnings(_ rows: [some ReportRow]) -> [String] {
  rows.flatMap { row in row.faults.map { "\(row.key): \($0)" } }
}

/// Says which measurements were disturbed.
package func outlierWarnings(_ measured: some Sequence<(String, Statistics)>) -> [String] {
  measured.filter { $0.1.outliers > 0 }.map { name, statistics in
    "\(name): \(statistics.outliers) of \(statistics.count) samples \(statistics.outliers == 1 ? "is" : "are") far from "
      + "the median; was the machine busy?"
  }
}
