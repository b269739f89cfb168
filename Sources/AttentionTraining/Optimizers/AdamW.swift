import AttentionLayers
import AttentionTensors

/// Adam with decay that is decoupled from the gradient (Loshchilov and Hutter, 1711.05101, algorithm 2), as PyTorch's
/// `torch.optim.AdamW`: each step first shrinks a parameter by rate · decay, and then does what ``Adam`` does without any.
///
///     var optimizer = AdamW(groups: .matrices(weightDecay: 0.1))
///     optimizer.update(&model, by: slopes, rate: 1e-3, gradientFactor: 1)
///
/// One pass over each parameter, its gradient and both running means, on all threads; bits do not depend on their number.
/// Keeps two tensors for each parameter, "exp_avg" and "exp_avg_sq".
public struct AdamW: Optimizer {
  /// The running means.
  public var state = OptimizerState()
  private let moments: AdaptiveMoments

  /// Creates an optimizer before its first step.
  ///
  /// - Parameters:
  ///   - beta1: how much of the running mean of the gradients stays.
  ///   - beta2: how much of that of their squares stays.
  ///   - epsilon: added to the root of the latter.
  ///   - groups: decay and rates of the parameters; 0.01 unless given, and none for norms and biases.
  /// - Precondition: the betas lie in 0..<1, and epsilon is not negative.
  public init(
    beta1: Double = 0.9, beta2: Double = 0.999, epsilon: Double = 1e-8,
    groups: ParameterGroups = .matrices(weightDecay: 0.01)
  ) {
    moments = AdaptiveMoments(beta1: beta1, beta2: beta2, epsilon: epsilon, groups: groups, "AdamW")
  }

  /// "exp_avg" and "exp_avg_sq".
  public var slotNames: [String] { AdaptiveMoments.slotNames }

  /// Changes every parameter of a model.
  ///
  /// - Precondition: there is a gradient for each parameter, of its shape, and the state is of this model or empty.
  public mutating func update(
    _ model: inout some Layer, by gradients: LayerGradients, rate: Float, gradientFactor: Float
  ) {
    moments.update(
      &model, by: gradients, rate: rate, gradientFactor: gradientFactor, decay: .parameter, state: &state, "AdamW")
  }
}
