import AttentionTensors

/// Layer norm: each row over its last axis, (x − mean) / √(variance + ε) · weight + bias (Ba et al., 1607.06450).
///
///     let norm = LayerNorm(width: 384)
///     let y = norm(x)                          // [tokens, 384]
///     let (z, sum) = norm(x, adding: residual) // the norm of x + residual, and that sum
///
/// It is the same in training and inference: a token's result depends on that token alone.
public struct LayerNorm: Layer {
  /// A factor for each column, `[width]`; nil is 1.
  public var weight: Tensor?
  /// What is added to each column, `[width]`; nil is 0.
  public var bias: Tensor?
  /// Added to the variance.
  public var epsilon: Float

  /// Creates a norm that leaves normalised rows as they are: a weight of ones, a bias of zeros.
  ///
  /// - Parameters:
  ///   - width: the length of the last axis.
  ///   - epsilon: added to the variance.
  ///   - isAffine: whether there is a weight, and a bias.
  ///   - hasBias: whether there is a bias beside the weight.
  public init(width: Int, epsilon: Float = 1e-5, isAffine: Bool = true, hasBias: Bool = true) {
    require(width >= 0, "LayerNorm: a width of \(width) is negative")
    weight = isAffine ? Tensor(repeating: 1, shape: [width]) : nil
    bias = isAffine && hasBias ? Tensor(zeros: [width]) : nil
    self.epsilon = epsilon
  }

  /// Creates a norm from its parameters.
  ///
  /// - Precondition: both have the same shape, `[width]`.
  public init(weight: Tensor?, bias: Tensor?, epsilon: Float) {
    require(
      weight?.rank ?? 1 == 1 && bias.map { $0.shape == weight?.shape ?? $0.shape && $0.rank == 1 } ?? true,
      "LayerNorm: a weight \(weight?.shape ?? []) and a bias \(bias?.shape ?? [])")
    self.weight = weight
    self.bias = bias
    self.epsilon = epsilon
  }

  /// The norm of each row of x, `[…, width]`. O(count).
  public func callAsFunction(_ x: Tensor) -> Tensor { layerNorm(x, weight: weight, bias: bias, epsilon: epsilon) }

  /// The norm of each row of x + residual, and that sum, in one pass. O(count).
  public func callAsFunction(_ x: Tensor, adding residual: Tensor) -> (normalised: Tensor, sum: Tensor) {
    layerNorm(x, adding: residual, weight: weight, bias: bias, epsilon: epsilon)
  }

  /// The norm of each row of x + residual.
  func callAsFunction(ofSum x: Tensor, _ residual: Tensor) -> Tensor {
    layerNorm(ofSum: x, residual, weight: weight, bias: bias, epsilon: epsilon)
  }

  /// Lists `weight` and `bias`, as far as there are any.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if weight != nil { try visit("weight", .parameter, &weight!) }
    if bias != nil { try visit("bias", .parameter, &bias!) }
  }
}
