import AttentionCore
import AttentionTensors

/// The parameters of one layer in one direction.
struct RecurrentWeights: Sendable {
  /// `[gates · hidden, inputs]`.
  var input: Tensor
  /// `[gates · hidden, hidden]`.
  var state: Tensor
  /// `[gates · hidden]` each, or nil.
  var inputBias: Tensor?
  var stateBias: Tensor?
  /// Inside the steps, if there are any.
  var norms: StepNorms?

  init<Failure: Error>(
    _ kind: RecurrentCellKind, inputs: Int, hidden: Int, hasBias: Bool, normalisesSteps: Bool = false,
    suffix: String = "", from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    // As PyTorch draws them: uniform on ±1/√hidden.
    let rows = kind.gateCount * hidden
    norms = normalisesSteps ? StepNorms(kind, hidden: hidden) : nil
    input = try parameter("weight_ih\(suffix)", [rows, inputs], hidden)
    state = try parameter("weight_hh\(suffix)", [rows, hidden], hidden)
    guard hasBias else { return }
    inputBias = try parameter("bias_ih\(suffix)", [rows], hidden)
    stateBias = try parameter("bias_hh\(suffix)", [rows], hidden)
  }

  mutating func visit(
    suffix: String, _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try visit("weight_ih\(suffix)", .parameter, &input)
    try visit("weight_hh\(suffix)", .parameter, &state)
    if inputBias != nil { try visit("bias_ih\(suffix)", .parameter, &inputBias!) }
    if stateBias != nil { try visit("bias_hh\(suffix)", .parameter, &stateBias!) }
    try norms?.visit(suffix: suffix, visit)
  }

  /// All steps in one direction: `[tokens, hidden]` and the final states `[sequences, hidden]`, in the batch's order.
  func run(
    _ kind: RecurrentCellKind, _ x: Tensor, order: TimeMajorOrder, initial: Tensor?, initialCell: Tensor?
  ) -> Recurrence.Results {
    if let norms {
      return runNormalised(kind, norms, x, order: order, initial: initial, initialCell: initialCell)
    }
    var bias = inputBias
    if kind.sumsBiases, let first = inputBias, let second = stateBias { bias = first + second }
    // The products of all steps' inputs are one.
    let gates = linear(order.ordered(x), weight: input, bias: bias)
    let results = Recurrence.run(
      kind, order: order, inputs: gates, weight: state, bias: kind.sumsBiases ? nil : stateBias, initial: initial,
      initialCell: initialCell)
    return Recurrence.Results(
      output: order.restored(results.output), state: results.state, cell: results.cell)
  }
}

/// Recurrent layers one on top of the other, each in one or both directions: what ``RNN``, ``LSTM`` and ``GRU`` share.
struct RecurrentStack: Layer {
  let name: String
  let kind: RecurrentCellKind
  let inputWidth: Int
  let hiddenWidth: Int
  let layers: Int
  let isBidirectional: Bool
  /// That an element of a layer's output is dropped before the next layer.
  let dropoutProbability: Float
  /// By layer, and in it by direction.
  private var weights: [RecurrentWeights]

  var directions: Int { isBidirectional ? 2 : 1 }

  init<Failure: Error>(
    _ name: String, _ kind: RecurrentCellKind, inputWidth: Int, hiddenWidth: Int, layers: Int, isBidirectional: Bool,
    hasBias: Bool, normalisesSteps: Bool, dropoutProbability: Float, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    require(
      inputWidth >= 0 && hiddenWidth > 0 && layers > 0,
      "\(name): an input width of \(inputWidth), a hidden width of \(hiddenWidth) and \(layers) layers")
    require(
      dropoutProbability >= 0 && dropoutProbability < 1,
      "\(name): a dropout probability of \(dropoutProbability) does not lie in 0..<1")
    require(
      !normalisesSteps || !kind.isTwoPart,
      "\(name): norms inside the step are defined for a GRU that resets after its product")
    (self.name, self.kind, self.inputWidth, self.hiddenWidth) = (name, kind, inputWidth, hiddenWidth)
    (self.layers, self.isBidirectional, self.dropoutProbability) = (layers, isBidirectional, dropoutProbability)
    let directions = isBidirectional ? 2 : 1
    weights = []
    for layer in 0..<layers {
      for direction in 0..<directions {
        weights.append(
          try RecurrentWeights(
            kind, inputs: layer == 0 ? inputWidth : hiddenWidth * directions, hidden: hiddenWidth, hasBias: hasBias,
            normalisesSteps: normalisesSteps, suffix: RecurrentStack.suffix(layer, direction), from: parameter))
      }
    }
  }

  /// What stands behind the names of a layer's parameters.
  private static func suffix(_ layer: Int, _ direction: Int) -> String {
    "_l\(layer)\(direction == 1 ? "_reverse" : "")"
  }

  mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    for index in weights.indices {
      let (layer, direction) = index.quotientAndRemainder(dividingBy: directions)
      try weights[index].visit(suffix: RecurrentStack.suffix(layer, direction), visit)
    }
  }

  /// The outputs of the last layer, `[tokens, directions · hidden]`, and all final states,
  /// `[layers · directions, sequences, hidden]`.
  func run(
    _ x: Tensor, layout: SequenceLayout, initial: Tensor?, initialCell: Tensor?, dropout: DropoutKey?
  ) -> (output: Tensor, state: Tensor, cell: Tensor?) {
    require(
      x.shape == [layout.tokenCount, inputWidth],
      "\(name): an input \(x.shape) for \(layout.tokenCount) tokens of width \(inputWidth)")
    let stateShape = [weights.count, layout.sequenceCount, hiddenWidth]
    for (state, kind) in [(initial, "state"), (initialCell, "cell")] {
      require(
        state.map { $0.shape == stateShape } ?? true,
        "\(name): an initial \(kind) \(state?.shape ?? []) is not [layers · directions, sequences, hidden] = \(stateShape)"
      )
    }
    let orders = (0..<directions).map { TimeMajorOrder(layout, isReversed: $0 == 1) }
    var rows = x
    var (states, cells): ([Tensor], [Tensor]) = ([], [])
    for layer in 0..<layers {
      if layer > 0, let dropout, dropoutProbability > 0 {
        rows = rows.dropped(probability: dropoutProbability, seed: dropout.child(layer).seed)
      }
      var outputs: [Tensor] = []
      for direction in 0..<directions {
        let index = layer * directions + direction
        func own(_ states: Tensor?) -> Tensor? {
          states.map { $0.sliced(index..<index + 1).reshaped(to: Array(stateShape.dropFirst())) }
        }
        let results = weights[index].run(
          kind, rows, order: orders[direction], initial: own(initial), initialCell: own(initialCell))
        outputs.append(results.output)
        states.append(results.state)
        if let cell = results.cell { cells.append(cell) }
      }
      rows = outputs.count == 1 ? outputs[0] : Tensor.concatenated(outputs, along: 1)
    }
    return (rows, stacked(states, stateShape), kind.hasCell ? stacked(cells, stateShape) : nil)
  }

  private func stacked(_ states: [Tensor], _ shape: [Int]) -> Tensor {
    (states.count == 1 ? states[0] : Tensor.concatenated(states)).reshaped(to: shape)
  }
}
