/// What was measured of one product of the fixed list.
public struct GEMMRow: ReportRow, Decodable, Equatable {
  /// The tile's name, such as "NN 64×128×64".
  public var tile: String
  /// "NN" or "NT".
  public var call: String
  /// Rows of the left factor.
  public var rows: Int
  /// Columns of the result.
  public var columns: Int
  /// The dimension summed over.
  public var inner: Int
  /// The median time of one product on every thread, in milliseconds.
  public var medianMilliseconds: Double
  /// The median absolute deviation of the samples.
  public var deviationMilliseconds: Double
  /// The fastest sample.
  public var minimumMilliseconds: Double
  /// The samples taken.
  public var samples: Int
  /// All threads together.
  public var gflops: Double
  /// ``gflops`` over the best of the list.
  public var peakFraction: Double
  /// ``gflops`` over the FMA peak of the same run.
  public var fmaFraction: Double

  enum CodingKeys: String, CodingKey, CaseIterable {
    case tile, call
    case rows = "m"
    case columns = "n"
    case inner = "k"
    case medianMilliseconds = "median_ms"
    case deviationMilliseconds = "mad_ms"
    case minimumMilliseconds = "min_ms"
    case samples, gflops
    case peakFraction = "peak_fraction"
    case fmaFraction = "fma_fraction"
  }

  /// The fields in the order of the keys.
  public var fields: [(key: String, value: ReportValue)] {
    CodingKeys.allCases.map { ($0.rawValue, value(of: $0)) }
  }

  private func value(of key: CodingKeys) -> ReportValue {
    switch key {
    case .tile: .text(tile)
    case .call: .text(call)
    case .rows: .integer(rows)
    case .columns: .integer(columns)
    case .inner: .integer(inner)
    case .medianMilliseconds: .number(medianMilliseconds)
    case .deviationMilliseconds: .number(deviationMilliseconds)
    case .minimumMilliseconds: .number(minimumMilliseconds)
    case .samples: .integer(samples)
    case .gflops: .number(gflops)
    case .peakFraction: .number(peakFraction)
    case .fmaFraction: .number(fmaFraction)
    }
  }

  /// The tile's name.
  public var key: String { tile }

  /// The tile.
  public static let keyFields = [CodingKeys.tile.rawValue]

  /// None: the products are timed, not checked.
  public var faults: [String] { [] }

  /// The columns of the table.
  public static let columns: [TableColumn<GEMMRow>] = [
    TableColumn("tile", isText: true) { $0.tile },
    TableColumn("median µs") { Decimals.short($0.medianMilliseconds * 1e3) },
    TableColumn("± MAD") { Decimals.short($0.deviationMilliseconds * 1e3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("% peak") { Decimals.fixed(100 * $0.peakFraction, 1) },
    TableColumn("% FMA") { Decimals.fixed(100 * $0.fmaFraction, 1) },
  ]

  /// None.
  public static func footnotes(_ rows: [GEMMRow]) -> [String] { [] }
}
