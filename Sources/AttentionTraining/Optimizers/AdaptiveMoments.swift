import AttentionLayers
import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What Adam and AdamW share: running means of the gradients and of their squares, which begin at 0 and are corrected for it.
struct AdaptiveMoments: Sendable {
  static let slotNames = ["exp_avg", "exp_avg_sq"]

  /// Where a parameter's decay goes.
  enum Decay { case gradient, parameter }

  let beta1: Double
  let beta2: Double
  let epsilon: Double
  let groups: ParameterGroups

  init(beta1: Double, beta2: Double, epsilon: Double, groups: ParameterGroups, _ optimizer: String) {
    require(
      (0..<1).contains(beta1) && (0..<1).contains(beta2) && epsilon >= 0,
      "\(optimizer): betas \(beta1) and \(beta2), which lie in 0..<1, and an epsilon of \(epsilon)")
    (self.beta1, self.beta2, self.epsilon, self.groups) = (beta1, beta2, epsilon, groups)
  }

  func update(
    _ model: inout some Layer, by gradients: LayerGradients, rate: Float, gradientFactor: Float, decay: Decay,
    state: inout OptimizerState, _ optimizer: String
  ) {
    // Numbers of a step are computed in float64, as PyTorch's are.
    let steps = Double(state.steps + 1)
    let meanCorrection = 1 - pow(beta1, steps)
    let squareCorrection = (1 - pow(beta2, steps)).squareRoot()
    state.update(&model, by: gradients, slots: AdaptiveMoments.slotNames, optimizer) { name, shape in
      let group = groups.group(name: name, shape: shape)
      let groupRate = Double(rate) * Double(group.rateFactor)
      let step = attention_adam_step(
        gradient_factor: gradientFactor,
        gradient_decay: decay == .gradient ? group.weightDecay : 0,
        keep: decay == .parameter ? Float(1 - groupRate * Double(group.weightDecay)) : 1,
        mean_share: Float(1 - beta1), square_keep: Float(beta2), square_share: Float(1 - beta2),
        correction: Float(squareCorrection), epsilon: Float(epsilon), rate: Float(groupRate / meanCorrection))
      return { chunk in
        withUnsafePointer(to: step) { step in
          KernelSet.kernels.pointee.adam(
            step, chunk.gradient, chunk.old, chunk.new, chunk.first!, chunk.second!, chunk.count)
        }
      }
    }
  }
}
