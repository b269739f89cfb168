import AttentionCore
import AttentionTensors

/// What the cells share: one step is a batch of sequences of one token each.
struct RecurrentStep: Sendable {
  let name: String
  let kind: RecurrentCellKind
  let inputWidth: Int
  let hiddenWidth: Int
  var weights: RecurrentWeights

  init(
    _ name: String, _ kind: RecurrentCellKind, inputWidth: Int, hiddenWidth: Int, hasBias: Bool,
    using generator: inout some RandomNumberGenerator
  ) {
    require(
      inputWidth >= 0 && hiddenWidth > 0,
      "\(name): an input width of \(inputWidth) and a hidden width of \(hiddenWidth)")
    (self.name, self.kind, self.inputWidth, self.hiddenWidth) = (name, kind, inputWidth, hiddenWidth)
    weights = RecurrentWeights(kind, inputs: inputWidth, hidden: hiddenWidth, hasBias: hasBias) { _, shape, inputs in
      Tensor(linearUniform: shape, inputs: inputs, using: &generator)
    }
  }

  func run(_ x: Tensor, state: Tensor?, cell: Tensor?) -> Recurrence.Results {
    require(
      x.rank == 2 && x.shape[1] == inputWidth,
      "\(name): an input \(x.shape) is not [batch, inputs] of width \(inputWidth)")
    let batch = x.shape[0]
    for state in [state, cell].compactMap(\.self) {
      require(
        state.shape == [batch, hiddenWidth],
        "\(name): a state \(state.shape) is not [batch, hidden] = [\(batch), \(hiddenWidth)]")
    }
    let order = TimeMajorOrder(SequenceLayout(lengths: [Int](repeating: 1, count: batch)), isReversed: false)
    return weights.run(kind, x, order: order, initial: state, initialCell: cell)
  }
}

/// One step of an ``RNN``: parameters "weight_ih", "weight_hh", "bias_ih" and "bias_hh", as `torch.nn.RNNCell`.
public struct ElmanCell: Layer {
  private var cell: RecurrentStep

  /// Creates a cell with the initial values that PyTorch draws: uniform on ±1/√hidden.
  ///
  /// - Precondition: the hidden width is positive.
  public init(
    inputWidth: Int, hiddenWidth: Int, activation: ElmanActivation = .tanh, hasBias: Bool = true,
    using generator: inout some RandomNumberGenerator
  ) {
    cell = RecurrentStep(
      "ElmanCell", .elman(activation), inputWidth: inputWidth, hiddenWidth: hiddenWidth, hasBias: hasBias,
      using: &generator)
  }

  /// The state after x. O(batch · hidden · (inputs + hidden)).
  ///
  /// - Parameters:
  ///   - x: `[batch, inputs]`.
  ///   - state: `[batch, hidden]`; nil for zeros.
  /// - Returns: `[batch, hidden]`.
  /// - Precondition: the shapes fit.
  public func callAsFunction(_ x: Tensor, state: Tensor? = nil) -> Tensor {
    cell.run(x, state: state, cell: nil).state
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows { try cell.weights.visit(suffix: "", visit) }
}

/// One step of an ``LSTM``: parameters "weight_ih", "weight_hh", "bias_ih" and "bias_hh", as `torch.nn.LSTMCell`.
public struct LSTMCell: Layer {
  private var cell: RecurrentStep

  /// Creates a cell with the initial values that PyTorch draws: uniform on ±1/√hidden.
  ///
  /// - Precondition: the hidden width is positive.
  public init(
    inputWidth: Int, hiddenWidth: Int, hasBias: Bool = true, using generator: inout some RandomNumberGenerator
  ) {
    cell = RecurrentStep(
      "LSTMCell", .lstm, inputWidth: inputWidth, hiddenWidth: hiddenWidth, hasBias: hasBias, using: &generator)
  }

  /// The state after x. O(batch · hidden · (inputs + hidden)).
  ///
  /// - Parameters:
  ///   - x: `[batch, inputs]`.
  ///   - state: `[batch, hidden]`; nil for zeros.
  /// - Returns: `[batch, hidden]`.
  /// - Precondition: the shapes fit.
  public func callAsFunction(_ x: Tensor, state: LSTMState? = nil) -> LSTMState {
    let result = cell.run(x, state: state?.hidden, cell: state?.cell)
    return LSTMState(hidden: result.state, cell: result.cell!)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows { try cell.weights.visit(suffix: "", visit) }
}

/// One step of a ``GRU``: parameters "weight_ih", "weight_hh", "bias_ih" and "bias_hh", as `torch.nn.GRUCell`.
public struct GRUCell: Layer {
  private var cell: RecurrentStep

  /// Creates a cell with the initial values that PyTorch draws: uniform on ±1/√hidden.
  ///
  /// - Precondition: the hidden width is positive.
  public init(
    inputWidth: Int, hiddenWidth: Int, resetsAfterProduct: Bool = true, hasBias: Bool = true,
    using generator: inout some RandomNumberGenerator
  ) {
    cell = RecurrentStep(
      "GRUCell", .gru(resetAfterProduct: resetsAfterProduct), inputWidth: inputWidth, hiddenWidth: hiddenWidth,
      hasBias: hasBias, using: &generator)
  }

  /// The state after x. O(batch · hidden · (inputs + hidden)).
  ///
  /// - Parameters:
  ///   - x: `[batch, inputs]`.
  ///   - state: `[batch, hidden]`; nil for zeros.
  /// - Returns: `[batch, hidden]`.
  /// - Precondition: the shapes fit.
  public func callAsFunction(_ x: Tensor, state: Tensor? = nil) -> Tensor {
    cell.run(x, state: state, cell: nil).state
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows { try cell.weights.visit(suffix: "", visit) }
}
