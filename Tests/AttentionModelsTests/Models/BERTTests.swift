import Attention
import AttentionModels
import Foundation
import Testing

@Suite struct BERTTests {
  static func model(seed: UInt64 = 1) -> BERT {
    var generator = SeededGenerator(seed: seed)
    return BERT(
      BERTConfiguration(
        vocabularySize: 50, width: 32, blockCount: 2, heads: 4, feedForwardWidth: 48, maximumLength: 20,
        initialDeviation: 0.2), hasMaskedTokenHead: true, using: &generator)
  }

  @Test("A sequence's rows do not depend on its batch mates")
  func sequencesAreIndependent() {
    let model = Self.model()
    let lengths = [5, 1, 0, 20, 7]
    var generator = SeededGenerator(seed: 2)
    let ids = lengths.map { length in (0..<length).map { _ in Int.random(in: 0..<50, using: &generator) } }
    let together = model(ids.flatMap { $0 }, layout: SequenceLayout(lengths: lengths))
    var first = 0
    for sequence in ids {
      let alone = model(sequence, layout: SequenceLayout(lengths: [sequence.count]))
      let rows = together.sliced(first..<first + sequence.count)
      #expect(zip(alone.scalars, rows.scalars).allSatisfy { abs($0 - $1) <= 1e-5 })
      first += sequence.count
    }
    #expect(first == together.shape[0])
  }

  static func folder(of model: BERT, _ body: (ModelFolder, [UInt8]) throws -> Void) throws {
    try ModelFiles.withTemporaryFolder { url in
      let folder = ModelFolder(path: url.path)
      try model.save(to: folder)
      try body(folder, Array(Data(contentsOf: url.appending(path: "config.json"))))
    }
  }

  @Test(
    "A saved model names the class of transformers that has its heads, and reads back with them",
    arguments: [
      (false, false, "BertModel"), (true, false, "BertForMaskedLM"), (false, true, "BertForNextSentencePrediction"),
      (true, true, "BertForPreTraining"),
    ])
  func namesItsArchitecture(hasMaskedTokenHead: Bool, hasNextSentenceHead: Bool, name: String) throws {
    var generator = SeededGenerator(seed: 3)
    let model = BERT(
      BERTConfiguration(
        vocabularySize: 20, width: 16, blockCount: 1, heads: 2, feedForwardWidth: 16, maximumLength: 8),
      hasMaskedTokenHead: hasMaskedTokenHead, hasNextSentenceHead: hasNextSentenceHead, using: &generator)
    try Self.folder(of: model) { folder, configuration in
      #expect(String(decoding: configuration, as: UTF8.self).contains(#""architectures":["\#(name)"]"#))
      let read = try BERT(folder)
      let names = read.namedTensors.map(\.name)
      #expect(names == model.namedTensors.map(\.name))
      #expect(names.contains("cls.seq_relationship.weight") == hasNextSentenceHead)
      #expect(zip(read.namedTensors, model.namedTensors).allSatisfy { $0.tensor == $1.tensor })
    }
  }

  @Test("A next-sentence head without the pooler that it reads is an error that names the pooler")
  func headWithoutPooler() throws {
    var generator = SeededGenerator(seed: 4)
    var model = BERT(
      BERTConfiguration(
        vocabularySize: 20, width: 16, blockCount: 1, heads: 2, feedForwardWidth: 16, maximumLength: 8),
      hasNextSentenceHead: true, using: &generator)
    model.pooler = nil
    try Self.folder(of: model) { folder, _ in
      let error = #expect(throws: ModelFileError.self) { try BERT(folder) }
      #expect(error?.reason == .missingTensor(name: "bert.pooler.dense.bias"))
    }
  }

  @Test("The cross-entropy of masked tokens is that of their scores, and so are its gradients")
  func maskedTokenCrossEntropy() {
    let model = Self.model().tracked()
    let ids = (0..<12).map { $0 * 7 % 50 }
    let labels = (0..<12).map { $0 % 3 == 0 ? $0 * 5 % 50 : -100 }
    let layout = SequenceLayout(lengths: [7, 5])
    func rows() -> Tensor { model(ids, layout: layout) }
    let fused = model.maskedTokenCrossEntropy(rows(), labels: labels)
    let plain = crossEntropy(model.maskedTokenScores(rows()), labels: labels, reduction: .sum)
    #expect(abs(fused.scalars[0] - plain.scalars[0]) <= 1e-4)
    let (one, other) = (gradients(of: fused, withRespectTo: model), gradients(of: plain, withRespectTo: model))
    for (left, right) in zip(one.tensors, other.tensors) {
      #expect(zip(left.scalars, right.scalars).allSatisfy { abs($0 - $1) <= 1e-4 })
    }
    #expect(one.names.count == model.namedTensors.count)
  }
}
