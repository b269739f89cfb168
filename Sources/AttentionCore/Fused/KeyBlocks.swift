import AttentionTensors
import CAttentionKernels

/// The keys and values of one sequence and kv head, block by block: keys as panels `[dk, blockKeys]`, values as rows.
///
/// Panels are either there already, or a block is transposed into a buffer each time it is asked for.
struct KeyBlocks {
  let tiling: FusedTiling
  /// The keys that exist; nothing beyond them is read.
  let count: Int
  let keyRows: UnsafePointer<Float>
  let keyStride: Int
  let valueRows: UnsafePointer<Float>
  let valueStride: Int
  /// Panels of all blocks, one after another; nil to transpose a block when it is asked for.
  var panels: UnsafePointer<Float>?
  /// Padded values of all blocks; nil to use the rows where they are, or to pad a block when it is asked for.
  var paddedValues: UnsafePointer<Float>?
  /// Room for one panel and one block of padded values.
  var panelBuffer: UnsafeMutablePointer<Float>?
  var valueBuffer: UnsafeMutablePointer<Float>?

  /// Whether values can be used where they are.
  static func usesValuesInPlace(_ tiling: FusedTiling) -> Bool { tiling.valueWidth == tiling.paddedValueWidth }

  func keys(of block: Int) -> Range<Int> {
    block * tiling.blockKeys..<min(count, (block + 1) * tiling.blockKeys)
  }

  func panel(_ block: Int) -> UnsafePointer<Float> {
    if let panels { return panels + block * tiling.panelScalars }
    packPanel(block, into: panelBuffer!)
    return UnsafePointer(panelBuffer!)
  }

  /// Values with zeros in place of what is not finite: room for a block of them, and a factor for the others.
  typealias Cleaned = (memory: UnsafeMutablePointer<Float>, factor: Float)

  func values(_ block: Int, cleaned: Cleaned?) -> (base: UnsafePointer<Float>, stride: Int) {
    if let cleaned {
      padValues(block, into: cleaned.memory)
      clean(keys(of: block).count * tiling.paddedValueWidth, of: cleaned)
      return (UnsafePointer(cleaned.memory), tiling.paddedValueWidth)
    }
    if KeyBlocks.usesValuesInPlace(tiling) { return (valueRows + block * tiling.blockKeys * valueStride, valueStride) }
    if let paddedValues { return (paddedValues + block * tiling.valueBlockScalars, tiling.paddedValueWidth) }
    padValues(block, into: valueBuffer!)
    return (UnsafePointer(valueBuffer!), tiling.paddedValueWidth)
  }

  /// Transposes a block's keys; columns up to the next multiple of 16 are 0, those beyond are not touched.
  func packPanel(_ block: Int, into panel: UnsafeMutablePointer<Float>) {
    let keys = keys(of: block)
    KernelSet.kernels.pointee.transpose(
      keyRows + keys.lowerBound * keyStride, keyStride, panel, tiling.blockKeys, keys.count, tiling.keyWidth)
    let padded = ProductTiles.padded(keys.count)
    guard padded > keys.count else { return }
    for row in 0..<tiling.keyWidth {
      (panel + row * tiling.blockKeys + keys.count).update(repeating: 0, count: padded - keys.count)
    }
  }

  private func clean(_ count: Int, of cleaned: Cleaned) {
    for index in 0..<count {
      cleaned.memory[index] = cleaned.memory[index].isFinite ? cleaned.memory[index] * cleaned.factor : 0
    }
  }

  /// Copies a block's values, with zeros behind each row.
  func padValues(_ block: Int, into target: UnsafeMutablePointer<Float>) {
    let width = tiling.valueWidth
    for (row, key) in keys(of: block).enumerated() {
      let to = target + row * tiling.paddedValueWidth
      to.update(from: valueRows + key * valueStride, count: width)
      (to + width).update(repeating: 0, count: tiling.paddedValueWidth - width)
    }
  }
}
