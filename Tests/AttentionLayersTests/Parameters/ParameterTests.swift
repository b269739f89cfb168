import Attention
import AttentionTestSupport
import Foundation
import Testing

@Suite struct ParameterTests {
  private func block() -> EncoderBlock {
    var generator = SeededGenerator(seed: 3)
    return EncoderBlock(BlockConfiguration(width: 8, heads: 2, feedForwardWidth: 12), using: &generator)
  }

  /// PyTorch's names, in an order that never changes.
  @Test func namesAndShapes() {
    let tensors = block().namedTensors
    #expect(
      tensors.map(\.name) == [
        "self_attn.in_proj_weight", "self_attn.in_proj_bias", "self_attn.out_proj.weight", "self_attn.out_proj.bias",
        "linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias", "norm1.weight", "norm1.bias",
        "norm2.weight",
        "norm2.bias",
      ])
    #expect(tensors.map(\.tensor.shape)[0] == [24, 8])
    #expect(tensors.allSatisfy { $0.role == .parameter })
  }

  /// 4·d² + 4·d, whatever the number of heads (Vaswani et al., §3.2.2).
  @Test(arguments: [1, 2, 4, 8, 16]) func countDoesNotDependOnHeads(_ heads: Int) {
    var generator = SeededGenerator(seed: 1)
    let attention = MultiHeadAttention(width: 16, heads: heads, using: &generator)
    #expect(attention.parameterCount == 1_088)
  }

  @Test func savedAndLoaded() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "layer-\(UUID().uuidString).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let saved = block()
    try saved.save(to: path)
    var generator = SeededGenerator(seed: 4)
    var loaded = EncoderBlock(saved.configuration, using: &generator)
    #expect(loaded.feedForward.linear1.weight != saved.feedForward.linear1.weight)
    try loaded.load(path: path)
    #expect(loaded.namedTensors.map(\.tensor) == saved.namedTensors.map(\.tensor))
    let x = Tensor(randomNormal: [5, 8], using: &generator)
    let layout = SequenceLayout(lengths: [2, 3])
    #expect(loaded(x, layout: layout) == saved(x, layout: layout))
    // Used without gradients, weights lie in panels: what is saved is the same.
    try loaded.save(to: path)
    var again = EncoderBlock(saved.configuration, using: &generator)
    try again.load(path: path)
    #expect(again.namedTensors.map(\.tensor) == saved.namedTensors.map(\.tensor))
  }

  /// Everything that does not fit is listed, with what was expected and found, and nothing is changed.
  @Test func errorsListExpectedAndFound() throws {
    var layer = block()
    let before = layer.namedTensors.map(\.tensor)
    var tensors = Dictionary(uniqueKeysWithValues: layer.namedTensors.map { ($0.name, $0.tensor) })
    tensors["norm1.weight"] = Tensor(zeros: [9])
    tensors["linear2.bias"] = nil
    tensors["linear3.bias"] = Tensor(zeros: [1])
    let error = #expect(throws: ParameterError.self) { try layer.load(tensors, from: "here") }
    #expect(error?.missing == ["linear2.bias"])
    #expect(error?.unexpected == ["linear3.bias"])
    #expect(error?.mismatched.map(\.name) == ["norm1.weight"])
    #expect(error?.mismatched.map(\.expected) == [[8]] && error?.mismatched.map(\.found) == [[9]])
    let text = error?.description ?? ""
    #expect(text.contains("here") && text.contains("linear2.bias") && text.contains("expected [8], found [9]"))
    #expect(layer.namedTensors.map(\.tensor) == before)
    tensors["linear2.bias"] = Tensor(zeros: [8])
    tensors["norm1.weight"] = Tensor(zeros: [8])
    try layer.load(tensors, allowsOthers: true)
    #expect(layer.feedForward.linear2.bias == Tensor(zeros: [8]))
  }

  @Test func prefixesAndMissingFiles() throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "model-\(UUID().uuidString).safetensors").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let table = Tensor([1, 2, 3, 4], shape: [2, 2])
    try SafetensorsFile.write(
      [("model.tokens.weight", .float32(table)), ("model.other", .float32(table))], to: path)
    var embedding = Embedding(weight: Tensor(zeros: [2, 2]))
    try embedding.load(path: path, prefix: "model.tokens.")
    #expect(embedding.weight == table)
    #expect(throws: LayerLoadingError.self) { try embedding.load(path: path) }
    #expect(throws: LayerLoadingError.self) { try embedding.load(path: path + ".none") }
  }

  @Test func gradientsByName() throws {
    let model = block().tracked()
    var generator = SeededGenerator(seed: 5)
    let x = Tensor(randomNormal: [4, 8], using: &generator)
    let slopes = gradients(of: model.feedForward(x).squared().mean(), withRespectTo: model)
    #expect(slopes.names == model.namedTensors.map(\.name))
    #expect(zip(slopes.tensors, model.namedTensors).allSatisfy { $0.shape == $1.tensor.shape })
    #expect(slopes["linear1.weight"]?.scalars.contains { $0 != 0 } == true)
    #expect(slopes["self_attn.in_proj_bias"] == Tensor(zeros: [24]))
    #expect(slopes["nothing"] == nil && slopes.namesOfNonFinite.isEmpty)
    var changed = block()
    changed.update(by: slopes) { $0 - 0.5 * $1 }
    #expect(changed.norm1.weights == block().norm1.weights)
    #expect(changed.feedForward.linear1.weight != block().feedForward.linear1.weight)
  }

  /// A NaN in a gradient can be asked about, and says which parameter.
  @Test func nonFiniteGradientsAreNamed() {
    var model = block()
    var bias = model.feedForward.linear2.bias!
    bias[3] = .nan
    model.feedForward.linear2.bias = bias
    let tracked = model.tracked()
    let x = Tensor(repeating: 0.5, shape: [2, 8])
    let slopes = gradients(of: tracked.feedForward(x).squared().sum(), withRespectTo: tracked)
    #expect(slopes.namesOfNonFinite.contains("linear2.bias") && !slopes.namesOfNonFinite.contains("norm1.weight"))
  }

  @Test func updatesWithOtherShapesAreMisuse() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      var layer = Linear(inputs: 2, outputs: 3, using: &generator)
      let other = Linear(inputs: 3, outputs: 3, using: &generator).tracked()
      let slopes = gradients(of: other(Tensor(zeros: [1, 3])).sum(), withRespectTo: other)
      layer.update(by: slopes) { parameter, _ in parameter }
    }
    #expect(message(result).contains("no gradient of shape [3, 2] for the parameter weight"))
  }

  @Test func dropoutKeysDiffer() {
    let key = DropoutKey(seed: 1)
    let seeds = (0..<1000).map { key.child($0).seed } + (0..<1000).map { key.child(3).child($0).seed }
    #expect(Set(seeds).count == 2000)
    #expect(key.child(5) == DropoutKey(seed: 1).child(5) && key.child(5) != DropoutKey(seed: 2).child(5))
  }
}

extension Normalisation {
  fileprivate var weights: [Tensor] { namedTensors.map(\.tensor) }
}
