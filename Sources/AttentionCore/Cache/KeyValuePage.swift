import AttentionTensors
import CAttentionKernels

/// One block of keys and values of all kv heads: for each head the keys transposed, `[dk, blockKeys]`, then for each head
/// the values, `[blockKeys, padded dv]`, both in panels.
///
/// Pages are shared between caches that were forked, and written only while they have one owner.
final class KeyValuePage: @unchecked Sendable {
  // @unchecked: written by its only owner, read otherwise.

  private let storage: TensorStorage
  let tiling: FusedTiling
  let heads: Int

  var base: UnsafeMutablePointer<Float> { storage.base }

  static func scalars(_ tiling: FusedTiling, heads: Int) -> Int {
    heads * (tiling.panelScalars + tiling.valueBlockScalars)
  }

  init(_ tiling: FusedTiling, heads: Int) {
    self.tiling = tiling
    self.heads = heads
    storage = TensorStorage(minimumCapacity: KeyValuePage.scalars(tiling, heads: heads))
    // Columns without a key go through products, and behind the mask.
    base.update(repeating: 0, count: heads * tiling.panelScalars)
  }

  /// A copy of the first `keys` keys of another page.
  init(copying page: KeyValuePage, keys: Int) {
    tiling = page.tiling
    heads = page.heads
    let count = KeyValuePage.scalars(tiling, heads: heads)
    storage = TensorStorage(minimumCapacity: count)
    base.update(from: page.base, count: count)
  }

  func panel(_ head: Int) -> UnsafeMutablePointer<Float> { base + head * tiling.panelScalars }

  func values(_ head: Int) -> UnsafeMutablePointer<Float> {
    base + heads * tiling.panelScalars + head * tiling.valueBlockScalars
  }

  /// Writes keys and values at some of the page's positions.
  ///
  /// - Parameters:
  ///   - key: the first of `positions.count` rows of `heads · dk`.
  ///   - value: the same, of `heads · dv`.
  func write(_ positions: Range<Int>, key: UnsafePointer<Float>, value: UnsafePointer<Float>) {
    let (keyStride, valueStride) = (heads * tiling.keyWidth, heads * tiling.valueWidth)
    let (keys, values) = (keyLayout, tiling.valueLayout)
    for head in 0..<heads {
      keys.forEachPanel(of: positions) { columns, first, stride in
        KernelSet.kernels.pointee.transpose(
          key + (columns.lowerBound - positions.lowerBound) * keyStride + head * tiling.keyWidth, keyStride,
          panel(head) + first, stride, columns.count, tiling.keyWidth)
      }
      for (row, position) in positions.enumerated() {
        let source = value + row * valueStride + head * tiling.valueWidth
        values.store(source, count: tiling.valueWidth, row: position, in: self.values(head))
      }
    }
  }

  private var keyLayout: PanelLayout { tiling.keyLayout(columns: tiling.blockKeys) }

  /// One number of a key.
  func key(_ head: Int, position: Int, column: Int) -> Float {
    panel(head)[keyLayout.position(row: column, column: position)]
  }

  /// One number of a value.
  func value(_ head: Int, position: Int, column: Int) -> Float {
    values(head)[tiling.valueLayout.position(row: position, column: column)]
  }
}
