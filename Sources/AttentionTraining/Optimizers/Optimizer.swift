import AttentionLayers
import AttentionTensors

/// How parameters change by their gradients.
public protocol Optimizer: Sendable {
  /// What the optimizer keeps from one step to the next.
  var state: OptimizerState { get set }

  /// The names of the tensors that are kept for each parameter, PyTorch's: "exp_avg".
  var slotNames: [String] { get }

  /// Changes every parameter of a model.
  ///
  /// - Parameters:
  ///   - model: the model, untracked.
  ///   - gradients: of a tracked copy of it.
  ///   - rate: the learning rate of this step.
  ///   - gradientFactor: what gradients are multiplied with first, such as that of clipping.
  /// - Precondition: there is a gradient for each parameter, of its shape, and the state is of this model or empty.
  mutating func update(
    _ model: inout some Layer, by gradients: LayerGradients, rate: Float, gradientFactor: Float)
}

/// What an optimizer keeps from one step to the next.
public struct OptimizerState: Sendable {
  /// The steps done.
  public var steps: Int
  /// By slot, a tensor for each parameter in the model's order; empty before the first step.
  public var slots: [String: [Tensor]]

  /// The state before the first step.
  public init(steps: Int = 0, slots: [String: [Tensor]] = [:]) {
    self.steps = steps
    self.slots = slots
  }
}
