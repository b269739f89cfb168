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
    self.inputs = inputs.named()
    self.paths = paths
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. Takes the memory of all inputs together, and a quarter of what is left, 512 MiB at most.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<AttentionRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    var measurements: [AttentionMeasurement] = []
    let all = inputs.count * paths.count
    for input in inputs {
      for path in paths {
        progress(.init(stage: "checking \(input.name) \(path.rawValue)", done: measurements.count, all: all))
        measurements.append(prepare(input, path, seed: UInt64(truncatingIfNeeded: seed)))
      }
    }
    run.measure(
      measurements.map { $0.work(repeats: run.samples, budget: run.budget) },
      taken: inputs.reduce(0) { $0 + ($1.memoryEstimate ?? 0) }, progress: progress)

    let statistics = zip(run.statistics, measurements).map { $0.scaled(by: 1e3 * $1.factor) }
    let rows = measurements.indices.map { index in
      let twin = measurements.indices.first {
        measurements[$0].path == .naive && measurements[$0].input.name == measurements[index].input.name
      }
      return measurements[index].row(
        statistics[index], naiveMedian: twin.map { statistics[$0].median }, gemmPeak: run.machine.gemmPeak ?? 0)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
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
      verification: Verification(piece, seed: seed) { piece.run(path) })
  }
}

/// What a run found, and what is to be said beside it.
public struct MeasuredReport<Row: ReportRow>: Sendable {
  /// The report.
  public let report: Report<Row>
  /// One sentence each, or none.
  public let warnings: [String]

  /// - Parameter statistics: one for each row, for warnings of outliers.
  init(machine: MachineReport, rows: [Row], statistics: [Statistics]) {
    report = Report(machine: machine, rows: rows)
    warnings = faultWarnings(rows) + outlierWarnings(zip(rows.map(\.key), statistics))
  }
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

/// Something that the rows of a report are named after.
protocol Named {
  var name: String { get set }
}

extension AttentionInput: Named {}

extension Array where Element: Named {
  /// The same with names of their own: rows, baselines and charts tell cases apart by name.
  func named() -> [Element] {
    var known: Set<String> = []
    return map { element in
      var element = element
      let name = element.name
      var copy = 2
      while !known.insert(element.name).inserted {
        element.name = "\(name) (\(copy))"
        copy += 1
      }
      return element
    }
  }
}
