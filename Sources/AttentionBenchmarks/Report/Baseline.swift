import Foundation

/// What a comparison needs of an earlier report, and no more: one that was saved before some keys existed will do.
public struct Baseline<Row: ReportRow>: Sendable {
  /// What it needs of one row.
  public struct Entry: Sendable, Equatable {
    /// What tells rows apart, such as case and path.
    public let key: String
    /// The median time, in milliseconds.
    public let medianMilliseconds: Double
    /// The median absolute deviation of the time, in milliseconds.
    public let deviationMilliseconds: Double
    /// The floating-point work of a call, in units of 10⁹, where the row tells.
    public let usefulGFLOP: Double?
  }

  /// The machine.
  public let machine: MachineIdentity
  /// The rows.
  public let entries: [Entry]

  /// Takes what is needed out of a report.
  public init(_ report: Report<Row>) {
    machine = report.machine.identity
    entries = report.rows.map {
      Entry(
        key: $0.key, medianMilliseconds: $0.medianMilliseconds, deviationMilliseconds: $0.deviationMilliseconds,
        usefulGFLOP: $0.comparedWork)
    }
  }

  /// Reads a report that was saved as JSON.
  public init(file path: String) throws(BenchmarkFileError) {
    let bytes = try TextFile.bytes(of: path)
    do {
      self = try JSONDecoder().decode(Baseline<Row>.self, from: Data(bytes))
    } catch let error as DecodingError {
      throw .notAReport(file: path, problem: Baseline.summary(of: error))
    } catch {
      throw .notAReport(file: path, problem: "it is not JSON")
    }
    guard entries.allSatisfy({ $0.medianMilliseconds > 0 && $0.deviationMilliseconds >= 0 }) else {
      throw .notAReport(file: path, problem: "a row's median_ms is not positive or its mad_ms is negative")
    }
  }

  /// One line on what the decoder stumbled over.
  private static func summary(of error: DecodingError) -> String {
    func place(_ path: [any CodingKey]) -> String {
      let names = path.map { key in key.intValue.map { "#\($0 + 1)" } ?? key.stringValue }
      return names.isEmpty ? "" : " in \(names.joined(separator: " "))"
    }
    switch error {
    case .keyNotFound(let key, let context): return "the key \(key.stringValue) is missing\(place(context.codingPath))"
    case .typeMismatch(_, let context), .valueNotFound(_, let context):
      return "a value of another type was expected\(place(context.codingPath))"
    default: return "it is not JSON"
    }
  }
}

extension Baseline: Decodable {
  private enum CodingKeys: String, CodingKey {
    case machine
    case entries = "rows"
  }
}

extension Baseline.Entry: Decodable {
  private struct Field: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }

  /// Reads the keys that are needed, whichever others there are.
  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    key = try Row.keyFields.map { try fields.decode(String.self, forKey: Field(stringValue: $0)) }
      .joined(separator: " ")
    medianMilliseconds = try fields.decode(Double.self, forKey: Field(stringValue: "median_ms"))
    deviationMilliseconds = try fields.decode(Double.self, forKey: Field(stringValue: "mad_ms"))
    usefulGFLOP = try fields.decodeIfPresent(Double.self, forKey: Field(stringValue: "useful_gflop"))
  }
}
