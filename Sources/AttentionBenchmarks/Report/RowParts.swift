/// The time of one measurement as rows show it, in milliseconds.
public struct RowTiming: Sendable, Equatable {
  /// The median time of a call.
  public var medianMilliseconds: Double
  /// The median absolute deviation of the samples.
  public var deviationMilliseconds: Double
  /// The fastest sample.
  public var minimumMilliseconds: Double
  /// The samples taken.
  public var samples: Int

  /// - Parameter statistics: in milliseconds.
  init(_ statistics: Statistics) {
    medianMilliseconds = statistics.median
    deviationMilliseconds = statistics.medianAbsoluteDeviation
    minimumMilliseconds = statistics.minimum
    samples = statistics.count
  }

  /// The fields of a row.
  var fields: [(key: String, value: ReportValue)] {
    [
      ("median_ms", .number(medianMilliseconds)), ("mad_ms", .number(deviationMilliseconds)),
      ("min_ms", .number(minimumMilliseconds)), ("samples", .integer(samples)),
    ]
  }
}

/// What was checked about one measurement's results, as rows show it.
public struct RowChecks: Sendable, Equatable {
  /// The largest distance from the float64 reference; nil where it is not finite.
  public var maximumError: Double?
  /// The rows of the output that it was sought in.
  public var errorRows: Int
  /// The rows that the output has.
  public var outputRows: Int
  /// Whether two runs and one on a single thread gave the same bits.
  public var isRepeatable: Bool
  /// Whether errors are as small as the contract has it.
  public var isWithinContract: Bool

  /// Whether the error was sought in fewer rows than the output has.
  var isErrorSampled: Bool { errorRows < outputRows }

  /// That results differ from run to run, that they are not finite where they should be, or too far from float64.
  var faults: [String] {
    let error = maximumError.map { "its error of \(Decimals.short($0)) against float64 is too large" }
    return (isRepeatable ? [] : ["two runs, or one on a single thread, gave different bits"])
      + (isWithinContract && maximumError != nil ? [] : [error ?? "its error against float64 is not finite"])
  }

  /// The largest error as a cell of a table.
  var errorCell: String {
    (maximumError.map { Decimals.short($0) } ?? "not finite") + (isErrorSampled ? "†" : "")
  }

  /// Repeatability as a cell of a table.
  var repeatableCell: String { isRepeatable ? "yes" : "NO" }

  /// The fields of a row.
  var fields: [(key: String, value: ReportValue)] {
    [
      ("max_abs_error", .init(maximumError)), ("error_rows", .integer(errorRows)),
      ("output_rows", .integer(outputRows)), ("repeatable", .flag(isRepeatable)),
      ("within_contract", .flag(isWithinContract)),
    ]
  }

  /// The footnote on errors that were sought in a part of the output; rows of a case that looked at equally many share a
  /// line.
  ///
  /// - Parameter rows: the case, the rest of each row's key, and its checks.
  static func footnotes(_ rows: [(name: String, kind: String, checks: RowChecks)]) -> [String] {
    var kinds: [String: [String]] = [:]
    var sampled: [(name: String, rows: String)] = []
    for (name, kind, checks) in rows where checks.isErrorSampled {
      let share = "\(checks.errorRows) of \(checks.outputRows) rows"
      if kinds["\(name) \(share)", default: []].isEmpty { sampled.append((name, share)) }
      kinds["\(name) \(share)", default: []].append(kind)
    }
    guard !sampled.isEmpty else { return [] }
    return ["† the largest error over a part of the output's rows, drawn by the seed:"]
      + sampled.map {
        "  \($0.name) \(kinds["\($0.name) \($0.rows)", default: []].joined(separator: ", ")): \($0.rows)"
      }
  }
}

extension RowChecks {
  init(_ verification: Verification, outputRows: Int) {
    self.init(
      maximumError: verification.maximumError.isFinite ? verification.maximumError : nil,
      errorRows: verification.rows, outputRows: outputRows, isRepeatable: verification.isRepeatable,
      isWithinContract: verification.isWithinContract)
  }
}
