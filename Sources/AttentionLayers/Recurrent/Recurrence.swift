import AttentionTensors
import CAttentionKernels

/// All steps of one layer in one direction, after the product of its inputs: one operation with a way back by hand
/// (Werbos, 1990, "Backpropagation through time: what it does and how to do it").
///
/// Each step is one product of the active sequences' states with the recurrent weight, and what the gates make of it;
/// a task owns some hidden columns of every gate through both. O(tokens · gates · hidden²).
struct Recurrence: Sendable {
  let kind: RecurrentCellKind
  let order: TimeMajorOrder
  let hidden: Int
  /// What the inputs give to the gates, `[tokens, gates · hidden]`, in the order's places.
  let inputs: Tensor
  /// `[gates · hidden, hidden]`.
  let weight: Tensor
  /// `[gates · hidden]`, of the state's product, where it is not part of the inputs.
  let bias: Tensor?
  /// The states before the first step, `[sequences, hidden]` in the order's sequences; zeros where none were given.
  let initial: Tensor
  let initialCell: Tensor?

  /// What the way back reads.
  struct Kept: Sendable {
    let output: Tensor
    /// An LSTM's cells, `[tokens, hidden]`.
    let cells: Tensor?
    /// `[tokens, kept gates · hidden]`.
    let gates: Tensor?
    /// r∘h of a GRU that resets before its product, `[tokens, hidden]`.
    let resets: Tensor?
  }

  /// The results of ``run(_:order:inputs:weight:bias:initial:initialCell:)``.
  struct Results {
    /// `[tokens, hidden]`, in the order's places.
    let output: Tensor
    /// `[sequences, hidden]`, in the batch's order.
    let state: Tensor
    let cell: Tensor?
  }

  /// Runs all steps.
  ///
  /// - Parameters:
  ///   - inputs: `[tokens, gates · hidden]`, in the order's places.
  ///   - initial: `[sequences, hidden]` in the batch's order, or nil for zeros; the cell likewise.
  static func run(
    _ kind: RecurrentCellKind, order: TimeMajorOrder, inputs: Tensor, weight: Tensor, bias: Tensor?, initial: Tensor?,
    initialCell: Tensor?
  ) -> Results {
    let hidden = weight.shape[1]
    let shape = [order.sequences.count, hidden]
    func ordered(_ states: Tensor?) -> Tensor {
      states?.detached().gathered(rows: order.sequences) ?? Tensor(zeros: shape)
    }
    let recurrence = Recurrence(
      kind: kind, order: order, hidden: hidden, inputs: inputs.detached(), weight: weight.detached(),
      bias: bias?.detached(), initial: ordered(initial), initialCell: kind.hasCell ? ordered(initialCell) : nil)
    let operands = [inputs, weight] + [bias, initial, initialCell].compactMap(\.self)
    let (kept, cells) = recurrence.forward(isKeeping: operands.isAnyTracked)
    let state = recurrence.final(of: kept.output, before: recurrence.initial)
    let cell = kind.hasCell ? recurrence.finalCell(kept, cells) : nil
    let (hasBias, hasInitial, hasCell) = (bias != nil, initial != nil, initialCell != nil)
    let backward = RecurrenceGradient(recurrence, kept)
    let results = Tensor.derived([kept.output, state] + (cell.map { [$0] } ?? []), from: operands) { upstream, wanted in
      let wantsWeight = wanted[1]
      var wanted = wanted[2...]
      let ofBias = hasBias && wanted.removeFirst()
      let ofInitial = hasInitial && wanted.removeFirst()
      let found = backward.gradients(
        ofOutput: upstream[0], ofState: upstream[1], ofCell: upstream.count > 2 ? upstream[2] : nil,
        wantsWeight: wantsWeight, wantsBias: ofBias, wantsInitial: ofInitial)
      return [found.inputs, found.weight] + (hasBias ? [found.bias] : []) + (hasInitial ? [found.initial] : [])
        + (hasCell ? [found.cell] : [])
    }
    return Results(output: results[0], state: results[1], cell: results.count > 2 ? results[2] : nil)
  }

  // MARK: Forward

  /// - Returns: what the way back needs, and the cells' places of an LSTM: a row for each sequence where nothing is kept.
  private func forward(isKeeping: Bool) -> (kept: Kept, cells: Tensor?) {
    let tokens = order.tokens.count
    let rows = order.stepCount > 0 ? order.active(0) : 0
    let output = Tensor(uninitialized: [tokens, hidden]) { _ in }
    var cells: Tensor?
    if let initialCell {
      // The step overwrites a row of its own.
      cells =
        isKeeping
        ? Tensor(uninitialized: [tokens, hidden]) { _ in } : Tensor(initialCell.scalars, shape: initialCell.shape)
    }
    let keepsGates = isKeeping && kind.keptGates > 0
    let gateWidth = kind.keptGates * hidden
    let gates =
      keepsGates || kind.isTwoPart ? Tensor(uninitialized: [keepsGates ? tokens : rows, gateWidth]) { _ in } : nil
    let resets = kind.isTwoPart ? Tensor(uninitialized: [keepsGates ? tokens : rows, hidden]) { _ in } : nil
    if tokens > 0, hidden > 0 {
      let places = Places(
        output: mutable(output), cells: cells.map(mutable), gates: gates.map(mutable), resets: resets.map(mutable),
        isKeeping: isKeeping)
      runSteps(rows: rows, places)
    }
    return (
      Kept(
        output: output, cells: isKeeping ? cells : nil, gates: keepsGates ? gates : nil,
        resets: keepsGates ? resets : nil), cells
    )
  }

