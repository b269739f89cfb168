import Attention

/// What was measured of one ragged batch by one path.
public struct RaggedRow: ReportRow, Equatable {
  /// The lengths and the heads.
  public var name: String
  /// The path's name.
  public var path: String
  /// The time of a call.
  public var timing: RowTiming
  /// What was checked of its results.
  public var checks: RowChecks
  /// Floating-point operations over what the mask leaves open, in units of 10⁹.
  public var usefulGFLOP: Double
  /// Those that the path carries out.
  public var executedGFLOP: Double
  /// What is useful in the same batch with every sequence as long as the longest, over ``usefulGFLOP``: what padding
  /// would cost.
  public var paddingFactor: Double
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// ``gflops`` over those of the uniform batch of equal useful work; nil for a uniform batch.
  public var rateOverUniform: Double?
  /// Working memory beside inputs and outputs at the most.
  public var scratchBytes: Int
  /// The sequences.
  public var sequences: Int
  /// The tokens of all sequences.
  public var tokens: Int
  /// The sizes of the padded batch.
  public var padded: BenchmarkCase

  /// - Parameter time: of a call, in milliseconds.
  init(
    _ input: RaggedInput, _ path: AttentionPath, _ time: Statistics, _ verification: Verification, gemmPeak: Double?
  ) {
    let plan = input.plan(path)
    name = input.name
    self.path = path.rawValue
    timing = RowTiming(time)
    checks = RowChecks(verification, outputRows: input.outputRows)
    usefulGFLOP = plan.usefulOperations / 1e9
    executedGFLOP = plan.executedOperations / 1e9
    paddingFactor = input.paddingFactor
    scratchBytes = plan.scratchBytes
    sequences = input.layout.sequenceCount
    tokens = input.layout.tokenCount
    padded = input.padded
    peakFraction = gemmPeak.map { plan.usefulOperations / 1e9 / (time.median / 1e3) / $0 }
  }

  /// Useful work over the median time.
  public var gflops: Double { usefulGFLOP / (timing.medianMilliseconds / 1e3) }

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("case", .text(name)), ("path", .text(path))] + timing.fields + [
      ("gflops", .number(gflops)), ("useful_gflop", .number(usefulGFLOP)), ("executed_gflop", .number(executedGFLOP)),
      ("padding_factor", .number(paddingFactor)), ("rate_over_uniform", .init(rateOverUniform)),
      ("peak_fraction", .init(peakFraction)), ("scratch_bytes", .integer(scratchBytes)),
    ] + checks.fields + [
      ("sequences", .integer(sequences)), ("tokens", .integer(tokens)), ("longest", .integer(padded.queryLength)),
      ("heads", .integer(padded.heads)), ("kv_heads", .integer(padded.keyValueHeads)),
      ("key_width", .integer(padded.keyWidth)), ("value_width", .integer(padded.valueWidth)),
      ("causal", .flag(padded.isCausal)), ("window", .init(padded.window)),
      ("softcap", .init(padded.softcap.map(Double.init))),
    ]
  }

  /// Case and path.
  public var key: String { "\(name) \(path)" }
  /// Case and path.
  public static let keyFields = ["case", "path"]
  /// The median time of a call.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }
  /// Lists of lengths may share a name.
  public var comparedWork: Double? { usefulGFLOP }
  /// What is wrong with the results.
  public var faults: [String] { checks.faults }

  /// The columns of the table.
  public static let columns: [TableColumn<RaggedRow>] = [
    TableColumn("case", isText: true) { $0.name },
    TableColumn("path", isText: true) { $0.path },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("× uniform") { row in row.rateOverUniform.map { Decimals.fixed($0, 2) } ?? "–" },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("useful GFLOP") { Decimals.short($0.usefulGFLOP) },
    TableColumn("executed") { Decimals.short($0.executedGFLOP) },
    TableColumn("padding") { "× \(Decimals.short($0.paddingFactor))" },
    TableColumn("scratch") { Decimals.bytes($0.scratchBytes) },
    TableColumn("max error") { $0.checks.errorCell },
    TableColumn("repeatable") { $0.checks.repeatableCell },
  ]

  /// Which errors were sought in a part.
  public static func footnotes(_ rows: [RaggedRow]) -> [String] {
    RowChecks.footnotes(rows.map { ($0.name, $0.path, $0.checks) })
  }
}
