import AttentionLayers
import AttentionTensors

/// Where a model's parameters come from: a checkpoint, or a generator. A model says its structure once, to either.
protocol ParameterSource<Failure> {
  associatedtype Failure: Error

  /// A table `[count, width]`.
  mutating func embedding(_ name: String, count: Int, width: Int) throws(Failure) -> Embedding

  /// A linear map, whose outputs may be those of several maps side by side.
  ///
  /// - Parameters:
  ///   - names: of the maps, without ".weight" and ".bias".
  ///   - inputs: the width of what goes in.
  ///   - outputs: of each map.
  ///   - order: how a file has the weight.
  ///   - activation: what follows.
  ///   - deviationFactor: how much smaller than others the initial values are.
  mutating func linear(
    _ names: [String], inputs: Int, outputs: [Int], order: WeightOrder, activation: Activation?, deviationFactor: Float
  ) throws(Failure) -> Linear

  /// A linear map without a bias, whose weight a file has as `[outputs, inputs]`: from rows to scores of tokens.
  mutating func plainLinear(_ name: String, inputs: Int, outputs: Int) throws(Failure) -> Linear

  /// A layer norm.
  mutating func norm(_ name: String, width: Int, epsilon: Float) throws(Failure) -> LayerNorm

  /// A vector that begins as zeros.
  mutating func vector(_ name: String, width: Int) throws(Failure) -> Tensor

  /// A parameter whose initial values are uniform on ±1/√inputs, as PyTorch draws them.
  mutating func uniform(_ name: String, _ shape: [Int], inputs: Int) throws(Failure) -> Tensor
}

extension ParameterSource {
  mutating func linear(
    _ name: String, inputs: Int, outputs: Int, order: WeightOrder = .outputsFirst, activation: Activation? = nil,
    deviationFactor: Float = 1
  ) throws(Failure) -> Linear {
    try linear(
      [name], inputs: inputs, outputs: [outputs], order: order, activation: activation,
      deviationFactor: deviationFactor)
  }
}

/// The name of a map's part in a checkpoint: PyTorch's attention joins those of its projection by an underscore.
func parameterName(_ map: String, _ part: String) -> String { "\(map)\(map.hasSuffix("in_proj") ? "_" : ".")\(part)" }

/// Initial values as BERT's and GPT-2's authors draw them: weights normal, biases 0 (Devlin et al., 1810.04805, A.2).
struct RandomParameters<Generator: RandomNumberGenerator>: ParameterSource {
  var generator: Generator
  let deviation: Float

  mutating func embedding(_ name: String, count: Int, width: Int) -> Embedding {
    Embedding(count: count, width: width, standardDeviation: deviation, using: &generator)
  }

  mutating func linear(
    _ names: [String], inputs: Int, outputs: [Int], order: WeightOrder, activation: Activation?, deviationFactor: Float
  ) -> Linear {
    let total = outputs.reduce(0, +)
    return Linear(
      weight: Tensor(
        randomNormal: [total, inputs], standardDeviation: deviation * deviationFactor, using: &generator),
      bias: Tensor(zeros: [total]), activation: activation)
  }

  mutating func plainLinear(_ name: String, inputs: Int, outputs: Int) -> Linear {
    Linear(weight: Tensor(randomNormal: [outputs, inputs], standardDeviation: deviation, using: &generator))
  }

  mutating func norm(_ name: String, width: Int, epsilon: Float) -> LayerNorm {
    LayerNorm(width: width, epsilon: epsilon)
  }

  mutating func vector(_ name: String, width: Int) -> Tensor { Tensor(zeros: [width]) }

  mutating func uniform(_ name: String, _ shape: [Int], inputs: Int) -> Tensor {
    Tensor(linearUniform: shape, inputs: inputs, using: &generator)
  }
}

/// Initial values of Vaswani et al.'s own code: weights uniform by Xavier's bound, biases 0, embeddings normal with the
/// variance 1/width, so that times √width they have the variance 1.
struct XavierParameters<Generator: RandomNumberGenerator>: ParameterSource {
  var generator: Generator

  mutating func embedding(_ name: String, count: Int, width: Int) -> Embedding {
    Embedding(
      count: count, width: width, standardDeviation: 1 / Float(width).squareRoot(), using: &generator)
  }

