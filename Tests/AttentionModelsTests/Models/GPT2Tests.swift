import Attention
import Foundation
import Testing

import AttentionModels

@Suite struct GPT2Tests {
  static func model(
    seed: UInt64 = 1, isTied: Bool = true, activation: Activation = .geluTanh, maximumLength: Int = 200
  ) -> GPT2 {
    var generator = SeededGenerator(seed: seed)
    return GPT2(
      GPT2Configuration(
        vocabularySize: 300, width: 48, blockCount: 3, heads: 4, activation: activation, maximumLength: maximumLength,
        isTied: isTied, initialDeviation: 0.15),
      using: &generator)
  }

  static func ids(_ count: Int, seed: UInt64, below limit: Int = 300) -> [Int] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Int.random(in: 0..<limit, using: &generator) }
  }

  @Test("A sequence's rows do not depend on its batch mates", arguments: [true, false])
  func batchIsAlone(isTied: Bool) {
    let model = Self.model(isTied: isTied)
    let lengths = [5, 1, 0, 200, 77]
    let ids = lengths.enumerated().map { Self.ids($1, seed: UInt64($0)) }
    let together = model.scores(model(ids.flatMap { $0 }, layout: SequenceLayout(lengths: lengths)))
    var first = 0
    for sequence in ids {
      let alone = model.scores(model(sequence, layout: SequenceLayout(lengths: [sequence.count])))
      #expect(agree(alone, together.sliced(first..<first + sequence.count)))
      first += sequence.count
    }
    #expect(first == together.shape[0])
  }

  @Test(
    "Over caches, in chunks or token by token, rows are those of the whole",
    arguments: [[150], [64, 64, 22], [1, 148, 1], Array(repeating: 1, count: 150)])
  func cachedIsWhole(chunks: [Int]) {
    let model = Self.model()
    let ids = Self.ids(150, seed: 3)
    let whole = model(ids, layout: SequenceLayout(lengths: [150]))
    var caches = model.makeCaches(sequenceCount: 1)
    var first = 0
    for chunk in chunks {
      let part = first..<first + chunk
      let rows = model(Array(ids[part]), layout: SequenceLayout(lengths: [chunk]), caches: &caches)
      #expect(agree(rows, whole.sliced(part)))
      first += chunk
    }
    #expect(first == 150)
  }

  @Test("A token changes nothing before it, and what is behind it")
  func isCausal() {
    let model = Self.model()
    var ids = Self.ids(60, seed: 4)
    let layout = SequenceLayout(lengths: [60])
    let before = model(ids, layout: layout)
    ids[40] = (ids[40] + 1) % 300
    let after = model(ids, layout: layout)
    #expect(haveSameBits(before.sliced(0..<40), after.sliced(0..<40)))
    for row in 40..<60 { #expect(!haveSameBits(before.sliced(row..<row + 1), after.sliced(row..<row + 1))) }
  }

  @Test("Gradients flow to every parameter, and agree with differences", arguments: [true, false])
  func gradientsFlow(isTied: Bool) {
    let model = Self.model(isTied: isTied)
    let ids = Self.ids(12, seed: 5)
    let layout = SequenceLayout(lengths: [7, 5])
    func loss(_ model: GPT2) -> Tensor {
      crossEntropy(model.scores(model(ids, layout: layout)), labels: ids.reversed())
    }
    let tracked = model.tracked()
    let slopes = gradients(of: loss(tracked), withRespectTo: tracked)
    #expect(slopes.names == model.namedTensors.map(\.name))
    for (name, slope) in zip(slopes.names, slopes.tensors) {
      #expect(slope.scalars.contains { $0 != 0 } && slope.isFinite, "\(name)")
    }
    // Downhill along the gradient: by a step times its square.
    let square = slopes.tensors.reduce(Float(0)) { $0 + $1.squared().sum().scalars[0] }
    var moved = model
    let step: Float = 1e-3 / square.squareRoot()
    moved.update(by: slopes) { $0 - step * $1 }
    let change = loss(moved).scalars[0] - loss(model).scalars[0]
    #expect(abs(change + step * square) <= 0.05 * step * square, "\(change) for \(-step * square)")
  }

  @Test("Initial weights are GPT-2's")
  func initialWeights() throws {
    let model = Self.model()
    for (name, _, tensor) in model.namedTensors where tensor.rank == 2 {
      let deviation = (tensor.squared().sum().scalars[0] / Float(tensor.count)).squareRoot()
      let isResidual = name.contains("out_proj") || name.contains("linear2")
      let expected = isResidual ? 0.15 / Float(6).squareRoot() : 0.15
      #expect(abs(deviation / expected - 1) < 0.06, "\(name): \(deviation)")
    }
    #expect(model.parameterCount == 300 * 48 + 200 * 48 + 3 * (12 * 48 * 48 + 13 * 48) + 2 * 48)
  }

  // MARK: Wrong files

  /// The error of a folder whose configuration was changed.
  static func failure(
    _ name: String = "gelu_new-tied", replacing old: String, by new: String
  ) throws -> ModelFileError? {
    try withTemporaryFolder { folder in
      let target = folder.appending(path: "model")
      try FileManager.default.copyItem(at: fixtureFolder("gpt2/\(name)"), to: target)
      let file = target.appending(path: "config.json")
      let text = try String(contentsOf: file, encoding: .utf8)
      try #require(text.contains(old))
      try text.replacing(old, with: new).write(to: file, atomically: true, encoding: .utf8)
      do throws(ModelFileError) {
        _ = try GPT2(target.modelFolder)
        return nil
      } catch {
        return error
      }
    }
  }

  @Test(
    "A configuration that contradicts the weights is an error that names the tensor and both shapes",
    arguments: [
      (#""n_embd": 32"#, #""n_embd": 64"#, "transformer.wte.weight", [97, 32], [97, 64]),
      (#""vocab_size": 97"#, #""vocab_size": 98"#, "transformer.wte.weight", [97, 32], [98, 32]),
      (#""n_positions": 64"#, #""n_positions": 16777216"#, "transformer.wpe.weight", [64, 32], [16_777_216, 32]),
      (#""n_inner": 48"#, #""n_inner": null"#, "transformer.h.0.mlp.c_fc.bias", [48], [128]),
    ])
  func contradictions(old: String, new: String, tensor: String, found: [Int], expected: [Int]) throws {
    let error = try #require(try Self.failure(replacing: old, by: new))
    #expect(error.reason == .wrongShape(tensor: tensor, found: found, expected: expected), "\(error)")
    #expect("\(error)".contains(tensor) && "\(error)".contains("\(found)") && "\(error)".contains("\(expected)"))
  }

  @Test(
    "A configuration that asks for something else is an error",
    arguments: [
      (#""n_head": 4"#, #""n_head": 5"#), (#""n_layer": 2"#, #""n_layer": 3"#), (#""n_layer": 2"#, #""n_layer": 0"#),
      (#""n_layer": 2"#, #""n_layer": 1e9"#), (#""model_type": "gpt2""#, #""model_type": "gptx""#),
      (#""activation_function": "gelu_new""#, #""activation_function": "swoosh""#),
      (#""add_cross_attention": false"#, #""add_cross_attention": true"#),
      (#""tie_word_embeddings": true"#, #""tie_word_embeddings": false"#),
      (#""tie_word_embeddings": true"#, #""tie_word_embeddings": 1"#),
      (#""n_embd": 32"#, #""n_embd": -32"#), (#""layer_norm_epsilon": 1e-05"#, #""layer_norm_epsilon": -1"#),
      (#""eos_token_id": 96"#, #""eos_token_id": "end""#), ("{", "["),
    ])
  func wrongConfigurations(old: String, new: String) throws {
    #expect(try Self.failure(replacing: old, by: new) != nil)
  }

  @Test("A folder that is not there is an error")
  func missingFolder() {
    #expect(throws: ModelFileError.self) { try GPT2(ModelFolder(path: "/nowhere/at all")) }
  }
}
