/// A value of a report, as every format writes it.
public enum ReportValue: Sendable, Equatable {
  /// Text.
  case text(String)
  /// A whole number.
  case integer(Int)
  /// A number; one that is not finite is written as null.
  case number(Double)
  /// Numbers in a row: an array in JSON, with spaces between in CSV.
  case numbers([Double])
  /// A truth value.
  case flag(Bool)
  /// No value.
  case null

  init(_ value: Int?) { self = value.map { .integer($0) } ?? .null }
  init(_ value: Double?) { self = value.map { $0.isFinite ? .number($0) : .null } ?? .null }
  init(_ value: Bool?) { self = value.map { .flag($0) } ?? .null }
  init(_ value: String?) { self = value.map { .text($0) } ?? .null }

  /// As JSON.
  public var json: String {
    switch self {
    case .text(let text): ReportValue.jsonString(text)
    case .integer(let value): "\(value)"
    // Swift prints the shortest decimal that reads back as the same number, which is JSON too.
    case .number(let value): value.isFinite ? "\(value)" : "null"
    case .numbers(let values): "[" + values.map { ReportValue.number($0).json }.joined(separator: ", ") + "]"
    case .flag(let value): "\(value)"
    case .null: "null"
    }
  }

  /// As a field of CSV, quoted where RFC 4180 asks for it.
  public var csv: String {
    switch self {
    case .text(let text):
      text.utf8.contains { [UInt8(ascii: ","), UInt8(ascii: "\""), 10, 13].contains($0) }
        ? "\"\(text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"" : text
    case .numbers(let values): values.map { ReportValue.number($0).json }.joined(separator: " ")
    case .null: ""
    default: json
    }
  }

  private static func jsonString(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\u{0}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}"..."\u{2029}":
        let digits = String(scalar.value, radix: 16)
        result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }
}

/// Something that a report writes as an object of JSON or a line of CSV.
public protocol ReportRecord: Sendable {
  /// Its fields, always all of them and in the same order.
  var fields: [(key: String, value: ReportValue)] { get }
}

extension ReportRecord {
  /// As an object of JSON on one line.
  public var json: String {
    "{" + fields.map { "\(ReportValue.text($0.key).json): \($0.value.json)" }.joined(separator: ", ") + "}"
  }
}

/// A record that a table has lines of.
public protocol ReportRow: ReportRecord {
  /// The columns of the table.
  static var columns: [TableColumn<Self>] { get }
  /// What tells rows apart, for a comparison with a baseline: such as case and path.
  var key: String { get }
  /// The fields that ``key`` is made of, with a space between them.
  static var keyFields: [String] { get }
  /// The median time, in milliseconds.
  var medianMilliseconds: Double { get }
  /// The median absolute deviation of the time, in milliseconds.
  var deviationMilliseconds: Double { get }
  /// The floating-point work of a call, in units of 10⁹, where it does not follow from ``key``.
  var comparedWork: Double? { get }
  /// What is wrong with the row's results, one phrase each, or none.
  var faults: [String] { get }
  /// Sentences below the table that some of the rows call for.
  static func footnotes(_ rows: [Self]) -> [String]
}

extension ReportRow {
  /// None: the key says it.
  public var comparedWork: Double? { nil }
}

/// A column of a table.
public struct TableColumn<Row>: Sendable {
  /// The heading.
  public let title: String
  /// Whether the cells are words, which stand on the left; numbers stand on the right.
  public let isText: Bool
  /// A row's cell.
  public let cell: @Sendable (Row) -> String

  init(_ title: String, isText: Bool = false, cell: @escaping @Sendable (Row) -> String) {
    self.title = title
    self.isText = isText
    self.cell = cell
  }
}
