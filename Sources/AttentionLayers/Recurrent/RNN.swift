import AttentionCore
import AttentionTensors

/// What an Elman cell applies to its sum.
public enum ElmanActivation: String, Sendable, CaseIterable {
  case tanh
  case relu
}

/// The simple recurrent network (Elman, 1990, "Finding structure in time") over a ragged batch.
///
/// h = f(W·x + b + U·h + c), f being tanh or max(·, 0). Parameters "weight_ih_l0" `[hidden, inputs]`, "weight_hh_l0"
/// `[hidden, hidden]`, "bias_ih_l0", "bias_hh_l0" `[hidden]`, then those of "_l0_reverse" and "_l1", as `torch.nn.RNN`.
///
///     let layer = RNN(inputWidth: 64, hiddenWidth: 128, activation: .relu, using: &generator)
///     let (output, state) = layer(x, layout: layout)   // [tokens, 128] of x [tokens, 64]
///
/// With `normalisesSteps`, each step's sum is normalised before the activation (Ba et al., 1607.06450, §3.1): parameters
/// "norm_l0.weight" and "norm_l0.bias" `[hidden]`. Such a layer runs by single operations, without the fused step.
public struct RNN: Layer {
  private var stack: RecurrentStack

  /// Creates a layer with the initial values that PyTorch draws: uniform on ±1/√hidden.
  ///
  /// - Parameters:
  ///   - inputWidth: the width of a token.
  ///   - hiddenWidth: the width of a state.
  ///   - activation: what is applied to each sum.
  ///   - layers: stacked ones, each reading the output of the one below.
  ///   - isBidirectional: whether a second one reads each sequence from its end.
  ///   - hasBias: whether sums have biases.
  ///   - normalisesSteps: whether layer norms stand inside the steps.
  ///   - dropoutProbability: for each element between two layers, where a call is given a key.
  ///   - generator: where the initial values come from.
  /// - Precondition: the hidden width and the layers are positive.
  public init(
    inputWidth: Int, hiddenWidth: Int, activation: ElmanActivation = .tanh, layers: Int = 1,
    isBidirectional: Bool = false, hasBias: Bool = true, normalisesSteps: Bool = false, dropoutProbability: Float = 0,
    using generator: inout some RandomNumberGenerator
  ) {
    stack = RecurrentStack(
      "RNN", .elman(activation), inputWidth: inputWidth, hiddenWidth: hiddenWidth, layers: layers,
      isBidirectional: isBidirectional, hasBias: hasBias, normalisesSteps: normalisesSteps,
      dropoutProbability: dropoutProbability
    ) { _, shape, inputs in Tensor(linearUniform: shape, inputs: inputs, using: &generator) }
  }

  /// Creates a layer with biases whose parameters come from elsewhere, such as a checkpoint.
  package init<Failure: Error>(
    inputWidth: Int, hiddenWidth: Int, activation: ElmanActivation, layers: Int = 1, isBidirectional: Bool = false,
    dropoutProbability: Float = 0, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    stack = try RecurrentStack(
      "RNN", .elman(activation), inputWidth: inputWidth, hiddenWidth: hiddenWidth, layers: layers,
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
