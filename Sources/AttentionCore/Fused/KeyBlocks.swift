import AttentionTensors
import CAttentionKernels

/// The keys and values of one sequence and kv head, block by block: keys as panels `[dk, blockKeys]`, values as rows.
struct KeyBlocks {
  let tiling: FusedTiling
  /// The first key that is there; nothing before it is read.
  let first: Int
  /// The keys that exist, those before `first` included; nothing beyond them is read.
  let count: Int
  /// From row to row of a panel: short sequences lie close together.
  let panelStride: Int
  private let source: Source

  private enum Source {
    /// Rows of keys, and values used where they are or padded.
    case rows(Rows, Packing)
    /// Pages of a cache.
    case pages(KeyValueTable, sequence: Int, head: Int)
  }

  private struct Rows {
    // From the key `first` on.
    let key: UnsafePointer<Float>
    let keyStride: Int
    let value: UnsafePointer<Float>
    let valueStride: Int
  }

  /// What is packed where.
  enum Packing {
    case none
    /// All blocks: panels one after another, then padded values if rows cannot be used in place.
    case all(UnsafePointer<Float>)
    /// Room for one block, packed when it is asked for.
    case passing(UnsafeMutablePointer<Float>)
  }

  init(_ problem: AttentionProblem, _ tiling: FusedTiling, sequence: Int, keyValueHead: Int, packing: Packing = .none) {
    self.tiling = tiling
    count = problem.mask.existingKeys[sequence]
    switch problem.keys {
    case .rows(let key, let value):
      first = problem.mask.heldKeys(ofSequence: sequence).lowerBound
      let rows = Rows(
        key: key.row(sequence: sequence, head: keyValueHead, row: 0), keyStride: key.strides.row,
        value: value.row(sequence: sequence, head: keyValueHead, row: 0), valueStride: value.strides.row)
      source = .rows(rows, packing)
      panelStride = min(tiling.blockKeys, ProductTiles.padded(count))
    case .pages(let table):
      // A page is there as a whole.
      first = 0
      panelStride = tiling.blockKeys
      source = .pages(table, sequence: sequence, head: keyValueHead)
    }
  }

  /// Whether values can be used where they are.
  static func usesValuesInPlace(_ tiling: FusedTiling) -> Bool { tiling.valueWidth == tiling.paddedValueWidth }

  /// The blocks that rows are packed into.
  var all: Range<Int> { tiling.blocks(of: first..<max(first, count)) }

  func keys(of block: Int) -> Range<Int> {
    max(first, block * tiling.blockKeys)..<min(count, (block + 1) * tiling.blockKeys)
  }

  func panel(_ block: Int) -> UnsafePointer<Float> {
    switch source {
    case .pages(let table, let sequence, let head):
      return UnsafePointer(table.page(sequence: sequence, block: block).panel(head))
    case .rows(_, .all(let panels)): return panels + (block - all.lowerBound) * tiling.panelScalars
    case .rows(_, .passing(let buffer)):
      packPanel(block, into: buffer)
      return UnsafePointer(buffer)
    case .rows(_, .none): fatalError("KeyBlocks: no room for a panel")
    }
  }

  /// Values with zeros in place of what is not finite: room for a block of them, and a factor for the others.
  typealias Cleaned = (memory: UnsafeMutablePointer<Float>, factor: Float)

  /// The values of a block from one of its keys on.
  func values(from key: Int, cleaned: Cleaned?) -> (base: UnsafePointer<Float>, stride: Int) {
    let (block, row) = key.quotientAndRemainder(dividingBy: tiling.blockKeys)
    let offset = row * tiling.paddedValueWidth
    if let cleaned {
      padValues(block, into: cleaned.memory)
      clean(block, of: cleaned)
      return (UnsafePointer(cleaned.memory + offset), tiling.paddedValueWidth)
    }
    switch source {
    case .pages(let table, let sequence, let head):
      return (
        UnsafePointer(table.page(sequence: sequence, block: block).values(head) + offset), tiling.paddedValueWidth
      )
    case .rows(let rows, _) where KeyBlocks.usesValuesInPlace(tiling): return (value(key), rows.valueStride)
    case .rows(_, .all(let panels)):
      let values = panels + all.count * tiling.panelScalars
      return (values + (block - all.lowerBound) * tiling.valueBlockScalars + offset, tiling.paddedValueWidth)
    case .rows(_, .passing(let buffer)):
      padValues(block, into: buffer + tiling.panelScalars)
      return (UnsafePointer(buffer + tiling.panelScalars + offset), tiling.paddedValueWidth)
    case .rows(_, .none): fatalError("KeyBlocks: no room for values")
    }
  }

  /// The values of one key.
  func value(_ key: Int) -> UnsafePointer<Float> {
    switch source {
    case .rows(let rows, _): return rows.value + (key - first) * rows.valueStride
    case .pages(let table, let sequence, let head):
      let (block, row) = key.quotientAndRemainder(dividingBy: tiling.blockKeys)
      return UnsafePointer(table.page(sequence: sequence, block: block).values(head)) + row * tiling.paddedValueWidth
    }
  }

  private func clean(_ block: Int, of cleaned: Cleaned) {
    let (keys, start) = (keys(of: block), block * tiling.blockKeys)
    let width = tiling.paddedValueWidth
    for index in (keys.lowerBound - start) * width..<(keys.upperBound - start) * width {
      cleaned.memory[index] = cleaned.memory[index].isFinite ? cleaned.memory[index] * cleaned.factor : 0
    }
  }

  /// Transposes a block's keys. Columns without a key hold what they held: their scores are masked.
  func packPanel(_ block: Int, into panel: UnsafeMutablePointer<Float>) {
    guard case .rows(let rows, _) = source else { return }
    let keys = keys(of: block)
    KernelSet.kernels.pointee.transpose(
      rows.key + (keys.lowerBound - first) * rows.keyStride, rows.keyStride,
      panel + keys.lowerBound - block * tiling.blockKeys, panelStride, keys.count, tiling.keyWidth)
  }

  /// Copies a block's values to their places in it, with zeros behind each row.
  func padValues(_ block: Int, into target: UnsafeMutablePointer<Float>) {
    let width = tiling.valueWidth
    for key in keys(of: block) {
      let to = target + (key - block * tiling.blockKeys) * tiling.paddedValueWidth
      to.update(from: value(key), count: width)
      (to + width).update(repeating: 0, count: tiling.paddedValueWidth - width)
    }
  }
}
