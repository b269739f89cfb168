import Attention
import AttentionBenchmarks
import Testing

/// The subject `tune`: what it tries, and what it says of it.
@Suite("Subject tune")
struct TuneTests {
  @Test(arguments: TuneBenchmark.widths)
  func thePlanAndOtherTilesAreTried(width: Int) {
    for core in ["Cooperlake", "Haswell"] {
      let tiles = ProductTiles(core: core)
      let sizes = TuneBenchmark.sizes(width: width, tiles: tiles)
      #expect(sizes.first == .planned(width: width) && sizes.count >= 5 && Set(sizes).count == sizes.count)
      for size in sizes.dropFirst() {
        #expect(size.blockKeys.isMultiple(of: 16) && size.maximumRows.isMultiple(of: 8))
        if let bound = tiles.smallVolume { #expect(size.blockKeys * size.maximumRows * width <= bound) }
      }
    }
  }

  /// A length that no block divides: edges of every size are passed.
  private static let rows = TuneBenchmark(repeats: 1, length: 600).run().report.rows

  @Test func everyTileGivesThePlansResults() {
    let measured = Self.rows
    #expect(Set(measured.map(\.key)).count == measured.count)
    for group in ["fused d32", "fused d64", "fused d128"] {
      let rows = measured.filter { $0.group == group }
      #expect(rows.count { $0.isPlanned } == 1 && rows[0].isPlanned && rows[0].difference == 0)
      #expect(rows.map(\.bestFraction).max() == 1)
      for row in rows {
        #expect(row.faults.isEmpty && row.difference ?? 1 < 1e-5, "\(row.key)")
        #expect(row.gflops > 0 && row.peakFraction ?? 0 > 0)
      }
    }
    let products = measured.filter { $0.group == "products" }
    #expect(products.map(\.tile).contains("NN 64×128×64") && products.allSatisfy { $0.difference == nil })
    if ProductTiles.current.smallVolume != nil {
      #expect(products.count { $0.isPlanned } == 4)
    } else {
      #expect(products.allSatisfy { $0.isPlanned })
    }
    let notes = TuneRow.footnotes(measured)
    #expect(notes.count == 4 && notes[1].hasPrefix("fused d64: the plan's "))
  }

  @Test func verdicts() {
    var rows = Array(Self.rows.filter { $0.group == "fused d64" }.prefix(2))
    func note(_ speed: Double) -> String {
      (rows[0].gflops, rows[0].bestFraction) = (speed, min(1, speed / 100))
      (rows[1].gflops, rows[1].bestFraction) = (100, min(1, 100 / speed))
      return TuneRow.footnotes(rows)[0]
    }
    let (plan, other) = (rows[0].tile, rows[1].tile)
    #expect(note(120) == "fused d64: the plan's \(plan) is the best found")
    #expect(note(96) == "fused d64: the plan's \(plan) is 4.0% slower than \(other), within 5%")
    #expect(
      note(90) == "fused d64: the plan's \(plan) is 10.0% slower than \(other); another tile would be worth having")
    #expect(rows[0].faults.isEmpty)
    rows[0].difference = 1e-3
    #expect(rows[0].faults == ["its results differ from the plan's by 0.001"])
    rows[0].difference = .infinity
    #expect(rows[0].faults.count == 1)
  }
}
