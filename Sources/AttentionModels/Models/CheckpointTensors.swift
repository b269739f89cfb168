import AttentionLayers
import AttentionTensors

/// The parameters of a model under the names and in the order of axes of its checkpoint: what ``ParameterSource`` reads,
/// the other way round.
struct CheckpointTensors {
  private(set) var tensors: [(name: String, contents: TensorFileContents)] = []

  mutating func vector(_ name: String, _ tensor: Tensor) { tensors.append((name, .float32(tensor.detached()))) }

  mutating func embedding(_ name: String, _ embedding: Embedding) { vector("\(name).weight", embedding.weight) }

  /// - Precondition: the norm is a layer norm with weight and bias: checkpoints of these models know no other.
  mutating func norm(_ name: String, _ norm: LayerNorm) {
    require(
      norm.weight != nil && norm.bias != nil, "\(name): a norm without weight and bias has no place in a checkpoint")
    vector("\(name).weight", norm.weight!)
    vector("\(name).bias", norm.bias!)
  }

  mutating func norm(_ name: String, _ norm: Normalisation) {
    guard case .layer(let layer) = norm else {
      preconditionFailure("\(name): a norm by the root mean square has no place in a checkpoint")
    }
    self.norm(name, layer)
  }

  /// - Precondition: there is a bias.
  mutating func linear(_ name: String, _ linear: Linear, order: WeightOrder = .outputsFirst) {
    self.linear([name], linear.weight, linear.bias, order: order)
  }

  /// A map whose outputs are those of several maps, as many each.
  mutating func linear(_ names: [String], _ weight: Tensor, _ bias: Tensor?, order: WeightOrder = .outputsFirst) {
    require(bias != nil, "\(names[0]): a map without a bias has no place in a checkpoint")
    let count = weight.shape[0] / names.count
    for (index, name) in names.enumerated() {
      let outputs = index * count..<(index + 1) * count
      let part = names.count == 1 ? weight.detached() : weight.detached().sliced(outputs)
      vector(parameterName(name, "weight"), order == .outputsFirst ? part : part.transposed())
      vector(parameterName(name, "bias"), names.count == 1 ? bias! : bias!.detached().sliced(outputs))
    }
  }
}

extension ModelFolder {
  /// Writes config.json and then model.safetensors, each whole or not at all; the folder is made if need be. Where there are
  /// weights, there is what describes them.
  func write(configuration: JSONWriter, _ parameters: CheckpointTensors) throws(ModelFileError) {
    do throws(TensorFileError) {
      try makeFolder(path)
      try AttentionTensors.write(configuration.bytes + [UInt8(ascii: "\n")], toFile: self.path(of: "config.json"))
      try SafetensorsFile.write(
        parameters.tensors, metadata: ["format": "pt"], to: self.path(of: "model.safetensors"))
    } catch {
      throw ModelFileError(error)
    }
  }
}
