import AttentionTensors
import CAttentionKernels

/// The way back through all steps, from the last to the first: each multiplies the gates' gradients of the step after it
/// with the weight, and makes of the sum those of its own gates. What the weight gets is one product over all steps.
struct RecurrenceGradient: Sendable {
  private let kind: RecurrentCellKind
  private let order: TimeMajorOrder
  private let hidden: Int
  private let weight: Tensor
  private let initial: Tensor
  private let initialCell: Tensor?
  private let kept: Recurrence.Kept

  init(_ recurrence: Recurrence, _ kept: Recurrence.Kept) {
    (kind, order, hidden) = (recurrence.kind, recurrence.order, recurrence.hidden)
    (weight, initial, initialCell) = (recurrence.weight, recurrence.initial, recurrence.initialCell)
    self.kept = kept
  }

  /// Those of the operands, nil where nothing was asked for.
  struct Gradients {
    let inputs: Tensor
    let weight: Tensor?
    let bias: Tensor?
    let initial: Tensor?
    let cell: Tensor?
  }

  private var gateColumns: Int { kind.gateCount * hidden }

  func gradients(
    ofOutput: Tensor?, ofState: Tensor?, ofCell: Tensor?, wantsWeight: Bool, wantsBias: Bool, wantsInitial: Bool
  ) -> Gradients {
    let tokens = order.tokens.count
    let ofInputs = Tensor(uninitialized: [tokens, gateColumns]) { _ in }
    // Where the reset gate stands between both, the state's products have gradients of their own.
    let ofProducts =
      kind == .gru(resetAfterProduct: true) ? Tensor(uninitialized: [tokens, gateColumns]) { _ in } : ofInputs
    let state = ordered(ofState)
    let cell = kind.hasCell ? ordered(ofCell) : nil
    if tokens > 0, hidden > 0 {
      let places = Places(
        upstream: ofOutput?.unsafeBase, state: mutable(state), cell: cell.map(mutable), inputs: mutable(ofInputs),
        products: mutable(ofProducts))
      runSteps(places, throughFirst: wantsInitial)
    }
    withExtendedLifetime(ofOutput) {}
    let bias = wantsBias ? ofProducts.sum(along: 0) : nil
    return Gradients(
      inputs: ofInputs, weight: wantsWeight ? weightGradient(ofProducts) : nil, bias: bias,
      initial: wantsInitial ? restored(state) : nil, cell: cell.map(restored))
  }

  /// A copy in the order's sequences, to add to; zeros for nil.
  private func ordered(_ states: Tensor?) -> Tensor {
    guard let states else { return Tensor(zeros: [order.sequences.count, hidden]) }
    return states.gathered(rows: order.sequences)
  }

  private func restored(_ states: Tensor) -> Tensor {
    var places = order.sequences
    for (place, sequence) in order.sequences.enumerated() { places[sequence] = place }
    return states.gathered(rows: places)
  }

  /// Where gradients come from and go.
  private struct Places: @unchecked Sendable {
    // @unchecked: each task writes hidden columns of its own.
    let upstream: UnsafePointer<Float>?
    /// What flows to the state that is left behind by the step at hand.
    let state: UnsafeMutablePointer<Float>
    let cell: UnsafeMutablePointer<Float>?
    let inputs: UnsafeMutablePointer<Float>
    let products: UnsafeMutablePointer<Float>
  }

