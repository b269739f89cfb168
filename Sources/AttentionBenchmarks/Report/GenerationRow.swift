import AttentionModels

/// What was measured of one step of generation.
public struct GenerationRow: ReportRow, Equatable {
  /// The model, the depth and the batch.
  public var one: GenerationCase
  /// "prefill" or "decode".
  public var step: String
  /// The time of a step.
  public var timing: RowTiming
  /// The tokens that a step reads.
  public var tokens: Int
  /// The bytes of weights, and of keys and values, that a decoding step has to read; nil for prefill.
  public var readBytes: Double?
  /// What the machine read in the same run, in GB/s; nil where it was not measured.
  public var readBandwidth: Double?
  /// The products with weights over the time, of what the machine's best products reach; nil for decode.
  public var peakFraction: Double?
  /// The largest difference between scores with and without caches; nil where it is not finite.
  public var cacheDifference: Double?
  /// Whether two runs and one on a single thread gave the same bits.
  public var isRepeatable: Bool
  /// Whether scores with and without caches differ by no more than rounding.
  public var isWithinContract: Bool

  /// - Parameter time: of a step, in milliseconds.
  init(
    _ one: GenerationCase, _ step: GenerationStep, _ model: GPT2Configuration, _ time: Statistics,
    _ checks: GenerationChecks, readBandwidth: Double?, gemmPeak: Double?
  ) {
    self.one = one
    self.step = step.rawValue
    timing = RowTiming(time)
    cacheDifference = checks.difference.isFinite ? checks.difference : nil
    isRepeatable = checks.isRepeatable
    isWithinContract = checks.difference <= 1e-5 + 2e-5 * checks.size
    self.readBandwidth = readBandwidth
    switch step {
    case .prefill:
      tokens = one.batch * one.depth
      let operations =
        Double(tokens) * model.tokenOperations + 2 * Double(one.batch * model.width) * Double(model.vocabularySize)
      peakFraction = gemmPeak.map { operations / (time.median * 1e6) / $0 }
    case .decode:
      tokens = one.batch
      readBytes = model.stepBytes + model.cacheBytes(tokens: one.batch * one.depth)
    }
  }

  /// The tokens that are read in a second.
  public var tokensPerSecond: Double { Double(tokens) / (timing.medianMilliseconds / 1e3) }

  /// ``readBytes`` over the median time.
  public var gigabytesPerSecond: Double? { readBytes.map { $0 / 1e6 / timing.medianMilliseconds } }

  /// ``gigabytesPerSecond`` over the machine's read bandwidth in the same run.
  public var bandwidthFraction: Double? {
    guard let gigabytesPerSecond, let readBandwidth else { return nil }
    return gigabytesPerSecond / readBandwidth
  }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("case", .text(one.description)), ("step", .text(step))] + timing.fields + [
      ("tokens_per_s", .number(tokensPerSecond)), ("read_bytes", .init(readBytes)),
      ("gb_per_s", .init(gigabytesPerSecond)), ("bandwidth_fraction", .init(bandwidthFraction)),
      ("peak_fraction", .init(peakFraction)), ("cache_difference", .init(cacheDifference)),
      ("repeatable", .flag(isRepeatable)), ("within_contract", .flag(isWithinContract)),
      ("shape", .text(one.shape)), ("depth", .integer(one.depth)), ("batch", .integer(one.batch)),
      ("tokens", .integer(tokens)),
    ]
  }

  /// Case and step.
  public var key: String { "\(one) \(step)" }
  /// Case and step.
  public static let keyFields = ["case", "step"]
  /// The median time of a step.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }

  /// What is wrong with the results.
  public var faults: [String] {
    let difference = cacheDifference.map { "a difference of \(Decimals.short($0))" } ?? "one that is not finite"
    return (isRepeatable ? [] : ["two runs, or one on a single thread, gave different bits"])
      + (isWithinContract ? [] : ["scores with and without caches are not alike: \(difference)"])
  }

  /// The columns of the table.
  public static let columns: [TableColumn<GenerationRow>] = [
    TableColumn("case", isText: true) { $0.one.description },
    TableColumn("step", isText: true) { $0.step },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("tokens/s") { Decimals.short($0.tokensPerSecond) },
    TableColumn("to read") { row in row.readBytes.map { Decimals.bytes(Int($0)) } ?? "–" },
    TableColumn("GB/s") { row in row.gigabytesPerSecond.map { Decimals.short($0) } ?? "–" },
    TableColumn("% reads") { row in row.bandwidthFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("caches change") { row in row.cacheDifference.map { Decimals.short($0) } ?? "not finite" },
    TableColumn("repeatable") { $0.isRepeatable ? "yes" : "NO" },
  ]

  /// None.
  public static func footnotes(_ rows: [GenerationRow]) -> [String] { [] }
}
