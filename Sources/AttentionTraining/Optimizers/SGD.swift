import AttentionLayers
import AttentionTensors
import CAttentionKernels

/// Gradient descent, with momentum if wanted (Polyak, 1964; Sutskever et al., ICML 2013, for Nesterov's form), as PyTorch's
/// `torch.optim.SGD`: buffer ← momentum · buffer + (1 − dampening) · gradient, and the parameter moves by rate · buffer,
/// or with Nesterov's momentum by rate · (gradient + momentum · buffer). The buffer begins as the first gradient. Decay is
/// L2, part of the gradient.
///
/// One pass over each parameter, its gradient and its buffer, on all threads; bits do not depend on their number. Keeps a
/// tensor for each parameter, "momentum_buffer", or none without momentum.
public struct SGD: Optimizer {
  /// The buffers.
  public var state = OptimizerState()
  private let momentum: Float
  private let dampening: Float
  private let isNesterov: Bool
  private let groups: ParameterGroups

  /// Creates an optimizer before its first step.
  ///
  /// - Parameters:
  ///   - momentum: how much of the buffer stays.
  ///   - dampening: how much of a gradient does not go into the buffer.
  ///   - isNesterov: whether a step looks ahead along the buffer.
  ///   - groups: decay and rates of the parameters; no decay unless given.
  /// - Precondition: the momentum is not negative; Nesterov's form has momentum and no dampening.
  public init(
    momentum: Float = 0, dampening: Float = 0, isNesterov: Bool = false, groups: ParameterGroups = .all(weightDecay: 0)
  ) {
    require(
      momentum >= 0 && (!isNesterov || momentum > 0 && dampening == 0),
      "SGD: a momentum of \(momentum) and a dampening of \(dampening)\(isNesterov ? " in Nesterov's form" : "")")
    (self.momentum, self.dampening, self.isNesterov, self.groups) = (momentum, dampening, isNesterov, groups)
  }

  /// "momentum_buffer", or none without momentum.
  public var slotNames: [String] { momentum == 0 ? [] : ["momentum_buffer"] }

  /// Changes every parameter of a model.
  ///
  /// - Precondition: there is a gradient for each parameter, of its shape, and the state is of this model or empty.
  public mutating func update(
    _ model: inout some Layer, by gradients: LayerGradients, rate: Float, gradientFactor: Float
  ) {
    let isFirst = state.steps == 0
    state.update(&model, by: gradients, slots: slotNames, "SGD") { name, shape in
      let group = groups.group(name: name, shape: shape)
      let step = attention_sgd_step(
        gradient_factor: gradientFactor, gradient_decay: group.weightDecay, momentum: momentum,
        gradient_share: Float(1 - Double(dampening)), rate: rate * group.rateFactor, is_first: isFirst,
        is_nesterov: isNesterov)
      return { chunk in
        withUnsafePointer(to: step) { step in
          KernelSet.kernels.pointee.sgd(step, chunk.gradient, chunk.old, chunk.new, chunk.first, chunk.count)
        }
      }
    }
  }
}
