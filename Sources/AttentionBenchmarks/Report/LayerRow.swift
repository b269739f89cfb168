import Attention

/// What was measured of one layer, or of a copy beside it.
public struct LayerRow: ReportRow, Equatable {
  /// The sizes; their canonical form names the case.
  public var sizes: LayerCase
  /// "forward", "training", or a copy.
  public var way: String
  /// The time of a call.
  public var timing: RowTiming
  /// Useful work of a call; nil where memory is what counts.
  public var usefulGFLOP: Double?
  /// ``usefulGFLOP`` over the median time.
  public var gflops: Double?
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// Bytes read once and written once over the median time; nil where work is what counts.
  public var gigabytesPerSecond: Double?
  /// ``gigabytesPerSecond`` over those of the faster copy.
  public var copyFraction: Double?
  /// What was checked of the output; nil for copies.
  public var checks: RowChecks?
  /// How far gradients are from float64's, relative; nil where there are none or the reference takes too long.
  public var slopeError: Double?
  /// The sequences that gradients were checked with.
  public var slopeSequences: Int?

  /// - Parameters:
  ///   - time: of a call, in milliseconds.
  ///   - fastestCopy: in milliseconds.
  init(_ measured: LayerBenchmark.Measured, _ time: Statistics, fastestCopy: Double?, gemmPeak: Double?) {
    sizes = measured.sizes
    way = measured.way
    timing = RowTiming(time)
    checks = measured.checks
    slopeError = measured.slopes.flatMap { $0.error.isFinite ? $0.error : nil }
    slopeSequences = measured.slopes?.sequences
    guard !sizes.kind.isRowwise else {
      gigabytesPerSecond = 8 * Double(sizes.rows * sizes.inputs) / (time.median * 1e6)
      copyFraction = fastestCopy.map { $0 / time.median }
      return
    }
    let operations = way == LayerWay.training.rawValue ? sizes.trainingOperations : sizes.forwardOperations
    usefulGFLOP = operations / 1e9
    gflops = operations / (time.median * 1e6)
    peakFraction = gemmPeak.map { operations / (time.median * 1e6) / $0 }
  }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    let noChecks = [
      "max_abs_error", "error_rows", "output_rows", "repeatable", "within_contract",
    ].map { (key: $0, value: ReportValue.init(Double?.none)) }
    return [("case", .text(sizes.description)), ("way", .text(way))] + timing.fields + [
      ("gflops", .init(gflops)), ("useful_gflop", .init(usefulGFLOP)), ("peak_fraction", .init(peakFraction)),
      ("gb_per_s", .init(gigabytesPerSecond)), ("copy_fraction", .init(copyFraction)),
    ] + (checks?.fields ?? noChecks) + [
      ("slope_error", .init(slopeError)), ("slope_sequences", .init(slopeSequences)),
      ("kind", .text(sizes.kind.rawValue)), ("rows", .integer(sizes.rows)), ("inputs", .integer(sizes.inputs)),
      ("outputs", .integer(sizes.outputs)),
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
  public var faults: [String] {
    guard let checks else { return [] }
    guard slopeSequences != nil, slopeError.map({ $0 <= LayerReference.SlopeCheck.tolerance }) != true else {
      return checks.faults
    }
    let error = slopeError.map { "an error of \(Decimals.short($0))" } ?? "an error that is not finite"
    return ["gradients do not fit float64's slopes: \(error), relative"]
      + (checks.isRepeatable ? [] : ["two runs, or one on a single thread, gave different bits"])
  }

  private var unchecked: Bool { way == LayerWay.training.rawValue && slopeSequences == nil }

  /// The columns of the table.
  public static let columns: [TableColumn<LayerRow>] = [
    TableColumn("case", isText: true) { $0.sizes.description },
    TableColumn("way", isText: true) { $0.way },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("GFLOP/s") { row in row.gflops.map { Decimals.short($0) } ?? "–" },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("GB/s") { row in row.gigabytesPerSecond.map { Decimals.short($0) } ?? "–" },
    TableColumn("× copy") { row in row.copyFraction.map { Decimals.fixed($0, 2) } ?? "–" },
    TableColumn("max error") { $0.checks?.errorCell ?? "–" },
    TableColumn("slope error") { row in
      row.slopeError.map { Decimals.short($0) } ?? (row.slopeSequences == nil ? "–" : "not finite")
    },
    TableColumn("repeatable") { $0.checks?.repeatableCell ?? "–" },
  ]

  /// How work is counted, and which errors were sought in a part.
  public static func footnotes(_ rows: [LayerRow]) -> [String] {
    let checked = rows.compactMap { row in row.checks.map { (row.sizes.description, row.way, $0) } }
    var notes: [String] = []
    if rows.contains(where: { $0.way == LayerWay.training.rawValue }) {
      notes += [
        "training: forward, and the gradients of all parameters and of the input; useful work counts linear maps three "
          + "times and attention three and a half times",
        "slope error: of the gradient of each parameter and of the input along a random direction, against central "
          + "differences in float64, the largest",
      ]
    }
    if rows.contains(where: \.sizes.kind.isRowwise) {
      notes.append("× copy: bytes read once and written once, over those of the faster copy of the same tensor")
    }
    notes += rows.filter(\.unchecked).map { "\($0.key): gradients not checked, float64 would take too long" }
    return notes + RowChecks.footnotes(checked)
  }
}
