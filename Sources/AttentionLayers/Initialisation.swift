import AttentionTensors

/// Which side of a weight its initial variance is chosen for.
public enum FanMode: String, Sendable, CaseIterable {
  /// The inputs of an output: signals keep their variance on the way forward.
  case input
  /// The outputs of an input: gradients keep theirs on the way back.
  case output
}

/// Initial weights, from a passed generator: equal generators give equal tensors.
///
/// A weight is `[outputs, inputs, …]`, as PyTorch's; axes after the second multiply both sides (a receptive field).
extension Tensor {
  /// Uniform on ±gain·√(6 / (inputs + outputs)) (Glorot and Bengio, 2010, "Understanding the difficulty of training deep
  /// feedforward neural networks", equation 16): variance gain²·2 / (inputs + outputs).
  ///
  /// - Precondition: the shape has two axes at least, and the gain is finite and not negative.
  public init(xavierUniform shape: [Int], gain: Float = 1, using generator: inout some RandomNumberGenerator) {
    let fans = Fans(shape, gain: gain, "xavierUniform")
    self.init(uniform: shape, bound: gain * (6 / fans.sum).squareRoot(), using: &generator)
  }

  /// Normal with the variance gain²·2 / (inputs + outputs) (Glorot and Bengio, 2010, equation 12).
  ///
  /// - Precondition: the shape has two axes at least, and the gain is finite and not negative.
  public init(xavierNormal shape: [Int], gain: Float = 1, using generator: inout some RandomNumberGenerator) {
    let fans = Fans(shape, gain: gain, "xavierNormal")
    self.init(randomNormal: shape, standardDeviation: gain * (2 / fans.sum).squareRoot(), using: &generator)
  }

  /// Uniform with the variance gain² / fan (He et al., 1502.01852, §2.2): bounds ±gain·√(3 / fan).
  ///
  /// The gain is √2 unless given, which is ReLU's: that one halves the mean square of what goes through.
  ///
  /// - Precondition: the shape has two axes at least, and the gain is finite and not negative.
  public init(
    heUniform shape: [Int], mode: FanMode = .input, gain: Float = Float(2).squareRoot(),
    using generator: inout some RandomNumberGenerator
  ) {
    let fans = Fans(shape, gain: gain, "heUniform")
    self.init(uniform: shape, bound: gain * (3 / fans[mode]).squareRoot(), using: &generator)
  }

  /// Normal with the variance gain² / fan (He et al., 1502.01852, §2.2).
  ///
  /// The gain is √2 unless given, which is ReLU's: that one halves the mean square of what goes through.
  ///
  /// - Precondition: the shape has two axes at least, and the gain is finite and not negative.
  public init(
    heNormal shape: [Int], mode: FanMode = .input, gain: Float = Float(2).squareRoot(),
    using generator: inout some RandomNumberGenerator
  ) {
    let fans = Fans(shape, gain: gain, "heNormal")
    self.init(randomNormal: shape, standardDeviation: gain * (1 / fans[mode]).squareRoot(), using: &generator)
  }

  /// Uniform on ±1/√inputs, as PyTorch draws the weight and the bias of a linear layer; zeros of no inputs.
  ///
  /// The inputs are the width of what the layer takes.
  ///
  /// - Precondition: the number of inputs is not negative.
  public init(linearUniform shape: [Int], inputs: Int, using generator: inout some RandomNumberGenerator) {
    require(inputs >= 0, "linearUniform: \(inputs) inputs for \(shape)")
    self.init(uniform: shape, bound: inputs == 0 ? 0 : 1 / Float(inputs).squareRoot(), using: &generator)
  }

  /// Uniform on ±bound.
  private init(uniform shape: [Int], bound: Float, using generator: inout some RandomNumberGenerator) {
    guard bound > 0, Tensor.scalarCount(of: shape) > 0 else {
      self.init(zeros: shape)
      return
    }
    self.init(randomUniform: shape, in: -bound..<bound, using: &generator)
  }
}

/// The connections of each output and of each input of a weight.
private struct Fans {
  private let input: Float
  private let output: Float

  init(_ shape: [Int], gain: Float, _ initialisation: String) {
    require(shape.count >= 2, "\(initialisation): a weight has the shape [outputs, inputs, …], not \(shape)")
    require(gain.isFinite && gain >= 0, "\(initialisation): a gain of \(gain) for a weight \(shape)")
    let field = shape.dropFirst(2).reduce(1, *)
    input = Float(shape[1] * field)
    output = Float(shape[0] * field)
  }

  /// Of a weight without scalars nothing is drawn; the quotients need not be infinite for it.
  var sum: Float { max(1, input + output) }
  subscript(mode: FanMode) -> Float { max(1, mode == .input ? input : output) }
}
