import AttentionTensors

/// RMS norm: each row over its last axis, x / √(mean(x²) + ε) · weight (Zhang and Sennrich, 1910.07467).
///
/// Layer norm without the mean and the bias. It is the same in training and inference.
public struct RMSNorm: Layer {
  /// A factor for each column, `[width]`; nil is 1.
  public var weight: Tensor?
  /// Added to the mean square.
  public var epsilon: Float

  /// Creates a norm that leaves normalised rows as they are: a weight of ones.
  ///
  /// - Parameters:
  ///   - width: the length of the last axis.
  ///   - epsilon: added to the mean square; PyTorch's default is the float's epsilon, 2⁻²³, and many models have 1e-5.
  ///   - isAffine: whether there is a weight.
  public init(width: Int, epsilon: Float = .ulpOfOne, isAffine: Bool = true) {
    require(width >= 0, "RMSNorm: a width of \(width) is negative")
    weight = isAffine ? Tensor(repeating: 1, shape: [width]) : nil
    self.epsilon = epsilon
  }

  /// The norm of each row of x, `[…, width]`. O(count).
  public func callAsFunction(_ x: Tensor) -> Tensor { rmsNorm(x, weight: weight, epsilon: epsilon) }

  /// The norm of each row of x + residual, and that sum, in one pass. O(count).
  public func callAsFunction(_ x: Tensor, adding residual: Tensor) -> (normalised: Tensor, sum: Tensor) {
    rmsNorm(x, adding: residual, weight: weight, epsilon: epsilon)
  }

  /// The norm of each row of x + residual.
  func callAsFunction(ofSum x: Tensor, _ residual: Tensor) -> Tensor {
    rmsNorm(ofSum: x, residual, weight: weight, epsilon: epsilon)
  }

  /// Lists `weight`, if there is one.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if weight != nil { try visit("weight", .parameter, &weight!) }
  }
}
