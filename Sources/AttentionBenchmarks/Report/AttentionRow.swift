/// What was measured of one case by one path.
public struct AttentionRow: ReportRow, Decodable, Equatable {
  /// The case's canonical form, or the name of its file.
  public var name: String
  /// The path's name.
  public var path: String
  /// The median time of a call, in milliseconds.
  public var medianMilliseconds: Double
  /// The median absolute deviation of the samples.
  public var deviationMilliseconds: Double
  /// The fastest sample.
  public var minimumMilliseconds: Double
  /// The samples taken.
  public var samples: Int
  /// Useful work over the median time.
  public var gflops: Double
  /// Floating-point operations over what the mask leaves open, in units of 10⁹.
  public var usefulGFLOP: Double
  /// Those that the path carries out.
  public var executedGFLOP: Double
  /// The naive path's median time over this one's; nil when the naive path was not run.
  public var speedupOverNaive: Double?
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// Working memory beside inputs and outputs at the most.
  public var scratchBytes: Int
  /// The largest distance from the float64 reference; nil where it is not finite.
  public var maximumError: Double?
  /// The rows of the output that it was sought in.
  public var errorRows: Int
  /// Whether two runs and one on a single thread gave the same bits.
  public var isRepeatable: Bool
  /// Whether errors are as small as the contract has it.
  public var isWithinContract: Bool
  /// The heads that were measured, of batch · heads.
  public var measuredHeads: Int
  /// The queries of each that were measured.
  public var measuredQueries: Int
  /// B.
  public var batch: Int
  /// Hq.
  public var heads: Int
  /// Hkv.
  public var keyValueHeads: Int
  /// Lq.
  public var queryLength: Int
  /// Lk.
  public var keyLength: Int
  /// dk.
  public var keyWidth: Int
  /// dv.
  public var valueWidth: Int
  /// Whether a query sees no key after its own position.
  public var isCausal: Bool
  /// The keys that a query sees at the most.
  public var window: Int?
  /// c in c·tanh(score/c).
  public var softcap: Double?

  enum CodingKeys: String, CodingKey, CaseIterable {
    case name = "case"
    case path
    case medianMilliseconds = "median_ms"
    case deviationMilliseconds = "mad_ms"
    case minimumMilliseconds = "min_ms"
    case samples, gflops
    case usefulGFLOP = "useful_gflop"
    case executedGFLOP = "executed_gflop"
    case speedupOverNaive = "speedup_over_naive"
    case peakFraction = "peak_fraction"
    case scratchBytes = "scratch_bytes"
    case maximumError = "max_abs_error"
    case errorRows = "error_rows"
    case isRepeatable = "repeatable"
    case isWithinContract = "within_contract"
    case measuredHeads = "measured_heads"
    case measuredQueries = "measured_queries"
    case batch, heads
    case keyValueHeads = "kv_heads"
    case queryLength = "query_length"
    case keyLength = "key_length"
    case keyWidth = "key_width"
    case valueWidth = "value_width"
    case isCausal = "causal"
    case window, softcap
  }

  /// The fields in the order of the keys.
  public var fields: [(key: String, value: ReportValue)] {
    CodingKeys.allCases.map { ($0.rawValue, value(of: $0)) }
  }

  private func value(of key: CodingKeys) -> ReportValue {
    switch key {
    case .name: .text(name)
    case .path: .text(path)
    case .medianMilliseconds: .number(medianMilliseconds)
    case .deviationMilliseconds: .number(deviationMilliseconds)
    case .minimumMilliseconds: .number(minimumMilliseconds)
    case .samples: .integer(samples)
    case .gflops: .number(gflops)
    case .usefulGFLOP: .number(usefulGFLOP)
    case .executedGFLOP: .number(executedGFLOP)
    case .speedupOverNaive: .init(speedupOverNaive)
    case .peakFraction: .init(peakFraction)
    case .scratchBytes: .integer(scratchBytes)
    case .maximumError: .init(maximumError)
    case .errorRows: .integer(errorRows)
    case .isRepeatable: .flag(isRepeatable)
    case .isWithinContract: .flag(isWithinContract)
    case .measuredHeads: .integer(measuredHeads)
    case .measuredQueries: .integer(measuredQueries)
    case .batch: .integer(batch)
    case .heads: .integer(heads)
    case .keyValueHeads: .integer(keyValueHeads)
    case .queryLength: .integer(queryLength)
    case .keyLength: .integer(keyLength)
    case .keyWidth: .integer(keyWidth)
    case .valueWidth: .integer(valueWidth)
    case .isCausal: .flag(isCausal)
    case .window: .init(window)
    case .softcap: .init(softcap)
    }
  }

  /// Case and path.
  public var key: String { "\(name) \(path)" }

  /// Case and path.
  public static let keyFields = [CodingKeys.name, .path].map(\.rawValue)

  /// Whether the time was scaled up from a part of the case.
  public var isScaled: Bool { measuredHeads < batch * heads || measuredQueries < queryLength }

  /// Whether the error was sought in fewer rows of the output than the case has.
  public var isErrorSampled: Bool { checks.isErrorSampled }

  /// Files of the same name may hold other problems.
  public var comparedWork: Double? { usefulGFLOP }

  /// That results differ from run to run, that they are not finite where they should be, or too far from float64.
  public var faults: [String] { checks.faults }

  /// What was checked of the results.
  private var checks: RowChecks {
    RowChecks(
      maximumError: maximumError, errorRows: errorRows, outputRows: batch * heads * queryLength,
      isRepeatable: isRepeatable, isWithinContract: isWithinContract)
  }
}

extension AttentionRow {
  /// The columns of the table.
  public static let columns: [TableColumn<AttentionRow>] = [
    TableColumn("case", isText: true) { $0.name },
    TableColumn("path", isText: true) { $0.path + ($0.isScaled ? "*" : "") },
    TableColumn("median ms") { Decimals.fixed($0.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.deviationMilliseconds, 3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("× naive") { row in row.speedupOverNaive.map { Decimals.short($0) } ?? "–" },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("useful GFLOP") { Decimals.short($0.usefulGFLOP) },
    TableColumn("executed") { Decimals.short($0.executedGFLOP) },
    TableColumn("scratch") { Decimals.bytes($0.scratchBytes) },
    TableColumn("max error") { $0.checks.errorCell },
    TableColumn("repeatable") { $0.checks.repeatableCell },
  ]

  /// What was measured in part, and which errors were sought in a part.
  public static func footnotes(_ rows: [AttentionRow]) -> [String] {
    let scaled = rows.filter(\.isScaled).map {
      let queries = $0.measuredQueries < $0.queryLength ? ", \($0.measuredQueries) of \($0.queryLength) queries" : ""
      return "  \($0.key): \($0.measuredHeads) of \($0.batch * $0.heads) heads\(queries)"
    }
    var notes: [String] = []
    if !scaled.isEmpty {
      notes = ["* measured on a part of the case, time and GFLOP/s scaled up by the useful work:"] + scaled
    }
    return notes + RowChecks.footnotes(rows.map { ($0.name, $0.path, $0.checks) })
  }
}