  /// - Parameter throughFirst: whether the states before the first step are wanted.
  private func runSteps(_ places: Places, throughFirst: Bool) {
    let back = StepWeight(rowsOf: weight, gates: 0..<(kind.isTwoPart ? 2 : kind.gateCount))
    let reset = kind.isTwoPart ? StepWeight(rowsOf: weight, gates: 2..<3) : nil
    let scratch = TensorStorage(minimumCapacity: kind.isTwoPart ? order.active(0) * back.blocks * back.width : 0)
    let resets = Unchecked(scratch.base)
    let resetStride = back.blocks * back.width
    for step in stride(from: order.stepCount - 1, through: throughFirst ? -1 : 0, by: -1) {
      let rows = step + 1 < order.stepCount ? order.active(step + 1) : 0
      let active = max(rows, step >= 0 ? order.active(step) : 0)
      let tasks = StepTasks(blocks: back.blocks, work: active * back.inner * back.width)
      tasks.forEachBlock { block in
        let columns = back.columns(of: block)
        if rows > 0 {
          back.multiply(
            places.products + order.offsets[step + 1] * gateColumns, stride: gateColumns, rows: rows, block: block,
            into: places.state + columns.lowerBound, resultStride: hidden, resultGateStride: 0, adding: true)
        }
        guard step >= 0 else { return }
        var gates = gates(step, columns: columns, places)
        if kind.isTwoPart { gates.cell = ATTENTION_GRU_UPDATE }
        KernelSet.kernels.pointee.gate_gradients(&gates)
      }
      guard let reset, step >= 0 else { continue }
      // Every column of n's gradient stands before a product reads them.
      tasks.forEachBlock { block in
        let columns = reset.columns(of: block)
        let ofResets = resets.value + columns.lowerBound
        reset.multiply(
          places.products + order.offsets[step] * gateColumns + 2 * hidden, stride: gateColumns,
          rows: order.active(step), block: block, into: ofResets, resultStride: resetStride, resultGateStride: 0)
        var gates = gates(step, columns: columns, places)
        gates.reset_gradient = UnsafePointer(ofResets)
        gates.reset_stride = resetStride
        KernelSet.kernels.pointee.gate_gradients(&gates)
      }
    }
    withExtendedLifetime((scratch, initial, initialCell, kept)) {}
  }

  private func gates(_ step: Int, columns: Range<Int>, _ places: Places) -> attention_gate_gradients {
    let token = order.offsets[step]
    let column = columns.lowerBound
    let gateWidth = kind.keptGates * hidden
    func before(_ rows: Tensor, _ initial: Tensor) -> UnsafePointer<Float> {
      (step == 0 ? initial.unsafeBase : rows.unsafeBase + order.offsets[step - 1] * hidden) + column
    }
    return attention_gate_gradients(
      cell: kind.kernel, rows: order.active(step), n: columns.count,
      upstream: places.upstream.map { $0 + token * hidden + column }, h_gradient: places.state + column,
      c_gradient: places.cell.map { $0 + column }, h: kept.output.unsafeBase + token * hidden + column,
      h_previous: before(kept.output, initial), c: kept.cells.map { $0.unsafeBase + token * hidden + column },
      c_previous: kept.cells.flatMap { cells in initialCell.map { before(cells, $0) } }, reset_gradient: nil,
      reset_stride: 0, state_stride: hidden, gates: kept.gates.map { $0.unsafeBase + token * gateWidth + column },
      gate_row_stride: gateWidth, gate_stride: hidden, of_inputs: places.inputs + token * gateColumns + column,
      of_products: places.products + token * gateColumns + column, gradient_stride: gateColumns)
  }

  // MARK: The weight

  /// The states that each step's products read, `[tokens, hidden]`.
  private func statesBefore() -> Tensor {
    Tensor(uninitialized: [order.tokens.count, hidden]) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      for step in 0..<order.stepCount {
        let source = step == 0 ? initial.unsafeBase : kept.output.unsafeBase + order.offsets[step - 1] * hidden
        (base + order.offsets[step] * hidden).update(from: source, count: order.active(step) * hidden)
      }
    }
  }

  private func weightGradient(_ ofProducts: Tensor) -> Tensor {
    let states = statesBefore()
    return Tensor(uninitialized: [gateColumns, hidden]) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      func add(_ gates: Range<Int>, _ states: Tensor) {
        let columns = gates.count * hidden
        TransposedProduct.multiply(
          MatrixView(
            base: ofProducts.unsafeBase + gates.lowerBound * hidden, rows: ofProducts.shape[0], columns: columns,
            rowStride: gateColumns), MatrixView(matrix: states),
          into: MutableMatrixView(
            base: base + gates.lowerBound * hidden * hidden, rows: columns, columns: hidden, rowStride: hidden))
        withExtendedLifetime((ofProducts, states)) {}
      }
      if let resets = kept.resets {
        add(0..<2, states)
        add(2..<3, resets)
      } else {
        add(0..<kind.gateCount, states)
      }
    }
  }
}