  /// Where the results of the steps go.
  private struct Places: @unchecked Sendable {
    // @unchecked: each task writes hidden columns of its own.
    let output: UnsafeMutablePointer<Float>
    let cells: UnsafeMutablePointer<Float>?
    let gates: UnsafeMutablePointer<Float>?
    let resets: UnsafeMutablePointer<Float>?
    let isKeeping: Bool
  }

  private func runSteps(rows: Int, _ places: Places) {
    let first = StepWeight(transposing: weight, gates: 0..<(kind.isTwoPart ? 2 : kind.gateCount))
    let second = kind.isTwoPart ? StepWeight(transposing: weight, gates: 2..<3) : nil
    let perBlock = rows * first.gates * first.width
    let scratch = TensorStorage(minimumCapacity: first.blocks * perBlock)
    let products = Unchecked(scratch.base)
    for step in 0..<order.stepCount {
      let active = order.active(step)
      let before = step == 0 ? initial.unsafeBase : UnsafePointer(places.output + order.offsets[step - 1] * hidden)
      let left = Unchecked(before)
      let tasks = StepTasks(blocks: first.blocks, work: active * hidden * first.gates * first.width)
      tasks.forEachBlock { block in
        let product = products.value + block * perBlock
        first.multiply(
          left.value, stride: hidden, rows: active, block: block, into: product,
          resultStride: first.gates * first.width, resultGateStride: first.width)
        var gates = gates(step, columns: first.columns(of: block), places, before: left.value)
        gates.products = UnsafePointer(product)
        gates.product_stride = first.gates * first.width
        gates.product_gate_stride = first.width
        KernelSet.kernels.pointee.gates(&gates)
      }
      guard let second else { continue }
      // Every column of r∘h stands before a product reads them.
      tasks.forEachBlock { block in
        let product = products.value + block * perBlock
        let row = places.isKeeping ? order.offsets[step] : 0
        second.multiply(
          places.resets! + row * hidden, stride: hidden, rows: active, block: block, into: product,
          resultStride: second.width, resultGateStride: second.width)
        var gates = gates(step, columns: second.columns(of: block), places, before: left.value)
        gates.cell = ATTENTION_GRU_UPDATE
        gates.inputs += 2 * hidden
        gates.bias = gates.bias.map { $0 + 2 * hidden }
        gates.products = UnsafePointer(product)
        gates.product_stride = second.width
        gates.product_gate_stride = second.width
        KernelSet.kernels.pointee.gates(&gates)
      }
    }
    withExtendedLifetime((scratch, initial, initialCell, inputs, bias)) {}
  }

  /// One step's gates at some hidden columns, but for its products.
  private func gates(
    _ step: Int, columns: Range<Int>, _ places: Places, before: UnsafePointer<Float>
  ) -> attention_gates {
    let token = order.offsets[step]
    let row = places.isKeeping ? token : 0
    let column = columns.lowerBound
    let previousCell: UnsafePointer<Float>? =
      step == 0 || !places.isKeeping
      ? (places.isKeeping ? initialCell?.unsafeBase : places.cells.map { UnsafePointer($0) })
      : places.cells.map { UnsafePointer($0 + order.offsets[step - 1] * hidden) }
    let gateWidth = kind.keptGates * hidden
    let target = places.cells ?? places.resets
    return attention_gates(
      cell: kind.kernel, rows: order.active(step), n: columns.count,
      inputs: inputs.unsafeBase + token * kind.gateCount * hidden + column, input_stride: kind.gateCount * hidden,
      input_gate_stride: hidden, products: before, product_stride: 0, product_gate_stride: 0,
      bias: bias.map { $0.unsafeBase + column }, h_previous: before + column,
      h: places.output + token * hidden + column,
      c_previous: previousCell.map { $0 + column }, c: target.map { $0 + row * hidden + column },
      state_stride: hidden, gates: places.gates.map { $0 + row * gateWidth + column }, gate_row_stride: gateWidth,
      gate_stride: hidden)
  }

  // MARK: Final states

  /// Each sequence's last row, or its state before where it has no token, in the batch's order.
  private func final(of rows: Tensor, before: Tensor) -> Tensor {
    Tensor(uninitialized: [order.sequences.count, hidden]) { buffer in
      guard let base = buffer.baseAddress else { return }
      for (index, sequence) in order.sequences.enumerated() {
        let source = order.lastPlace(index).map { rows.unsafeBase + $0 * hidden } ?? before.unsafeBase + index * hidden
        (base + sequence * hidden).update(from: source, count: hidden)
      }
    }
  }

  private func finalCell(_ kept: Kept, _ cells: Tensor?) -> Tensor? {
    guard let cells, let initialCell else { return nil }
    if kept.cells != nil { return final(of: cells, before: initialCell) }
    return Tensor(uninitialized: [order.sequences.count, hidden]) { buffer in
      guard let base = buffer.baseAddress else { return }
      for (index, sequence) in order.sequences.enumerated() {
        (base + sequence * hidden).update(from: cells.unsafeBase + index * hidden, count: hidden)
      }
    }
  }
}

/// The scalars of a tensor that nobody else has seen yet.
func mutable(_ tensor: Tensor) -> UnsafeMutablePointer<Float> { UnsafeMutablePointer(mutating: tensor.unsafeBase) }
