/// What was measured of one tile.
public struct TuneRow: ReportRow, Equatable {
  /// What the tile is an alternative for: "fused d64", or "products".
  public var group: String
  /// Rows × keys of a tile, or a product.
  public var tile: String
  /// Whether the plan in use takes it; of products, whether it lies within the plan's bound.
  public var isPlanned: Bool
  /// The time of a call.
  public var timing: RowTiming
  /// Useful work over the median time.
  public var gflops: Double
  /// ``gflops`` over the best of the group.
  public var bestFraction: Double
  /// ``gflops`` over the GEMM peak of the same run.
  public var peakFraction: Double?
  /// The largest distance of its results from those of the plan's tile; nil for products.
  public var difference: Double?

  /// Whether the tile is as fast as the best of its group within 5%.
  public var isGoodEnough: Bool { bestFraction >= 1 - TuneBenchmark.tolerance }

  private var verdict: String {
    guard group != TuneRow.products else { return isPlanned ? "within the bound" : "beyond it" }
    return isPlanned ? "in use" + (bestFraction == 1 ? ", the best" : isGoodEnough ? ", within 5%" : ", SLOWER") : ""
  }

  /// The group of products on both sides of the bound of small ones.
  static let products = "products"

  /// The fields, always in this order.
  public var fields: [(key: String, value: ReportValue)] {
    [("group", .text(group)), ("tile", .text(tile)), ("in_use", .flag(isPlanned))] + timing.fields + [
      ("gflops", .number(gflops)), ("best_fraction", .number(bestFraction)), ("peak_fraction", .init(peakFraction)),
      ("difference", .init(difference)),
    ]
  }

  /// Group and tile.
  public var key: String { "\(group) \(tile)" }
  /// Group and tile.
  public static let keyFields = ["group", "tile"]
  /// The median time of a call.
  public var medianMilliseconds: Double { timing.medianMilliseconds }
  /// The median absolute deviation of the time.
  public var deviationMilliseconds: Double { timing.deviationMilliseconds }

  /// That a tile's results are others than the plan's by more than rounding.
  public var faults: [String] {
    guard let difference, !(difference <= 1e-5) else { return [] }
    return ["its results differ from the plan's by \(Decimals.short(difference))"]
  }

  /// The columns of the table.
  public static let columns: [TableColumn<TuneRow>] = [
    TableColumn("tiles of", isText: true) { $0.group },
    TableColumn("rows × keys", isText: true) { $0.tile },
    TableColumn("median ms") { Decimals.fixed($0.timing.medianMilliseconds, 3) },
    TableColumn("± MAD") { Decimals.fixed($0.timing.deviationMilliseconds, 3) },
    TableColumn("GFLOP/s") { Decimals.short($0.gflops) },
    TableColumn("% best") { Decimals.fixed(100 * $0.bestFraction, 1) },
    TableColumn("% peak") { row in row.peakFraction.map { Decimals.fixed(100 * $0, 1) } ?? "–" },
    TableColumn("plan", isText: true) { $0.verdict },
  ]

  /// Whether the plan in use is within 5% of the best, for each group.
  public static func footnotes(_ rows: [TuneRow]) -> [String] {
    var groups: [String] = []
    for row in rows where !groups.contains(row.group) { groups.append(row.group) }
    return groups.compactMap { group in
      let own = rows.filter { $0.group == group }
      guard own.contains(where: { !$0.isPlanned }) else {
        return "\(group): the plan knows no bound for this core"
      }
      guard let best = own.max(by: { $0.gflops < $1.gflops }),
        let planned = own.filter(\.isPlanned).max(by: { $0.gflops < $1.gflops })
      else { return nil }
      let name = group == TuneRow.products ? "\(planned.tile), within the plan's bound," : "the plan's \(planned.tile)"
      guard planned.tile != best.tile else { return "\(group): \(name) is the best found" }
      return "\(group): \(name) is \(Decimals.fixed(100 * (1 - planned.bestFraction), 1))% slower than \(best.tile)"
        + (planned.isGoodEnough ? ", within 5%" : "; another tile would be worth having")
    }
  }
}
