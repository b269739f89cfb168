import AttentionTensors
import CAttentionKernels

/// A weight that every step of a recurrence multiplies a few states with, packed once for all steps.
///
/// Panels are as wide as two vectors: `[blocks][gates][inner][2 · lanes]`, a block being some hidden columns of every gate,
/// so that one task has all that an element of the state takes. OpenBLAS would copy the weight in each step anew, where
/// 32 rows do not repay it; and a row's bits here do not depend on its neighbours on any processor.
struct StepWeight: Sendable {
  /// The columns of a gate.
  let columns: Int
  let gates: Int
  let inner: Int
  /// The columns of a panel.
  let width: Int
  private let storage: TensorStorage

  /// - Parameter isTransposed: whether the weight is `[gates · columns, inner]`, or `[inner, columns]` of one gate.
  private init(_ weight: Tensor, rows: Range<Int>, gates: Int, columns: Int, inner: Int, isTransposed: Bool) {
    let width = 2 * KernelSet.kernels.pointee.lanes
    (self.columns, self.gates, self.inner, self.width) = (columns, gates, inner, width)
    let blocks = (columns + width - 1) / width
    storage = TensorStorage(minimumCapacity: blocks * gates * inner * width)
    let target = Unchecked(storage.base)
    let source = Unchecked(weight.unsafeBase + rows.lowerBound * weight.shape[1])
    WorkerPool.shared.forEachWithoutProducts(blocks * gates, inline: columns * gates * inner < 1 << 15) { index in
      let (block, gate) = index.quotientAndRemainder(dividingBy: gates)
      let panel = target.value + index * inner * width
      let first = block * width
      let filled = min(width, columns - first)
      if isTransposed {
        KernelSet.kernels.pointee.transpose(
          source.value + (gate * columns + first) * inner, inner, panel, width, filled, inner)
      } else {
        for row in 0..<inner {
          (panel + row * width).update(from: source.value + row * columns + first, count: filled)
        }
      }
      guard filled < width else { return }
      for row in 0..<inner { (panel + row * width + filled).update(repeating: 0, count: width - filled) }
    }
    withExtendedLifetime(weight) {}
  }

  /// Of a weight `[…, hidden]`, the rows of some gates: products states · weightᵀ.
  init(transposing weight: Tensor, gates: Range<Int>) {
    let hidden = weight.shape[1]
    self.init(
      weight, rows: gates.lowerBound * hidden..<gates.upperBound * hidden, gates: gates.count, columns: hidden,
      inner: hidden, isTransposed: true)
  }

  /// The same rows for products gradients · weight.
  init(rowsOf weight: Tensor, gates: Range<Int>) {
    let hidden = weight.shape[1]
    self.init(
      weight, rows: gates.lowerBound * hidden..<gates.upperBound * hidden, gates: 1, columns: hidden,
      inner: gates.count * hidden, isTransposed: false)
  }

  /// The blocks of columns.
  var blocks: Int { (columns + width - 1) / width }

  /// A block's columns.
  func columns(of block: Int) -> Range<Int> { block * width..<min(columns, (block + 1) * width) }

  /// result[row, gate · resultGateStride …] = left · one block of every gate (+ result).
  @inline(__always)
  func multiply(
    _ left: UnsafePointer<Float>, stride: Int, rows: Int, block: Int, into result: UnsafeMutablePointer<Float>,
    resultStride: Int, resultGateStride: Int, adding: Bool = false
  ) {
    for gate in 0..<gates {
      KernelSet.kernels.pointee.panel_product(
        left, stride, rows, inner, storage.base + (block * gates + gate) * inner * width,
        result + gate * resultGateStride, resultStride, columns(of: block).count, adding)
    }
  }
}

/// How the blocks of a step's columns are cut into tasks. No bit depends on it.
struct StepTasks: Sendable {
  let blocks: Int
  let perTask: Int
  /// Whether the step is too small for several threads.
  let isInline: Bool

  /// - Parameter work: the multiply-adds of one block.
  init(blocks: Int, work: Int) {
    self.blocks = blocks
    perTask = max(1, min(blocks, (1 << 20) / max(1, work)))
    isInline = work * blocks < 1 << 17
  }

  func forEachBlock(_ body: @Sendable (_ block: Int) -> Void) {
    let (blocks, perTask) = (blocks, perTask)
    WorkerPool.shared.forEachWithoutProducts((blocks + perTask - 1) / perTask, inline: isInline) { task in
      for block in task * perTask..<min(blocks, (task + 1) * perTask) { body(block) }
    }
  }
}
