import Attention
import AttentionLayers
import AttentionModels
import Foundation

/// What `scripts/make-training-fixtures` made.
enum TrainingFixtures {
  static func path(_ name: String) -> String {
    URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures").appending(path: name)
      .path(percentEncoded: false)
  }

  static func json<Value: Decodable>(_ name: String, as type: Value.Type) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: URL(filePath: path(name))))
  }

  static func modelFolder(_ name: String) -> ModelFolder { ModelFolder(path: path("gpt2/\(name)")) }
}

/// Layers that hold nothing but what tests give them.
struct Parameters: Layer {
  var tensors: [Tensor]
  var names: [String]

  init(_ tensors: [Tensor], names: [String]? = nil) {
    self.tensors = tensors
    self.names = names ?? tensors.indices.map { "p\($0)" }
  }

  mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    for index in tensors.indices { try visit(names[index], .parameter, &tensors[index]) }
  }

  /// These gradients of it.
  func gradients(_ wanted: [Tensor]) -> LayerGradients {
    let tracked = tracked()
    return Attention.gradients(of: tracked.tensors, upstream: wanted, withRespectTo: tracked)
  }
}

/// Whether both have one shape and the same bits.
func haveSameBits(_ left: Tensor, _ right: Tensor) -> Bool {
  left.shape == right.shape && zip(left.scalars, right.scalars).allSatisfy { $0.bitPattern == $1.bitPattern }
}
