import AttentionTensors

/// How the fused path cuts a call: a function of the widths and of the OpenBLAS core alone, so that a row's bits depend
/// on nothing else.
struct FusedTiling: Sendable {
  let keyWidth: Int
  let valueWidth: Int
  /// Keys of a block, on a grid that starts at a sequence's first key.
  let blockKeys: Int
  /// Rows of a tile at the most.
  let maximumRows: Int
  /// The columns of V and of the output's accumulators, padded.
  let paddedValueWidth: Int
  /// The inner or outer extent that one product takes of a wide head at a time.
  let chunk: Int

  /// The columns of a panel of keys or values.
  let panelColumns: Int

  /// Blocks whose sums run in one accumulator; longer rows merge several. The parts of a split over threads begin on
  /// this grid, and every row is summed by it, split or not.
  static let segmentBlocks = 8

  init(keyWidth: Int, valueWidth: Int, tiles: ProductTiles = .current) {
    self.keyWidth = keyWidth
    self.valueWidth = valueWidth
    paddedValueWidth = ProductTiles.padded(valueWidth)
    let hasSmallProducts = tiles.smallVolume != nil
    chunk = hasSmallProducts ? 256 : .max
    panelColumns = tiles.panelColumns
    let widest = min(chunk, max(keyWidth, paddedValueWidth))
    // Of extremely wide heads a few rows fill the caches.
    let isHuge = max(keyWidth, valueWidth) > 4096
    blockKeys = isHuge ? 16 : tiles.panelColumns(inner: widest, limit: hasSmallProducts ? 128 : 256)
    maximumRows = isHuge ? 8 : tiles.rows(columns: blockKeys, inner: widest, limit: hasSmallProducts ? 64 : 128)
  }

  /// The layout of a block's keys, transposed, of which there are so many columns.
  func keyLayout(columns: Int) -> PanelLayout {
    PanelLayout(rows: keyWidth, columns: columns, panelColumns: min(columns, panelColumns))
  }

  /// The layout of a block's values where they are stored for products.
  var valueLayout: PanelLayout {
    PanelLayout(rows: blockKeys, columns: paddedValueWidth, panelColumns: min(paddedValueWidth, panelColumns))
  }

  var segmentKeys: Int { blockKeys * Self.segmentBlocks }
  var panelScalars: Int { keyWidth * blockKeys }
  var valueBlockScalars: Int { paddedValueWidth * blockKeys }

  func blocks(keys: Int) -> Int { (keys + blockKeys - 1) / blockKeys }
  func segments(keys: Int) -> Int { (keys + segmentKeys - 1) / segmentKeys }

  /// The blocks that hold these keys.
  func blocks(of keys: Range<Int>) -> Range<Int> {
    keys.isEmpty ? 0..<0 : keys.lowerBound / blockKeys..<blocks(keys: keys.upperBound)
  }

  /// The segments that hold these keys.
  func segments(of keys: Range<Int>) -> Range<Int> {
    keys.isEmpty ? 0..<0 : keys.lowerBound / segmentKeys..<segments(keys: keys.upperBound)
  }

  /// The scalars of packed blocks: panels, and padded values where they cannot be used in place.
  func packedScalars(blocks: Int) -> Int {
    blocks * (panelScalars + (KeyBlocks.usesValuesInPlace(self) ? 0 : valueBlockScalars))
  }

  /// The rows of a tile: nearly equal heights, and low ones where neighbouring rows see different keys, since a tile goes
  /// through every key that one of its rows sees.
  func tileRows(rows: Int, group: Int, averageKeys: Double, rowsDiffer: Bool) -> Int {
    var limit = maximumRows
    if rowsDiffer { limit = min(limit, max(16 * group, Int(averageKeys) * group / 8)) }
    limit = max(8, min(maximumRows, limit / 8 * 8))
    guard rows > limit else { return max(1, rows) }
    let tiles = (rows + limit - 1) / limit
    return min(limit, ((rows + tiles - 1) / tiles + 7) / 8 * 8)
  }

  /// The scalars of memory that one tile works in.
  var tileScalars: Int {
    maximumRows * (ProductTiles.padded(keyWidth) + blockKeys + 2 * paddedValueWidth) + 5
      * ProductTiles.padded(maximumRows)
  }
}
