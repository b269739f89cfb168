import Attention
import AttentionModels
import AttentionTraining
import Foundation
import Testing

@Suite struct MaskedTokensTests {
  /// The sum of −log softmax(scores)[label] in float64, over the rows with a label.
  static func crossEntropy(_ scores: [Double], _ labels: [Int]) -> Double {
    let classes = scores.count / labels.count
    return labels.enumerated().reduce(0) { sum, item in
      guard item.element != -100 else { return sum }
      let row = scores[item.offset * classes..<(item.offset + 1) * classes]
      return sum + log(row.reduce(0) { $0 + exp($1) }) - row[row.startIndex + item.element]
    }
  }

  @Test(arguments: ["silu", "sharded", "tensorflow"])
  func `losses are those of transformers' scores in float64`(name: String) throws {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "AttentionModelsTests/Fixtures/bert/\(name)")
    let model = try BERT(ModelFolder(path: folder.path))
    let expected = try SafetensorsFile(path: folder.appending(path: "expected.safetensors").path)
    let ids = try expected.integers(named: "ids").values
    let layout = SequenceLayout(lengths: try expected.integers(named: "lengths").values)
    let labels = ids.indices.map { $0 % 4 == 1 ? (ids[$0] + $0) % model.configuration.vocabularySize : -100 }
    let pairs = [1, -100, 0, 1]
    let batch = MaskedTokenBatch(
      tokens: TokenBatch(
        ids: ids, labels: labels, segments: try expected.integers(named: "segments").values, layout: layout),
      nextSentenceLabels: pairs)
    let objective = MaskedTokens(judgesPairs: true)
    #expect(objective.lossNames == ["masked tokens", "next sentence"])
    #expect(objective.itemCounts(of: batch) == [labels.count { $0 != -100 }, 3])
    #expect(objective.tokenCount(of: batch) == ids.count)
    let losses = objective.lossSums(of: model, on: batch, dropout: nil).map { Double($0.scalars[0]) }
    let masked = Self.crossEntropy(try expected.doubles(named: "logits").values, labels)
    let next = Self.crossEntropy(try expected.doubles(named: "next_sentence").values, pairs)
    #expect(abs(losses[0] - masked) <= 1e-5 * masked)
    #expect(abs(losses[1] - next) <= 1e-5 * max(1, next))
    // Without the second loss the first is the same.
    let alone = MaskedTokens().lossSums(of: model, on: batch, dropout: nil)
    #expect(alone.map { Double($0.scalars[0]) } == [losses[0]])
  }

  static func model(_ vocabulary: Int) -> BERT {
    var generator = SeededGenerator(seed: 1)
    return BERT(
      BERTConfiguration(
        vocabularySize: vocabulary, width: 32, blockCount: 1, heads: 2, feedForwardWidth: 64, maximumLength: 32,
        initialDeviation: 0.1), hasMaskedTokenHead: true, hasNextSentenceHead: true, using: &generator)
  }

  @Test func `a batch without labels has losses of 0 and gradients of 0`() {
    let model = Self.model(20).tracked()
    let tokens = TokenBatch(ids: [2, 7, 3], labels: [-100, -100, -100], layout: SequenceLayout(lengths: [3]))
    for pairs in [nil, [-100]] as [[Int]?] {
      let batch = MaskedTokenBatch(tokens: tokens, nextSentenceLabels: pairs)
      let objective = MaskedTokens(judgesPairs: true)
      #expect(objective.itemCounts(of: batch) == [0, 0])
      let losses = objective.lossSums(of: model, on: batch, dropout: nil)
      #expect(losses.allSatisfy { $0.scalars == [0] })
      let slopes = gradients(
        of: losses, upstream: losses.map { Tensor(repeating: 1, shape: $0.shape) }, withRespectTo: model)
      #expect(slopes.tensors.allSatisfy { $0.scalars.allSatisfy { $0 == 0 } })
    }
  }

  @Test func `a small model learns to fill gaps, and which sentence follows`() throws {
    // Sentences of four tokens that count up from 10, 20, … or 90; the next sentence of a document counts on from there.
    var generator = SplitMix(state: 3)
    var (ids, origins): ([[Int]], [Int]) = ([], [])
    for document in 0..<200 {
      let decade = Int.random(in: 1...8, using: &generator) * 10
      for sentence in 0..<2 {
        ids.append((0..<4).map { decade + 4 * sentence + $0 })
        origins.append(document)
      }
    }
    func data(_ seed: UInt64) throws -> MaskedTokenData {
      try MaskedTokenData(
        TokenDocuments(ids: ids, origins: origins), length: 16, batchTokens: 512, classID: 2, separatorID: 3,
        corruption: MaskedTokenCorruption(MaskingVocabulary(size: 100, maskID: 4, specialIDs: [0, 1, 2, 3])), seed: seed
      )
    }
    let heldOut = try data(2).heldOutData()
    let unigrams = try #require(
      UnigramDistribution(TokenDocuments(ids: ids), vocabularySize: 100).crossEntropy(of: heldOut))
    var trainer = Trainer(
      model: Self.model(100), objective: MaskedTokens(judgesPairs: true), data: try data(1), heldOut: heldOut,
      optimizer: AdamW(),
      options: TrainingOptions(steps: 150, schedule: LearningRateSchedule(peak: 3e-3, warmUpSteps: 10)))
    let before = try #require(trainer.evaluate())
    try trainer.run()
    let after = try #require(trainer.evaluate())
    let (masked, next) = (try #require(after["masked tokens"]), try #require(after["next sentence"]))
    #expect(try #require(before["masked tokens"]) > unigrams)
    #expect(masked < 0.6 * unigrams, "\(masked) against \(unigrams) of unigrams")
    #expect(next < 0.55, "\(next) against \(log(2.0))")
  }
}
