import AttentionTensors

/// Which keys the rows of a tile see, and so which columns of which blocks the tile goes through.
struct TileKeys {
  let masks: FusedMasks
  let blockKeys: Int
  let sequence: Int
  /// The query heads of the group.
  let heads: Range<Int>
  /// Rows of the group, stacked query by query.
  let rows: Range<Int>
  /// From the first key that some row sees to the last.
  let union: Range<Int>
  /// Keys that every row sees, as far as intervals tell.
  let common: Range<Int>

  /// - Parameter interval: called with each row's number in the tile and the keys outside which it sees nothing.
  init(
    _ masks: FusedMasks, blockKeys: Int, sequence: Int, heads: Range<Int>, rows: Range<Int>,
    interval: (Int, Range<Int>) -> Void = { _, _ in }
  ) {
    self.masks = masks
    self.blockKeys = blockKeys
    self.sequence = sequence
    self.heads = heads
    self.rows = rows
    var (first, last, latest, earliest) = (Int.max, 0, 0, Int.max)
    let slides = masks.slides
    let sliding = masks.geometry.slidingInterval(sequence: sequence)
    for (index, (query, head)) in RowPlaces(rows: rows, heads: heads).enumerated() {
      let keys =
        slides ? sliding.keys(query) : masks.geometry.interval(sequence: sequence, head: head, query: query)
      interval(index, keys)
      latest = max(latest, keys.lowerBound)
      earliest = min(earliest, keys.upperBound)
      guard !keys.isEmpty else { continue }
      first = min(first, keys.lowerBound)
      last = max(last, keys.upperBound)
    }
    union = first < last ? first..<last : 0..<0
    common = latest < earliest ? latest..<earliest : 0..<0
  }

  /// Row r of a group is query r / G in the group's head r mod G.
  static func place(_ row: Int, heads: Range<Int>) -> (query: Int, head: Int) {
    guard heads.count > 1 else { return (row, heads.lowerBound) }
    let (query, head) = row.quotientAndRemainder(dividingBy: heads.count)
    return (query, heads.lowerBound + head)
  }

  /// Where each row is, in order.
  var places: RowPlaces { RowPlaces(rows: rows, heads: heads) }

  /// The blocks that hold keys of `union`.
  var blocks: Range<Int> {
    union.isEmpty ? 0..<0 : union.lowerBound / blockKeys..<(union.upperBound + blockKeys - 1) / blockKeys
  }

  /// The columns of a block that some row may see, in whole sixteens, and whether some row does not see some of them; nil
  /// where no row sees any.
  func visit(_ block: Int) -> (columns: Range<Int>, isPartial: Bool)? {
    let start = block * blockKeys
    let keys = union.clamped(to: start..<start + blockKeys)
    guard !keys.isEmpty else { return nil }
    let columns = (keys.lowerBound - start) / 16 * 16..<ProductTiles.padded(keys.upperBound - start)
    let isInside = common.lowerBound <= start + columns.lowerBound && start + columns.upperBound <= common.upperBound
    guard !masks.geometry.isIntervalsOnly else { return (columns, !isInside) }
    let queries = rows.lowerBound / heads.count..<(rows.upperBound - 1) / heads.count + 1
    let content = masks.content(sequence: sequence, heads: heads, queries: queries, block: block)
    guard content.contains(.allowed) else { return nil }
    return (columns, !isInside || content.contains(.forbidden))
  }
}

/// The query and the head of each of some rows, stacked query by query.
struct RowPlaces: Sequence, IteratorProtocol {
  private let heads: Range<Int>
  private var remaining: Int
  private var query: Int
  private var head: Int

  init(rows: Range<Int>, heads: Range<Int>) {
    self.heads = heads
    remaining = rows.count
    (query, head) = TileKeys.place(rows.lowerBound, heads: heads)
  }

  mutating func next() -> (query: Int, head: Int)? {
    guard remaining > 0 else { return nil }
    defer {
      remaining -= 1
      head += 1
      if head == heads.upperBound { (query, head) = (query + 1, heads.lowerBound) }
    }
    return (query, head)
  }
}
