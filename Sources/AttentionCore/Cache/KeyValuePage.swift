import AttentionTensors
import CAttentionKernels

/// One block of keys and values of all kv heads: for each head the keys transposed, `[dk, blockKeys]`, and behind them
/// the values, `[blockKeys, padded dv]`, both in panels.
///
/// Pages are shared between caches that were forked, and written only while they have one owner.
final class KeyValuePage: @unchecked Sendable {
  // @unchecked: written by its only owner, read otherwise.

  let slab: KeyValueSlab
  private let place: Int
  let tiling: FusedTiling
  let heads: Int

  /// An empty page behind a sequence's last one, which it may have room beside.
  ///
  /// - Parameter slabPages: the pages of a new slab, if one is needed.
  init(_ tiling: FusedTiling, heads: Int, after last: KeyValuePage?, slabPages: Int) {
    self.tiling = tiling
    self.heads = heads
    (slab, place) = KeyValuePage.room(tiling, heads: heads, after: last, slabPages: slabPages)
    // Columns without a key go through products, and behind the mask.
    for head in 0..<heads { panel(head).update(repeating: 0, count: tiling.panelScalars) }
  }

  /// A copy of a page that is shared.
  init(copying page: KeyValuePage) {
    tiling = page.tiling
    heads = page.heads
    (slab, place) = KeyValuePage.room(tiling, heads: heads, after: page, slabPages: 1)
    for head in 0..<heads {
      panel(head).update(from: page.panel(head), count: KeyValueSlab.blockScalars(tiling))
    }
  }

  deinit { slab.giveBack(place) }

  private static func room(
    _ tiling: FusedTiling, heads: Int, after last: KeyValuePage?, slabPages: Int
  ) -> (KeyValueSlab, Int) {
    if let slab = last?.slab, let place = slab.take() { return (slab, place) }
    let slab = KeyValueSlab(tiling, heads: heads, pageCount: slabPages)
    return (slab, slab.take()!)
  }

  func panel(_ head: Int) -> UnsafeMutablePointer<Float> { slab.block(tiling, head: head, place: place) }

  func values(_ head: Int) -> UnsafeMutablePointer<Float> { panel(head) + tiling.panelScalars }

  /// Writes keys and values at some of the page's positions.
  ///
  /// - Parameters:
  ///   - key: the first of `positions.count` rows of `heads · dk`, `keyStride` apart.
  ///   - value: the same, of `heads · dv`.
  func write(
    _ positions: Range<Int>, key: UnsafePointer<Float>, keyStride: Int, value: UnsafePointer<Float>, valueStride: Int
  ) {
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

  /// Copies a key.
  func loadKey(_ head: Int, position: Int, into target: UnsafeMutablePointer<Float>) {
    let (first, stride) = (keyLayout.position(row: 0, column: position), keyLayout.panel(at: position).stride)
    let source = panel(head) + first
    for column in 0..<tiling.keyWidth { target[column] = source[column * stride] }
  }

  /// Copies a value.
  func loadValue(_ head: Int, position: Int, into target: UnsafeMutablePointer<Float>) {
    tiling.valueLayout.load(target, count: tiling.valueWidth, row: position, from: values(head))
  }
}
