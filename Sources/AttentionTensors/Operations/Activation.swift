import CAttentionKernels

/// A function that is applied to each element on its own.
public enum Activation: String, Sendable, CaseIterable {
  /// max(x, 0).
  case relu
  /// x·Φ(x), Φ being the normal distribution (Hendrycks and Gimpel, 1606.08415): BERT's.
  case gelu
  /// GELU by way of tanh (1606.08415, §2): GPT-2's. It differs from ``gelu`` by up to 5e-4.
  case geluTanh
  /// x·σ(x) (1606.08415; Ramachandran et al., 1710.05941): LLaMA's.
  case silu
  /// The hyperbolic tangent.
  case tanh
  /// σ(x) = 1 / (1 + e⁻ˣ).
  case sigmoid

  var kernel: attention_activation {
    switch self {
    case .relu: ATTENTION_RELU
    case .gelu: ATTENTION_GELU
    case .geluTanh: ATTENTION_GELU_TANH
    case .silu: ATTENTION_SILU
    case .tanh: ATTENTION_TANH
    case .sigmoid: ATTENTION_SIGMOID
    }
  }
}

extension Tensor {
  /// Each element through an activation. A NaN gives NaN, and an infinity the limit. O(count).
  public func activated(by activation: Activation) -> Tensor {
    let kept = isTracked ? detached() : nil
    return mapped { KernelSet.kernels.pointee.activate(activation.kernel, $0, nil, nil, $1, $2) }
      .derived(from: self) { upstream in kept.map { upstream.activationGradient(of: activation, at: $0) } }
  }

  /// max(x, 0) of each element.
  public func relu() -> Tensor { activated(by: .relu) }
  /// ``Activation/gelu`` of each element.
  public func gelu() -> Tensor { activated(by: .gelu) }
  /// ``Activation/geluTanh`` of each element.
  public func geluTanh() -> Tensor { activated(by: .geluTanh) }
  /// ``Activation/silu`` of each element.
  public func silu() -> Tensor { activated(by: .silu) }
  /// The hyperbolic tangent of each element.
  public func tanh() -> Tensor { activated(by: .tanh) }
  /// 1 / (1 + e⁻ˣ) of each element.
  public func sigmoid() -> Tensor { activated(by: .sigmoid) }

  /// This upstream gradient times the activation's slope at each element of its input.
  package func activationGradient(of activation: Activation, at x: Tensor) -> Tensor {
    require(shape == x.shape, "activation: an upstream gradient \(shape) for \(x.shape)")
    return Tensor(uninitialized: shape) { buffer in
      guard !buffer.isEmpty else { return }
      let (source, input, result) = (Unchecked(unsafeBase), Unchecked(x.unsafeBase), Unchecked(buffer.baseAddress!))
      forEachChunk(of: count) { range in
        KernelSet.kernels.pointee.activation_gradient(
          activation.kernel, input.value + range.lowerBound, source.value + range.lowerBound,
          result.value + range.lowerBound, range.count)
      }
    }
  }
}
