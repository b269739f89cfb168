import Attention

/// What was measured of one linear map by one way.
public struct LinearRow: ReportRow, Equatable {
  /// The sizes; their canonical form names the case.
  public var sizes: LinearCase
  /// "linear", or a product by `cblas_sgemm` alone.
  public var way: String
  /// The time of a call.
  public var timing: RowTiming
  /// The product's operations over the median time.
  public var gflops: Double
  /// The median time of the faster `cblas_sgemm` over this one's.
  public var speedupOverSgemm: Double
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// The threads that computed: the engine's, or those that OpenBLAS took.
  public var threads: Int
  /// What was checked of the results.
  public var checks: RowChecks

  /// - Parameters:
  ///   - time: of a call, in milliseconds.
  ///   - sgemmMedian: the faster `cblas_sgemm`'s.
  init(
    _ sizes: LinearCase, _ way: LinearWay, _ time: Statistics, _ verification: Verification, sgemmMedian: Double,
    gemmPeak: Double?, threads: Int
  ) {
    self.sizes = sizes
    self.way = way.rawValue
    timing = RowTiming(time)
    gflops = sizes.operations / (time.median * 1e6)
    speedupOverSgemm = sgemmMedian / time.median
    peakFraction = gemmPeak.map { sizes.operations / (time.median * 1e6) / $0 }
    self.threads = threads
    checks = RowChecks(verification, outputRows: sizes.rows)
  }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("case", .text(sizes.description)), ("way", .text(way))] + timing.fields + [
      ("gflops", .number(gflops)), ("useful_gflop", .number(sizes.operations / 1e9)),
      ("speedup_over_sgemm", .number(speedupOverSgemm)), ("peak_fraction", .init(peakFraction)),
      ("row_threads", .integer(threads)),
    ] + checks.fields + [
      ("m", .integer(sizes.rows)), ("inputs", .integer(sizes.inputs)), ("outputs", .integer(sizes.outputs)),
      ("activation", .init(sizes.activation?.rawValue)),
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
  public static let columns: [TableColumn<LinearRow>] = [
    TableColumn("case", isText: true) { $0.sizes.description },
    TableColumn("way", isText: true) { $0.way },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("× sgemm") { Decimals.short($0.speedupOverSgemm) },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("max error") { $0.checks.errorCell },
    TableColumn("repeatable") { $0.checks.repeatableCell },
  ]

  /// What the products were computed by, and which errors were sought in a part.
  public static func footnotes(_ rows: [LinearRow]) -> [String] {
    let threads = rows.last { $0.way != LinearWay.linear.rawValue }?.threads ?? 1
    return [
      "sgemm: the product alone, without bias and activation, by one cblas_sgemm on \(threads) of OpenBLAS's own threads"
    ] + RowChecks.footnotes(rows.map { ($0.sizes.description, $0.way, $0.checks) })
  }
}
