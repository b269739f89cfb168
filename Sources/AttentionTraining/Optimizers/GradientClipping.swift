import AttentionLayers
import AttentionTensors

extension LayerGradients {
  /// The Euclidean norm of all gradients together.
  ///
  /// Squares are added up in float64: nothing overflows on the way, and the bits do not depend on the number of threads.
  /// O(scalars).
  public var norm: Float { Float(tensors.reduce(0) { $0 + $1.sumOfSquares }.squareRoot()) }
}

/// What gradients are multiplied with so that their norm is at most the maximum (Pascanu et al., 1211.5063), as
/// PyTorch's `clip_grad_norm_` has it: maximum / (norm + 1e-6), 1 at the most.
public func clippingFactor(norm: Float, maximum: Float?) -> Float {
  guard let maximum else { return 1 }
  let factor = maximum / (norm + 1e-6)
  // As PyTorch's: a norm that is no number shows.
  return factor >= 1 ? 1 : factor
}
