/// What was measured of texts through a tokenizer.
public struct TokenizationRow: ReportRow, Equatable {
  /// "one by one", a call for each text, or "batch", one for all.
  public var way: String
  /// The threads that tokenized.
  public var rowThreads: Int
  /// The time of all texts.
  public var timing: RowTiming
  /// The texts.
  public var texts: Int
  /// Their bytes in UTF-8.
  public var bytes: Int
  /// The tokens that they come to.
  public var tokens: Int
  /// Whether all threads gave what one text at a time gives.
  public var isRepeatable: Bool

  /// 10⁶ bytes of text in a second.
  public var megabytesPerSecond: Double { Double(bytes) / (timing.medianMilliseconds * 1e3) }
  /// Tokens in a second.
  public var tokensPerSecond: Double { Double(tokens) / (timing.medianMilliseconds * 1e-3) }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("way", .text(way)), ("row_threads", .integer(rowThreads))] + timing.fields + [
      ("mb_per_s", .number(megabytesPerSecond)), ("tokens_per_s", .number(tokensPerSecond)), ("texts", .integer(texts)),
      ("bytes", .integer(bytes)), ("tokens", .integer(tokens)), ("repeatable", .flag(isRepeatable)),
    ]
  }

  /// Way and threads.
  public var key: String { "\(way) \(rowThreads)" }
  /// Way and threads.
  public static let keyFields = ["way", "row_threads"]
  /// The median time of all texts.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }
  /// What is wrong with the results.
  public var faults: [String] { isRepeatable ? [] : ["all threads together gave other tokens than one text at a time"] }

  /// The columns of the table.
  public static let columns: [TableColumn<TokenizationRow>] = [
    TableColumn("way", isText: true) { $0.way },
    TableColumn("threads") { "\($0.rowThreads)" },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("MB/s") { Decimals.short($0.megabytesPerSecond) },
    TableColumn("10⁶ tokens/s") { Decimals.short($0.tokensPerSecond / 1e6) },
    TableColumn("repeatable") { $0.isRepeatable ? "yes" : "NO" },
  ]

  /// How much text there was.
  public static func footnotes(_ rows: [TokenizationRow]) -> [String] {
    rows.first.map { ["\($0.texts) texts, \($0.bytes) bytes, \($0.tokens) tokens"] } ?? []
  }
}
