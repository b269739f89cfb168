import AttentionTensors

/// The normalisation of a block's rows.
public enum Normalisation: Layer {
  /// What a block is made with.
  public enum Kind: String, Sendable, CaseIterable {
    /// ``LayerNorm``.
    case layer
    /// ``RMSNorm``.
    case rootMeanSquare
  }

  /// Mean and variance of each row.
  case layer(LayerNorm)
  /// The root mean square of each row.
  case rootMeanSquare(RMSNorm)

  /// - Parameter hasBias: whether layer norm shifts what it has scaled.
  init(_ kind: Kind, width: Int, epsilon: Float, hasBias: Bool) {
    switch kind {
    case .layer: self = .layer(LayerNorm(width: width, epsilon: epsilon, hasBias: hasBias))
    case .rootMeanSquare: self = .rootMeanSquare(RMSNorm(width: width, epsilon: epsilon))
    }
  }

  /// The normalised rows.
  public func callAsFunction(_ x: Tensor) -> Tensor {
    switch self {
    case .layer(let norm): norm(x)
    case .rootMeanSquare(let norm): norm(x)
    }
  }

  /// The normalised sums, and the sums, in one pass.
  func callAsFunction(_ x: Tensor, adding residual: Tensor) -> (normalised: Tensor, sum: Tensor) {
    switch self {
    case .layer(let norm): norm(x, adding: residual)
    case .rootMeanSquare(let norm): norm(x, adding: residual)
    }
  }

  /// The normalised sums alone.
  func callAsFunction(ofSum x: Tensor, _ residual: Tensor) -> Tensor {
    switch self {
    case .layer(let norm): norm(ofSum: x, residual)
    case .rootMeanSquare(let norm): norm(ofSum: x, residual)
    }
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    switch self {
    case .layer(var norm):
      try norm.visitParameters(visit)
      self = .layer(norm)
    case .rootMeanSquare(var norm):
      try norm.visitParameters(visit)
      self = .rootMeanSquare(norm)
    }
  }
}
