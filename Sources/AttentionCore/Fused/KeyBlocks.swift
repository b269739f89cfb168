import AttentionTensors
import CAttentionKernels

/// The keys and values of one sequence and kv head, block by block: keys as panels `[dk, blockKeys]`, values as rows.
struct KeyBlocks {
  let tiling: FusedTiling
  /// The keys that exist; nothing beyond them is read.
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
      let rows = Rows(
        key: key.row(sequence: sequence, head: keyValueHead, row: 0), keyStride: key.strides.row,
        value: value.row(sequence: sequence, head: keyValueHead, row: 0), valueStride: value.strides.row)
      source = .rows(rows, packing)
      panelStride = min(tiling.blockKeys, ProductTiles.padded(count))
    case .pages(let table):
      panelStride = tiling.blockKeys
      source = .pages(table, sequence: sequence, head: keyValueHead)
    }
  }

  /// Whether values can be used where they are.
  static func usesValuesInPlace(_ tiling: FusedTiling) -> Bool { tiling.valueWidth == tiling.paddedValueWidth }

  func keys(of block: Int) -> Range<Int> {
    block * tiling.blockKeys..<min(count, (block + 1) * tiling.blockKeys)
  }

  func panel(_ block: Int) -> UnsafePointer<Float> {
    switch source {
    case .pages(let table, let sequence, let head):
      return UnsafePointer(table.page(sequence: sequence, block: block).panel(head))
    case .rows(_, .all(let panels)): return panels + block * tiling.panelScalars
    case .rows(_, .passing(let buffer)):
      packPanel(block, into: buffer)
      return UnsafePointer(buffer)
    case .rows(_, .none): fatalError("KeyBlocks: no room for a panel")
    }
  }

  /// Values with zeros in place of what is not finite: room for a block of them, and a factor for the others.
  typealias Cleaned = (memory: UnsafeMutablePointer<Float>, factor: Float)

  func values(_ block: Int, cleaned: Cleaned?) -> (base: UnsafePointer<Float>, stride: Int) {
    if let cleaned {
      padValues(block, into: cleaned.memory)
      clean(keys(of: block).count * tiling.paddedValueWidth, of: cleaned)
      return (UnsafePointer(cleaned.memory), tiling.paddedValueWidth)
    }
    switch source {
    case .pages(let table, let sequence, let head):
      return (UnsafePointer(table.page(sequence: sequence, block: block).values(head)), tiling.paddedValueWidth)
    case .rows(let rows, _) where KeyBlocks.usesValuesInPlace(tiling):
      return (rows.value + block * tiling.blockKeys * rows.valueStride, rows.valueStride)
    case .rows(_, .all(let panels)):
      let values = panels + tiling.blocks(keys: count) * tiling.panelScalars
      return (values + block * tiling.valueBlockScalars, tiling.paddedValueWidth)
    case .rows(_, .passing(let buffer)):
      padValues(block, into: buffer + tiling.panelScalars)
      return (UnsafePointer(buffer + tiling.panelScalars), tiling.paddedValueWidth)
    case .rows(_, .none): fatalError("KeyBlocks: no room for values")
    }
  }

  /// The values of one key.
  func value(_ key: Int) -> UnsafePointer<Float> {
    switch source {
    case .rows(let rows, _): return rows.value + key * rows.valueStride
    case .pages(let table, let sequence, let head):
      let (block, row) = key.quotientAndRemainder(dividingBy: tiling.blockKeys)
      return UnsafePointer(table.page(sequence: sequence, block: block).values(head)) + row * tiling.paddedValueWidth
    }
  }

  private func clean(_ count: Int, of cleaned: Cleaned) {
    for index in 0..<count {
      cleaned.memory[index] = cleaned.memory[index].isFinite ? cleaned.memory[index] * cleaned.factor : 0
    }
  }

  /// Transposes a block's keys. Columns beyond the last key hold what they held: their scores are masked.
  func packPanel(_ block: Int, into panel: UnsafeMutablePointer<Float>) {
    guard case .rows(let rows, _) = source else { return }
    let keys = keys(of: block)
    KernelSet.kernels.pointee.transpose(
      rows.key + keys.lowerBound * rows.keyStride, rows.keyStride, panel, panelStride, keys.count,
      tiling.keyWidth)
  }

  /// Copies a block's values, with zeros behind each row.
  func padValues(_ block: Int, into target: UnsafeMutablePointer<Float>) {
    let width = tiling.valueWidth
    for (row, key) in keys(of: block).enumerated() {
      let to = target + row * tiling.paddedValueWidth
      to.update(from: value(key), count: width)
      (to + width).update(repeating: 0, count: tiling.paddedValueWidth - width)
    }
  }
}
