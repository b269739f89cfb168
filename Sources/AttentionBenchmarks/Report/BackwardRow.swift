import Attention

/// What was measured of one case of attention forward and back, or one way only.
public struct BackwardRow: ReportRow, Equatable {
  /// The sizes; their canonical form names the case.
  public var sizes: BenchmarkCase
  /// "forward + backward", or a part of it.
  public var way: String
  /// The time of a call.
  public var timing: RowTiming
  /// Floating-point operations over what the mask leaves open, in units of 10⁹.
  public var usefulGFLOP: Double
  /// The median time over that of the forward pass over tracked tensors.
  public var timeOverForward: Double
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// Working memory beside inputs and results at the most.
  public var scratchBytes: Int
  /// What was checked of the results: of the gradients, except where there are none.
  public var checks: RowChecks
  /// Of the queries whose gradients were looked at, those into which a gradient flowed when they were; nil where there are
  /// no gradients.
  public var flowingQueries: Int?

  /// - Parameters:
  ///   - time: of a call, in milliseconds.
  ///   - forwardMedian: the forward pass's.
  init(_ measured: BackwardBenchmark.Measured, _ time: Statistics, forwardMedian: Double, gemmPeak: Double?) {
    let plan = measured.input.input.plan(.automatic)
    sizes = measured.input.sizes
    way = measured.way.rawValue
    timing = RowTiming(time)
    let operations = measured.way.usefulOperations(sizes, forward: plan.usefulOperations)
    usefulGFLOP = operations / 1e9
    timeOverForward = time.median / forwardMedian
    peakFraction = gemmPeak.map { operations / (time.median * 1e6) / $0 }
    scratchBytes =
      switch measured.way {
      case .both: max(plan.scratchBytes, plan.backwardScratchBytes)
      case .forward: plan.scratchBytes
      case .backward: plan.backwardScratchBytes
      }
    checks = RowChecks(measured.verification, outputRows: measured.outputRows)
    flowingQueries = measured.flowingQueries
  }

  /// Useful work over the median time.
  public var gflops: Double { usefulGFLOP / (timing.medianMilliseconds / 1e3) }

  /// Whether gradients were checked with one that flows into some of the queries only.
  var isFlowSampled: Bool { flowingQueries.map { $0 < sizes.heads / sizes.keyValueHeads * sizes.queryLength } ?? false }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("case", .text(sizes.description)), ("way", .text(way))] + timing.fields + [
      ("gflops", .number(gflops)), ("useful_gflop", .number(usefulGFLOP)),
      ("time_over_forward", .number(timeOverForward)), ("peak_fraction", .init(peakFraction)),
      ("scratch_bytes", .integer(scratchBytes)),
    ] + checks.fields + [
      ("error_flowing_queries", .init(flowingQueries)), ("batch", .integer(sizes.batch)),
      ("heads", .integer(sizes.heads)), ("kv_heads", .integer(sizes.keyValueHeads)),
      ("query_length", .integer(sizes.queryLength)), ("key_length", .integer(sizes.keyLength)),
      ("key_width", .integer(sizes.keyWidth)), ("value_width", .integer(sizes.valueWidth)),
      ("causal", .flag(sizes.isCausal)), ("window", .init(sizes.window)),
      ("softcap", .init(sizes.softcap.map(Double.init))),
    ]
  }

  /// Case and way.
  public var key: String { "\(sizes) \(way)" }
  /// Case and way.
  public static let keyFields = ["case", "way"]
  /// The median time of a call.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }
  /// What is wrong with the results.
  public var faults: [String] { checks.faults }

  /// The columns of the table.
  public static let columns: [TableColumn<BackwardRow>] = [
    TableColumn("case", isText: true) { $0.sizes.description },
    TableColumn("way", isText: true) { $0.way },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("× forward") { Decimals.fixed($0.timeOverForward, 2) },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("useful GFLOP") { Decimals.short($0.usefulGFLOP) },
    TableColumn("scratch") { Decimals.bytes($0.scratchBytes) },
    TableColumn("max error") { $0.checks.errorCell + ($0.isFlowSampled ? "‡" : "") },
    TableColumn("repeatable") { $0.checks.repeatableCell },
  ]

  /// How work is counted, and which errors were sought in a part.
  public static func footnotes(_ rows: [BackwardRow]) -> [String] {
    let flowing = rows.filter(\.isFlowSampled).map {
      "  \($0.key): into \($0.flowingQueries ?? 0) of \($0.sizes.heads / $0.sizes.keyValueHeads * $0.sizes.queryLength)"
    }
    return [
      "useful work: 2 products over the visible cells forward and 5 backward, where the scores are computed again: 3.5 "
        + "times the forward's if keys and values are equally wide",
      "max error: of the gradients of queries, keys and values, whose rows are counted together; of 'forward tracked', of "
        + "the output",
    ] + RowChecks.footnotes(rows.map { ($0.sizes.description, $0.way, $0.checks) })
      + (flowing.isEmpty
        ? [] : ["‡ checked on one kv head, with a gradient that flows into some of its queries only:"] + flowing)
  }
}
