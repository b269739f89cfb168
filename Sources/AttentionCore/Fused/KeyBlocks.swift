import AttentionTensors
import CAttentionKernels

/// The keys and values of one sequence and kv head, block by block: keys transposed, in panels of `[dk, blockKeys]`, values
/// as rows `[blockKeys, dv]`, in panels or where they are.
struct KeyBlocks {
  let tiling: FusedTiling
  /// The first key that is there; nothing before it is read.
  let first: Int
  /// The keys that exist, those before `first` included; nothing beyond them is read.
  let count: Int
  /// Where the transposed keys of a block lie; short sequences have few columns.
  let keyLayout: PanelLayout
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
    /// Room for some blocks, packed when they are asked for.
    case slots(PackedSlots)
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
      keyLayout = tiling.keyLayout(columns: min(tiling.blockKeys, ProductTiles.padded(count)))
    case .pages(let table):
      // A page is there as a whole.
      first = 0
      keyLayout = tiling.keyLayout(columns: tiling.blockKeys)
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
    case .rows(_, .slots(let slots)): return UnsafePointer(slots.memory(of: block, pack: packBlock))
    case .rows(_, .none): fatalError("KeyBlocks: no room for a panel")
    }
  }

  /// Values with zeros in place of what is not finite: room for a block of them, and a factor for the others.
  typealias Cleaned = (memory: UnsafeMutablePointer<Float>, factor: Float)

  /// Values of neighbouring keys, the first of which is `firstKey`.
  struct Values {
    let base: UnsafePointer<Float>
    let layout: PanelLayout
    let firstKey: Int
  }

  /// The values of a block.
  func values(_ block: Int, cleaned: Cleaned?) -> Values {
    func stored(_ base: UnsafePointer<Float>) -> Values {
      Values(base: base, layout: tiling.valueLayout, firstKey: block * tiling.blockKeys)
    }
    if let cleaned {
      padValues(block, into: cleaned.memory)
      clean(block, of: cleaned)
      return stored(cleaned.memory)
    }
    switch source {
    case .pages(let table, let sequence, let head):
      return stored(table.page(sequence: sequence, block: block).values(head))
    case .rows(let rows, _) where KeyBlocks.usesValuesInPlace(tiling):
      let layout = PanelLayout(
        rowStride: rows.valueStride, columns: tiling.paddedValueWidth, panelColumns: tiling.chunk)
      return Values(base: rows.value, layout: layout, firstKey: first)
    case .rows(_, .all(let panels)):
      let values = panels + all.count * tiling.panelScalars
      return stored(values + (block - all.lowerBound) * tiling.valueBlockScalars)
    case .rows(_, .slots(let slots)): return stored(slots.memory(of: block, pack: packBlock) + tiling.panelScalars)
    case .rows(_, .none): fatalError("KeyBlocks: no room for values")
    }
  }

  /// Copies the values of one key.
  func copyValues(_ key: Int, into target: UnsafeMutablePointer<Float>) {
    switch source {
    case .rows(let rows, _):
      target.update(from: rows.value + (key - first) * rows.valueStride, count: tiling.valueWidth)
    case .pages(let table, let sequence, let head):
      let (block, row) = key.quotientAndRemainder(dividingBy: tiling.blockKeys)
      tiling.valueLayout.load(
        target, count: tiling.valueWidth, row: row, from: table.page(sequence: sequence, block: block).values(head))
    }
  }

  private func clean(_ block: Int, of cleaned: Cleaned) {
    let (keys, start) = (keys(of: block), block * tiling.blockKeys)
    tiling.valueLayout.forEachPanel(of: 0..<tiling.paddedValueWidth) { columns, first, stride in
      for index in first + (keys.lowerBound - start) * stride..<first + (keys.upperBound - start) * stride {
        cleaned.memory[index] = cleaned.memory[index].isFinite ? cleaned.memory[index] * cleaned.factor : 0
      }
    }
  }

  private func packBlock(_ block: Int, into memory: UnsafeMutablePointer<Float>) {
    packPanel(block, into: memory)
    if !KeyBlocks.usesValuesInPlace(tiling) { padValues(block, into: memory + tiling.panelScalars) }
  }

  /// Transposes a block's keys. Columns without a key hold what they held: their scores are masked.
  func packPanel(_ block: Int, into panel: UnsafeMutablePointer<Float>) {
    guard case .rows(let rows, _) = source else { return }
    let keys = keys(of: block)
    let start = block * tiling.blockKeys
    keyLayout.forEachPanel(of: keys.lowerBound - start..<keys.upperBound - start) { columns, first, stride in
      KernelSet.kernels.pointee.transpose(
        rows.key + (start + columns.lowerBound - self.first) * rows.keyStride, rows.keyStride, panel + first, stride,
        columns.count, tiling.keyWidth)
    }
  }

  /// Copies a block's values to their places in it, with zeros behind each row.
  func padValues(_ block: Int, into target: UnsafeMutablePointer<Float>) {
    let (layout, width) = (tiling.valueLayout, tiling.valueWidth)
    switch source {
    case .rows(let rows, _):
      for key in keys(of: block) {
        layout.store(
          rows.value + (key - first) * rows.valueStride, count: width, row: key - block * tiling.blockKeys, in: target)
      }
    case .pages(let table, let sequence, let head):
      let page = table.page(sequence: sequence, block: block)
      target.update(from: page.values(head), count: tiling.valueBlockScalars)
    }
  }
}
