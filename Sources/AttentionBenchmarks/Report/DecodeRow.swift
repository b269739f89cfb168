/// What was measured of one case of decoding.
public struct DecodeRow: ReportRow, Equatable {
  /// The case's canonical form.
  public var name: String
  /// The step's name.
  public var step: String
  /// The time of a step.
  public var timing: RowTiming
  /// What was checked of its results.
  public var checks: RowChecks
  /// The bytes of keys and values that a step has to read.
  public var readBytes: Int
  /// The caches that took turns, so that none was still in the processor's own caches.
  public var copies: Int
  /// Whether the processor's caches could serve the steps all the same.
  public var isWarm: Bool
  /// What the machine read in the same run, in GB/s; nil where it was not measured.
  public var readBandwidth: Double?
  /// The sizes.
  public var sizes: BenchmarkCase

  /// - Parameter time: of a step, in milliseconds.
  init(
    _ input: DecodeInput, _ step: DecodeStep, _ time: Statistics, _ verification: Verification, readBandwidth: Double?
  ) {
    name = input.name
    self.step = step.rawValue
    timing = RowTiming(time)
    checks = RowChecks(verification, outputRows: input.outputRows)
    readBytes = input.readBytes
    copies = input.copies
    isWarm = input.copies * input.readBytes < DecodeInput.coldBytes
    self.readBandwidth = readBandwidth
    sizes = input.sizes
  }

  /// Tokens a second, of all sequences together.
  public var tokensPerSecond: Double { Double(sizes.batch) / (timing.medianMilliseconds / 1e3) }

  /// ``readBytes`` over the median time.
  public var gigabytesPerSecond: Double { Double(readBytes) / 1e9 / (timing.medianMilliseconds / 1e3) }

  /// ``gigabytesPerSecond`` over the machine's read bandwidth in the same run.
  public var bandwidthFraction: Double? { readBandwidth.map { gigabytesPerSecond / $0 } }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("case", .text(name)), ("step", .text(step))] + timing.fields + [
      ("tokens_per_s", .number(tokensPerSecond)), ("read_bytes", .integer(readBytes)),
      ("gb_per_s", .number(gigabytesPerSecond)), ("bandwidth_fraction", .init(bandwidthFraction)),
      ("caches", .integer(copies)), ("served_by_cache", .flag(isWarm)),
    ] + checks.fields + [
      ("batch", .integer(sizes.batch)), ("heads", .integer(sizes.heads)), ("kv_heads", .integer(sizes.keyValueHeads)),
      ("depth", .integer(sizes.keyLength)), ("key_width", .integer(sizes.keyWidth)),
      ("value_width", .integer(sizes.valueWidth)), ("window", .init(sizes.window)),
      ("softcap", .init(sizes.softcap.map(Double.init))),
    ]
  }

  /// Case and step.
  public var key: String { "\(name) \(step)" }
  /// Case and step.
  public static let keyFields = ["case", "step"]
  /// The median time of a step.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }
  /// What is wrong with the results.
  public var faults: [String] { checks.faults }

  /// The columns of the table.
  public static let columns: [TableColumn<DecodeRow>] = [
    TableColumn("case", isText: true) { $0.name },
    TableColumn("step", isText: true) { $0.step },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("tokens/s") { Decimals.short($0.tokensPerSecond) },
    TableColumn("K and V") { Decimals.bytes($0.readBytes) },
    TableColumn("caches") { "\($0.copies)\($0.isWarm ? "‡" : "")" },
    TableColumn("GB/s") { Decimals.short($0.gigabytesPerSecond) },
    TableColumn("% reads") { row in row.bandwidthFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("max error") { $0.checks.errorCell },
    TableColumn("repeatable") { $0.checks.repeatableCell },
  ]

  /// Which cases tell nothing about memory, and which errors were sought in a part.
  public static func footnotes(_ rows: [DecodeRow]) -> [String] {
    let warm = rows.contains(where: \.isWarm)
    let cold = Decimals.bytes(DecodeInput.coldBytes)
    return RowChecks.footnotes(rows.map { ($0.name, $0.step, $0.checks) })
      + (warm ? ["‡ all caches together hold less than \(cold): the processor's own may serve the steps"] : [])
  }
}
