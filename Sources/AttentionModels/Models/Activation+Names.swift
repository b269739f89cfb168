import AttentionTensors

extension Activation {
  /// The name that transformers gives it.
  var checkpointName: String {
    switch self {
    case .relu: "relu"
    case .gelu: "gelu"
    case .geluTanh: "gelu_new"
    case .silu: "silu"
    case .tanh: "tanh"
    case .sigmoid: "sigmoid"
    }
  }
}

extension JSONField {
  /// A number in a range; the default where there is none.
  func number(default: Double, in range: ClosedRange<Double>) throws(ModelFileError) -> Double {
    guard exists else { return `default` }
    let value = try number()
    guard range.contains(value) else { throw notExpected("a number from \(range.lowerBound) to \(range.upperBound)") }
    return value
  }

  /// An activation by the name that transformers gives it.
  func activation(default: Activation) throws(ModelFileError) -> Activation {
    guard exists else { return `default` }
    let name = try string()
    switch name {
    case "gelu", "gelu_python": return .gelu
    // Three spellings of one formula.
    case "gelu_new", "gelu_fast", "gelu_pytorch_tanh": return .geluTanh
    case "relu": return .relu
    case "silu", "swish": return .silu
    case "tanh": return .tanh
    case "sigmoid": return .sigmoid
    default: throw unsupported(name)
    }
  }
}
