/// The extents of a tile on the fused path, for `attention bench tune`, which tries others than the plan's.
package struct FusedTileSize: Sendable, Hashable {
  /// Keys of a block: a multiple of 16.
  package let blockKeys: Int
  /// Rows of a tile at the most: a multiple of 8.
  package let maximumRows: Int

  package init(blockKeys: Int, maximumRows: Int) {
    self.blockKeys = blockKeys
    self.maximumRows = maximumRows
  }

  /// What the plan takes for heads of this width.
  package static func planned(width: Int) -> FusedTileSize {
    let tiling = FusedTiling(keyWidth: width, valueWidth: width)
    return FusedTileSize(blockKeys: tiling.blockKeys, maximumRows: tiling.maximumRows)
  }
}

extension FusedTiling {
  /// - Parameter size: in place of the plan's.
  init(keyWidth: Int, valueWidth: Int, size: FusedTileSize?) {
    let planned = FusedTiling(keyWidth: keyWidth, valueWidth: valueWidth)
    self.keyWidth = keyWidth
    self.valueWidth = valueWidth
    paddedValueWidth = planned.paddedValueWidth
    chunk = planned.chunk
    panelColumns = planned.panelColumns
    blockKeys = size?.blockKeys ?? planned.blockKeys
    maximumRows = size?.maximumRows ?? planned.maximumRows
  }
}
