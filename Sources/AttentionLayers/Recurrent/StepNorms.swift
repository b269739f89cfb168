import AttentionTensors

/// Layer norms inside a recurrent step (Ba et al., 1607.06450, §3.1 and supplement).
///
/// Each product is normalised by itself before gates are formed, over all gates of an LSTM; of a GRU, over r and z
/// together and over n. An Elman cell normalises its one sum. An LSTM also normalises the cell that its output shows, not the
/// one that it passes on.
struct StepNorms: Sendable {
  /// What a norm scales and shifts by, `[columns]`.
  struct Affine: Sendable {
    var weight: Tensor
    var bias: Tensor

    init(_ columns: Int) {
      weight = Tensor(repeating: 1, shape: [columns])
      bias = Tensor(zeros: [columns])
    }

    mutating func visit(
      _ name: String, _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
    ) rethrows {
      try visit("\(name).weight", .parameter, &weight)
      try visit("\(name).bias", .parameter, &bias)
    }

    /// The norm of some columns, each group by itself.
    func callAsFunction(_ rows: Tensor, groups: [Int]) -> Tensor {
      guard groups.count > 1 else { return layerNorm(rows, weight: weight, bias: bias) }
      var start = 0
      return Tensor.concatenated(
        groups.map { width in
          let columns = start..<start + width
          start += width
          return layerNorm(
            rows.sliced(columns, along: 1), weight: weight.sliced(columns), bias: bias.sliced(columns))
        }, along: 1)
    }
  }

  /// Of the input's product; of an Elman cell's sum.
  var input: Affine
  /// Of the state's product.
  var state: Affine?
  /// Of an LSTM's cell.
  var cell: Affine?
  /// The columns that are normalised together.
  let groups: [Int]

  init(_ kind: RecurrentCellKind, hidden: Int) {
    switch kind {
    case .elman: groups = [hidden]
    case .lstm: groups = [4 * hidden]
    case .gru: groups = [2 * hidden, hidden]
    }
    input = Affine(kind.gateCount * hidden)
    if case .elman = kind { return }
    state = Affine(kind.gateCount * hidden)
    if kind.hasCell { cell = Affine(hidden) }
  }

  mutating func visit(
    suffix: String, _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try input.visit(state == nil ? "norm\(suffix)" : "norm_ih\(suffix)", visit)
    try state?.visit("norm_hh\(suffix)", visit)
    try cell?.visit("norm_cell\(suffix)", visit)
  }
}

extension RecurrentWeights {
  /// All steps in one direction with norms in them, one after the other by operations that know their gradients: what
  /// ``Recurrence`` does in one operation without norms.
  func runNormalised(
    _ kind: RecurrentCellKind, _ norms: StepNorms, _ x: Tensor, order: TimeMajorOrder, initial: Tensor?,
    initialCell: Tensor?
  ) -> Recurrence.Results {
    let hidden = state.shape[1]
    let zeros = Tensor(zeros: [order.sequences.count, hidden])
    let (firstState, firstCell) = (initial ?? zeros, initialCell ?? zeros)
    // Those of the inputs of all steps at once.
    var products = linear(order.ordered(x), weight: input)
    if norms.state != nil { products = norms.input(products, groups: norms.groups) }
    if let inputBias { products = products + inputBias }
    var (h, c) = (firstState.gathered(rows: order.sequences), firstCell.gathered(rows: order.sequences))
    var (states, cells): ([Tensor], [Tensor]) = ([], [])
    for step in 0..<order.stepCount {
      let active = 0..<order.active(step)
      if h.shape[0] > active.count { (h, c) = (h.sliced(active), c.sliced(active)) }
      var product = linear(h, weight: state)
      if let norm = norms.state { product = norm(product, groups: norms.groups) }
      if let stateBias { product = product + stateBias }
      let given = products.sliced(order.offsets[step]..<order.offsets[step + 1])
      func gate(_ rows: Tensor, _ index: Int) -> Tensor { rows.sliced(index * hidden..<(index + 1) * hidden, along: 1) }
      switch kind {
      case .elman(let activation):
        let sum = norms.input(given + product, groups: norms.groups)
        h = activation == .relu ? sum.relu() : sum.tanh()
      case .lstm:
        let sum = given + product
        c = gate(sum, 1).sigmoid() * c + gate(sum, 0).sigmoid() * gate(sum, 2).tanh()
        let shown = norms.cell.map { $0(c, groups: [hidden]) } ?? c
        h = gate(sum, 3).sigmoid() * shown.tanh()
        cells.append(c)
      case .gru:
        let (reset, update) = (
          (gate(given, 0) + gate(product, 0)).sigmoid(), (gate(given, 1) + gate(product, 1)).sigmoid()
        )
        let new = (gate(given, 2) + reset * gate(product, 2)).tanh()
        h = new + update * (h - new)
      }
      states.append(h)
    }
    // A sequence's final state is that of its last token, or where it has none the first one: rows behind the others.
    let tokens = order.tokens.count
    var places = [Int](repeating: 0, count: order.sequences.count)
    for (index, sequence) in order.sequences.enumerated() {
      places[sequence] = order.lastPlace(index) ?? tokens + sequence
    }
    func final(_ steps: [Tensor], _ first: Tensor) -> Tensor {
      Tensor.concatenated(steps + [first]).gathered(rows: places)
    }
    let output = states.isEmpty ? Tensor(zeros: [0, hidden]) : Tensor.concatenated(states)
    return Recurrence.Results(
      output: order.restored(output), state: final(states, firstState),
      cell: kind.hasCell ? final(cells, firstCell) : nil)
  }
}
