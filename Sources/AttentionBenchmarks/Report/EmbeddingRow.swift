import Attention

/// What was measured of embedding texts in one way.
public struct EmbeddingRow: ReportRow, Equatable {
  /// How the texts came: see ``EmbeddingMode``.
  public var mode: String
  /// The model's name.
  public var model: String
  /// How many embedded all texts at once: 1, or the tasks.
  public var callers: Int
  /// The throughput over that of one caller who makes the same calls one after another; nil for one caller.
  public var throughputRatio: Double?
  /// Whether each task got the bits that the one caller got; nil for one caller.
  public var areRowsEqual: Bool?
  /// The texts of a pass, of all callers together.
  public var texts: Int
  /// Their tokens, those of the template among them.
  public var tokens: Int
  /// The time of a pass.
  public var timing: RowTiming
  /// Each pass, in seconds.
  public var samples: [Double]
  /// The median and the 99th percentile of a call, in milliseconds.
  public var callMilliseconds: (median: Double, high: Double) { (callMedian, callHigh) }
  private var callMedian: Double
  private var callHigh: Double
  /// The useful operations of a pass over its median time.
  public var gflops: Double
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// The share of tokens in what an engine would compute that pads 32 texts at a time.
  public var paddingEfficiency: Double
  /// What reading the model took.
  public var loading: ModelLoading
  /// The most memory that the process had taken after a pass.
  public var peakBytes: Int
  /// What was checked of the rows.
  public var checks: RowChecks

  /// - Parameters:
  ///   - samples: of a pass, in seconds.
  ///   - calls: the seconds of each call.
  init(
    _ input: EmbeddingInput, samples: [Double], calls: [Double], _ verification: Verification,
    _ comparison: ConcurrencyComparison?, loading: ModelLoading, peakBytes: Int, gemmPeak: Double?
  ) {
    mode = input.mode.rawValue
    model = loading.name
    callers = input.callers
    throughputRatio = comparison?.throughputRatio
    areRowsEqual = comparison?.areRowsEqual
    texts = callers * input.texts.count
    tokens = callers * input.lengths.reduce(0, +)
    self.samples = samples
    let time = Statistics(samples)
    timing = RowTiming(time.scaled(by: 1e3))
    let sorted = calls.sorted()
    callMedian = sorted.isEmpty ? 0 : Statistics.median(sorted) * 1e3
    callHigh = sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, sorted.count * 99 / 100)] * 1e3
    gflops = input.operations / time.median / 1e9
    peakFraction = gemmPeak.map { input.operations / time.median / 1e9 / $0 }
    paddingEfficiency = input.paddingEfficiency
    self.loading = loading
    self.peakBytes = peakBytes
    checks = RowChecks(verification, outputRows: input.outputRows)
  }

  private var seconds: Double { timing.medianMilliseconds / 1e3 }
  /// Tokens in a second.
  public var tokensPerSecond: Double { Double(tokens) / seconds }
  /// Texts in a second.
  public var textsPerSecond: Double { Double(texts) / seconds }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [
      ("mode", .text(mode)), ("model", .text(model)), ("callers", .integer(callers)), ("texts", .integer(texts)),
      ("tokens", .integer(tokens)),
    ]
      + timing.fields + [
        ("sample_seconds", .numbers(samples)), ("tokens_per_s", .number(tokensPerSecond)),
        ("texts_per_s", .number(textsPerSecond)), ("of_one_caller", .init(throughputRatio)),
        ("call_p50_ms", .number(callMedian)),
        ("call_p99_ms", .number(callHigh)), ("gflops", .number(gflops)), ("peak_fraction", .init(peakFraction)),
        ("padding_efficiency", .number(paddingEfficiency)), ("load_ms", .number(loading.seconds * 1e3)),
        ("load_resident_bytes", .init(loading.residentGrowth)), ("weight_bytes", .integer(loading.weightBytes)),
        ("peak_bytes", .integer(peakBytes)),
      ] + checks.fields
  }

  /// Mode and model.
  public var key: String { "\(mode) \(model)" }
  /// Mode and model.
  public static let keyFields = ["mode", "model"]
  /// The useful work of a pass: other texts are another case.
  public var comparedWork: Double? { gflops * seconds }
  /// The median time of a pass.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }
  /// What is wrong with the results.
  public var faults: [String] {
    checks.faults + (areRowsEqual == false ? ["tasks at once got other bits than one caller"] : [])
  }

  /// The columns of the table.
  public static let columns: [TableColumn<EmbeddingRow>] = [
    TableColumn("texts", isText: true) { $0.mode },
    TableColumn("count") { "\($0.texts)" },
    TableColumn("tokens") { "\($0.tokens)" },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("texts/s") { Decimals.short($0.textsPerSecond) },
    TableColumn("tokens/s") { Decimals.short($0.tokensPerSecond) },
    TableColumn("of one caller") { row in row.throughputRatio.map { Decimals.fixed($0, 3) } ?? "–" },
    TableColumn("call p50 ms") { Decimals.fixed($0.callMedian, 3) },
    TableColumn("p99") { Decimals.fixed($0.callHigh, 3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("if padded") { Decimals.fixed(100 * $0.paddingEfficiency, 0) + "%" },
    TableColumn("peak memory") { Decimals.bytes($0.peakBytes) },
    TableColumn("max error") { $0.checks.errorCell },
    TableColumn("repeatable") { $0.checks.repeatableCell },
  ]

  /// What loading took, and which errors were sought in a part.
  public static func footnotes(_ rows: [EmbeddingRow]) -> [String] {
    let loading = rows.first.map { row in
      let growth = row.loading.residentGrowth.map { ", \(Decimals.bytes($0)) of memory" } ?? ""
      return "\(row.model) was read in \(Decimals.fixed(row.loading.seconds * 1e3, 0)) ms\(growth)"
        + " (its weights are \(Decimals.bytes(row.loading.weightBytes)))"
    }
    return (loading.map { [$0] } ?? []) + RowChecks.footnotes(rows.map { ($0.mode, $0.model, $0.checks) })
  }
}
