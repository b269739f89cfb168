import AttentionCore
import AttentionTensors

/// The state of an ``LSTM``: what it passes on from step to step.
public struct LSTMState: Sendable {
  /// h, `[layers · directions, sequences, hidden]`; of an ``LSTMCell`` `[batch, hidden]`.
  public var hidden: Tensor
  /// c, of the same shape.
  public var cell: Tensor

  /// Creates a state from its parts.
  ///
  /// - Precondition: both have the same shape.
  public init(hidden: Tensor, cell: Tensor) {
    require(hidden.shape == cell.shape, "LSTMState: a hidden state \(hidden.shape) and a cell \(cell.shape)")
    (self.hidden, self.cell) = (hidden, cell)
  }
}

/// Long short-term memory (Hochreiter and Schmidhuber, 1997; with the forget gate of Gers et al., 2000) over a ragged batch.
///
///     let layer = LSTM(inputWidth: 384, hiddenWidth: 384, using: &generator)
///     let (output, state) = layer(x, layout: layout)   // [tokens, 384] of x [tokens, 384]
///
/// With i, f, o = σ(W·x + b + U·h + c) and g = tanh(W·x + b + U·h + c), each gate with its own weights:
/// cell = f∘cell + i∘g, h = o∘tanh(cell). Gates in PyTorch's order i, f, g, o; parameters "weight_ih_l0" `[4 · hidden,
/// inputs]`, "weight_hh_l0" `[4 · hidden, hidden]`, "bias_ih_l0", "bias_hh_l0" `[4 · hidden]`, then those of
/// "_l0_reverse" and "_l1", as `torch.nn.LSTM`.
///
/// Sequences need no padding, and none sees another. Gradients flow to everything, through all steps.
///
/// With `normalisesSteps`, a layer norm stands inside each step (Ba et al., 1607.06450, supplement): the input's and the
/// state's product are each normalised over all gates, and h = o∘tanh(norm(cell)). Parameters "norm_ih_l0.weight",
/// "norm_ih_l0.bias", "norm_hh_l0.…" `[4 · hidden]` and "norm_cell_l0.…" `[hidden]`. Such a layer runs by single operations,
/// without the fused step.
public struct LSTM: Layer {
  private var stack: RecurrentStack

  /// Creates a layer with the initial values that PyTorch draws: uniform on ±1/√hidden.
  ///
  /// - Parameters:
  ///   - inputWidth: the width of a token.
  ///   - hiddenWidth: the width of a state.
  ///   - layers: stacked ones, each reading the output of the one below.
  ///   - isBidirectional: whether a second one reads each sequence from its end.
  ///   - hasBias: whether sums have biases.
  ///   - normalisesSteps: whether layer norms stand inside the steps.
  ///   - dropoutProbability: for each element between two layers, where a call is given a key.
  ///   - generator: where the initial values come from.
  /// - Precondition: the hidden width and the layers are positive.
  public init(
    inputWidth: Int, hiddenWidth: Int, layers: Int = 1, isBidirectional: Bool = false, hasBias: Bool = true,
    normalisesSteps: Bool = false, dropoutProbability: Float = 0, using generator: inout some RandomNumberGenerator
  ) {
    stack = RecurrentStack(
      "LSTM", .lstm, inputWidth: inputWidth, hiddenWidth: hiddenWidth, layers: layers, isBidirectional: isBidirectional,
      hasBias: hasBias, normalisesSteps: normalisesSteps, dropoutProbability: dropoutProbability
    ) { _, shape, inputs in Tensor(linearUniform: shape, inputs: inputs, using: &generator) }
  }

  /// Creates a layer with biases whose parameters come from elsewhere, such as a checkpoint.
  package init<Failure: Error>(
    inputWidth: Int, hiddenWidth: Int, layers: Int = 1, isBidirectional: Bool = false,
    dropoutProbability: Float = 0, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    stack = try RecurrentStack(
      "LSTM", .lstm, inputWidth: inputWidth, hiddenWidth: hiddenWidth, layers: layers,
      isBidirectional: isBidirectional, hasBias: true, normalisesSteps: false,
      dropoutProbability: dropoutProbability, from: parameter)
  }

  /// The width of what goes in.
  public var inputWidth: Int { stack.inputWidth }
  /// The width of a state.
  public var hiddenWidth: Int { stack.hiddenWidth }

  /// The last layer's states at every token, and all states after each sequence's last one.
  ///
  /// A sequence without tokens keeps its initial state. O(layers · tokens · hidden · (inputs + hidden)).
  ///
  /// - Parameters:
  ///   - x: `[tokens, inputs]`.
  ///   - layout: the sequences in x.
  ///   - initial: the states before the first tokens; nil for zeros.
  ///   - dropout: what is dropped between layers; nil in inference.
  /// - Returns: `[tokens, directions · hidden]`, and states of `[layers · directions, sequences, hidden]`.
  /// - Precondition: the shapes fit.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, initial: LSTMState? = nil, dropout: DropoutKey? = nil
  ) -> (output: Tensor, state: LSTMState) {
    let result = stack.run(
      x, layout: layout, initial: initial?.hidden, initialCell: initial?.cell, dropout: dropout)
    return (result.output, LSTMState(hidden: result.state, cell: result.cell!))
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows { try stack.visitParameters(visit) }
}
