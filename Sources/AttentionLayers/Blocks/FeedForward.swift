import AttentionTensors

/// The position-wise part of a block (Vaswani et al., 1706.03762, §3.3): linear2(activation(linear1(x))), or with a gate
/// (Shazeer, 2002.05202) linear2(activation(gate(x)) ∘ linear1(x)).
///
/// Parameters, as PyTorch's blocks have them: "linear1.weight" `[inner, width]`, "linear1.bias", "linear2.weight",
/// "linear2.bias"; with a gate "gate.weight", "gate.bias" before them.
public struct FeedForward: Layer {
  /// Of the inner values, if they are gated.
  public var gate: Linear?
  /// To the inner width.
  public var linear1: Linear
  /// Back to the width.
  public var linear2: Linear
  /// The probability with which an inner activation is dropped in training.
  public let dropout: Float

  /// Creates the part with PyTorch's initial values.
  ///
  /// - Precondition: the dropout lies in 0..<1.
  public init(
    width: Int, innerWidth: Int, activation: Activation, isGated: Bool = false, hasBias: Bool = true,
    dropout: Float = 0, using generator: inout some RandomNumberGenerator
  ) {
    require(dropout >= 0 && dropout < 1, "FeedForward: a dropout of \(dropout) is not in 0..<1")
    gate =
      isGated
      ? Linear(inputs: width, outputs: innerWidth, hasBias: hasBias, activation: activation, using: &generator) : nil
    linear1 = Linear(
      inputs: width, outputs: innerWidth, hasBias: hasBias, activation: isGated ? nil : activation, using: &generator)
    linear2 = Linear(inputs: innerWidth, outputs: width, hasBias: hasBias, using: &generator)
    self.dropout = dropout
  }

  /// Creates the part from its maps; the first has the activation.
  package init(linear1: Linear, linear2: Linear, dropout: Float = 0) {
    require(
      linear1.outputs == linear2.inputs, "FeedForward: \(linear1.outputs) outputs before \(linear2.inputs) inputs")
    self.linear1 = linear1
    self.linear2 = linear2
    self.dropout = dropout
  }

  /// `[…, width]` to `[…, width]`, each row by itself. O(rows · width · inner width).
  public func callAsFunction(_ x: Tensor, dropout key: DropoutKey? = nil) -> Tensor {
    var inner = linear1(x)
    if let gate { inner = gate(x) * inner }
    if let key, dropout > 0 { inner = inner.dropped(probability: dropout, seed: key.seed) }
    return linear2(inner)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if gate != nil { try gate!.visitParameters(under: "gate", visit) }
    try linear1.visitParameters(under: "linear1", visit)
    try linear2.visitParameters(under: "linear2", visit)
  }
}
