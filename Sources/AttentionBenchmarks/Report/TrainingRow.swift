/// What was measured of steps of training.
public struct TrainingRow: ReportRow, Equatable {
  /// The sizes.
  public var one: TrainingCase
  /// The time of a step.
  public var timing: RowTiming
  /// The scalars that are learnt.
  public var parameters: Int
  /// The operations of a step over the time, of what the machine's best products reach.
  public var peakFraction: Double?
  /// By how much memory grew at the most, in bytes.
  public var memory: Int?
  /// The losses of the first steps; nil where they are not finite.
  public var losses: [Double?]
  /// How far the slope of the loss along the gradient is from the gradient's norm, relative; nil where it is not finite.
  public var slopeError: Double?
  /// Whether two runs and one on a single thread gave the same bits.
  public var isRepeatable: Bool

  /// - Parameter time: of a step, in milliseconds.
  init(_ one: TrainingCase, _ time: Statistics, _ checks: TrainingChecks, gemmPeak: Double?) {
    self.one = one
    timing = RowTiming(time)
    parameters = Int(one.configuration.weightBytes / 4)
    peakFraction = gemmPeak.map { one.operations / (time.median * 1e6) / $0 }
    memory = checks.memory
    losses = checks.losses.map { $0.isFinite ? Double($0) : nil }
    slopeError = checks.slopeError.isFinite ? checks.slopeError : nil
    isRepeatable = checks.isRepeatable
  }

  /// The tokens of a second.
  public var tokensPerSecond: Double { Double(one.tokens) / (timing.medianMilliseconds / 1e3) }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("case", .text(one.description))] + timing.fields + [
      ("tokens_per_s", .number(tokensPerSecond)), ("peak_fraction", .init(peakFraction)),
      ("memory_bytes", .init(memory.map(Double.init))), ("parameters", .integer(parameters)),
    ] + losses.enumerated().map { ("loss_\($0)", .init($1)) } + [
      ("slope_error", .init(slopeError)), ("repeatable", .flag(isRepeatable)),
    ]
  }

  /// The case.
  public var key: String { one.description }
  /// The case.
  public static let keyFields = ["case"]
  /// The median time of a step.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }

  /// A central difference in float32 tells the slope to a thousandth or so.
  static let slopeTolerance = 0.02

  /// What is wrong with the results.
  public var faults: [String] {
    var faults: [String] = []
    if !isRepeatable { faults.append("two runs, or one on a single thread, gave different bits") }
    if !(slopeError.map { $0 <= TrainingRow.slopeTolerance } ?? false) {
      faults.append("the gradient is not the loss's slope: an error of \(slopeError.map(Decimals.short) ?? "NaN")")
    }
    if losses.contains(nil) || (losses.last ?? 0)! >= (losses.first ?? 0)! {
      faults.append("the loss does not fall: \(losses.map { $0.map(Decimals.short) ?? "NaN" })")
    }
    return faults
  }

  /// The columns of the table.
  public static let columns: [TableColumn<TrainingRow>] = [
    TableColumn("case", isText: true) { $0.one.description },
    TableColumn("parameters") { Decimals.short(Double($0.parameters)) },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 2) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 2) },
    TableColumn("tokens/s") { Decimals.short($0.tokensPerSecond) },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("memory") { row in row.memory.map { Decimals.bytes($0) } ?? "–" },
    TableColumn("slope error") { row in row.slopeError.map { Decimals.short($0) } ?? "not finite" },
    TableColumn("repeatable") { $0.isRepeatable ? "yes" : "NO" },
  ]

  /// How work is counted.
  public static func footnotes(_ rows: [TrainingRow]) -> [String] {
    [
      "% peak: linear maps count three times forward's work, attention three and a half times over its open half; the "
        + "update, norms and activations not at all",
      "slope error: of the loss along its gradient, by a central difference in float32",
    ]
  }
}