  mutating func linear(
    _ names: [String], inputs: Int, outputs: [Int], order: WeightOrder, activation: Activation?, deviationFactor: Float
  ) -> Linear {
    let total = outputs.reduce(0, +)
    return Linear(
      weight: Tensor(xavierUniform: [total, inputs], using: &generator), bias: Tensor(zeros: [total]),
      activation: activation)
  }

  /// As embeddings, which it may serve as.
  mutating func plainLinear(_ name: String, inputs: Int, outputs: Int) -> Linear {
    Linear(weight: embedding(name, count: outputs, width: inputs).weight)
  }

  mutating func norm(_ name: String, width: Int, epsilon: Float) -> LayerNorm {
    LayerNorm(width: width, epsilon: epsilon)
  }

  mutating func vector(_ name: String, width: Int) -> Tensor { Tensor(zeros: [width]) }

  mutating func uniform(_ name: String, _ shape: [Int], inputs: Int) -> Tensor {
    Tensor(linearUniform: shape, inputs: inputs, using: &generator)
  }
}

/// Initial values as PyTorch's own layers draw them: weights and biases uniform on ±1/√inputs, embeddings normal.
struct PyTorchParameters<Generator: RandomNumberGenerator>: ParameterSource {
  var generator: Generator
  /// The standard deviation of embeddings.
  let embeddingDeviation: Float

  mutating func embedding(_ name: String, count: Int, width: Int) -> Embedding {
    Embedding(count: count, width: width, standardDeviation: embeddingDeviation, using: &generator)
  }

  mutating func linear(
    _ names: [String], inputs: Int, outputs: [Int], order: WeightOrder, activation: Activation?, deviationFactor: Float
  ) -> Linear {
    Linear(inputs: inputs, outputs: outputs.reduce(0, +), activation: activation, using: &generator)
  }

  mutating func plainLinear(_ name: String, inputs: Int, outputs: Int) -> Linear {
    Linear(inputs: inputs, outputs: outputs, hasBias: false, using: &generator)
  }

  mutating func norm(_ name: String, width: Int, epsilon: Float) -> LayerNorm {
    LayerNorm(width: width, epsilon: epsilon)
  }

  mutating func vector(_ name: String, width: Int) -> Tensor { Tensor(zeros: [width]) }

  mutating func uniform(_ name: String, _ shape: [Int], inputs: Int) -> Tensor {
    Tensor(linearUniform: shape, inputs: inputs, using: &generator)
  }
}

/// Parameters from files, weights straight into panels.
extension Checkpoint: ParameterSource {
  func embedding(_ name: String, count: Int, width: Int) throws(ModelFileError) -> Embedding {
    Embedding(weight: try tensor("\(name).weight", [count, width]))
  }

  func linear(
    _ names: [String], inputs: Int, outputs: [Int], order: WeightOrder, activation: Activation?, deviationFactor: Float
  ) throws(ModelFileError) -> Linear {
    var biases: [Tensor] = []
    for (name, count) in zip(names, outputs) { biases.append(try tensor(parameterName(name, "bias"), [count])) }
    let panels = try panels(
      names.map { parameterName($0, "weight") }, inputs: inputs, outputs: outputs, order: order)
    return Linear(
      packed: panels, bias: biases.count == 1 ? biases[0] : Tensor.concatenated(biases), activation: activation)
  }

  func plainLinear(_ name: String, inputs: Int, outputs: Int) throws(ModelFileError) -> Linear {
    Linear(packed: try panels(["\(name).weight"], inputs: inputs, outputs: [outputs], order: .outputsFirst))
  }

  func norm(_ name: String, width: Int, epsilon: Float) throws(ModelFileError) -> LayerNorm {
    // Old checkpoints have TensorFlow's names.
    let isOld = !contains("\(name).weight") && contains("\(name).gamma")
    return LayerNorm(
      weight: try tensor("\(name).\(isOld ? "gamma" : "weight")", [width]),
      bias: try tensor("\(name).\(isOld ? "beta" : "bias")", [width]), epsilon: epsilon)
  }

  func vector(_ name: String, width: Int) throws(ModelFileError) -> Tensor { try tensor(name, [width]) }

  func uniform(_ name: String, _ shape: [Int], inputs: Int) throws(ModelFileError) -> Tensor {
    try tensor(name, shape)
  }
}
