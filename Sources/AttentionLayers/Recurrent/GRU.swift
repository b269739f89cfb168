import AttentionCore
import AttentionTensors

/// Gated recurrent units (Cho et al., 1406.1078) over a ragged batch.
///
///     let layer = GRU(inputWidth: 384, hiddenWidth: 384, using: &generator)
///     let (output, state) = layer(x, layout: layout)   // [tokens, 384] of x [tokens, 384]
///
/// With r, z = σ(W·x + b + U·h + c): n = tanh(W·x + b + r∘(U·h + c)) and h = (1 − z)∘n + z∘h. Gates in PyTorch's order
/// r, z, n; parameters "weight_ih_l0" `[3 · hidden, inputs]`, "weight_hh_l0" `[3 · hidden, hidden]`, "bias_ih_l0",
/// "bias_hh_l0" `[3 · hidden]`, then those of "_l0_reverse" and "_l1", as `torch.nn.GRU`.
///
/// The paper resets before the product, n = tanh(W·x + b + U·(r∘h) + c), which takes a second product in each step:
/// `resetsAfterProduct: false`, ONNX's `linear_before_reset = 0`.
///
/// With `normalisesSteps`, a layer norm stands inside each step (Ba et al., 1607.06450, supplement): W·x and U·h are each
/// normalised over r and z together, and over n, before biases are added. Parameters "norm_ih_l0.weight",
/// "norm_ih_l0.bias" and "norm_hh_l0.…" `[3 · hidden]`. Such a layer runs by single operations, without the fused step.
public struct GRU: Layer {
  private var stack: RecurrentStack

  /// Creates a layer with the initial values that PyTorch draws: uniform on ±1/√hidden.
  ///
  /// - Parameters:
  ///   - inputWidth: the width of a token.
  ///   - hiddenWidth: the width of a state.
  ///   - layers: stacked ones, each reading the output of the one below.
  ///   - isBidirectional: whether a second one reads each sequence from its end.
  ///   - hasBias: whether sums have biases.
  ///   - resetsAfterProduct: whether the reset gate multiplies U·h + c rather than h.
  ///   - normalisesSteps: whether layer norms stand inside the steps.
  ///   - dropoutProbability: for each element between two layers, where a call is given a key.
  ///   - generator: where the initial values come from.
  /// - Precondition: the hidden width and the layers are positive.
  public init(
    inputWidth: Int, hiddenWidth: Int, layers: Int = 1, isBidirectional: Bool = false, hasBias: Bool = true,
    resetsAfterProduct: Bool = true, normalisesSteps: Bool = false, dropoutProbability: Float = 0,
    using generator: inout some RandomNumberGenerator
  ) {
    stack = RecurrentStack(
      "GRU", .gru(resetAfterProduct: resetsAfterProduct), inputWidth: inputWidth, hiddenWidth: hiddenWidth,
      layers: layers, isBidirectional: isBidirectional, hasBias: hasBias, normalisesSteps: normalisesSteps,
      dropoutProbability: dropoutProbability
    ) { _, shape, inputs in Tensor(linearUniform: shape, inputs: inputs, using: &generator) }
  }

  /// Creates a layer with biases whose parameters come from elsewhere, such as a checkpoint, and that resets after its product.
  package init<Failure: Error>(
    inputWidth: Int, hiddenWidth: Int, layers: Int = 1, isBidirectional: Bool = false,
    dropoutProbability: Float = 0, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    stack = try RecurrentStack(
      "GRU", .gru(resetAfterProduct: true), inputWidth: inputWidth, hiddenWidth: hiddenWidth, layers: layers,
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
    _ x: Tensor, layout: SequenceLayout, initial: Tensor? = nil, dropout: DropoutKey? = nil
  ) -> (output: Tensor, state: Tensor) {
    let result = stack.run(x, layout: layout, initial: initial, initialCell: nil, dropout: dropout)
    return (result.output, result.state)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows { try stack.visitParameters(visit) }
}
