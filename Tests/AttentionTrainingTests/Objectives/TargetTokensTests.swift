import Attention
import AttentionModels
import AttentionTraining
import Foundation
import Testing

@Suite struct TargetTokensTests {
  static func model(_ vocabulary: Int, isTied: Bool = true) -> EncoderDecoder {
    var generator = SeededGenerator(seed: 1)
    return EncoderDecoder(
      EncoderDecoderConfiguration(
        sourceVocabularySize: vocabulary, width: 32, encoderBlocks: 1, decoderBlocks: 1, heads: 4, feedForwardWidth: 64,
        normPlacement: .pre, isTied: isTied, beginID: 0, endID: 1), using: &generator)
  }

  @Test(arguments: [true, false])
  func `the sum over labels is their number times the model's own mean loss`(isTied: Bool) {
    let model = Self.model(12, isTied: isTied).tracked()
    let (sources, targets) = ([[5, 9, 2], [], [7]], [[7, 4], [3], []])
    let batch = PairBatch(sources: sources, targets: targets, beginID: 0, endID: 1)
    let objective = TargetTokens<EncoderDecoder>()
    #expect(objective.itemCounts(of: batch) == [6])
    #expect(objective.tokenCount(of: batch) == 4 + 6)
    let sum = objective.lossSums(of: model, on: batch, dropout: nil)
    let mean = model.loss(source: sources, target: targets)
    #expect(sum.count == 1 && abs(sum[0].scalars[0] - 6 * mean.scalars[0]) < 1e-4)
    let (one, other) = (gradients(of: sum[0], withRespectTo: model), gradients(of: mean, withRespectTo: model))
    for (left, right) in zip(one.tensors, other.tensors) {
      #expect(zip(left.scalars, right.scalars).allSatisfy { abs($0 - 6 * $1) < 1e-4 })
    }
  }

  @Test func `labels are smoothed in training alone`() {
    let model = Self.model(12)
    let batch = PairBatch(sources: [[5, 9]], targets: [[7, 4]], beginID: 0, endID: 1)
    func loss(_ smoothing: Float, _ key: DropoutKey?) -> Float {
      TargetTokens<EncoderDecoder>(smoothing: smoothing).lossSums(of: model, on: batch, dropout: key)[0].scalars[0]
    }
    #expect(loss(0.1, nil) == loss(0, nil))
    #expect(loss(0.1, DropoutKey(seed: 1)) != loss(0, DropoutKey(seed: 1)))
  }

  @Test func `a small model learns to reverse short sequences`() async throws {
    func task(_ seed: UInt64) -> ReversalTask {
      ReversalTask(
        tokens: 2..<8, lengths: 1...4, beginID: 0, endID: 1, batchPairs: 64, batchesPerEpoch: 4, seed: seed)
    }
    let heldOut = task(2).heldOutData()
    var trainer = Trainer(
      model: Self.model(8), objective: TargetTokens(), data: task(1), heldOut: heldOut, optimizer: AdamW(),
      options: TrainingOptions(steps: 300, schedule: LearningRateSchedule(peak: 3e-3, warmUpSteps: 20)))
    try trainer.run()
    let batch = heldOut.batches[0]
    let sources = (0..<batch.count).map { Array(batch.source[batch.sourceLayout.range(of: $0)]) }
    let found = try await trainer.model.generate(after: sources, options: GenerationOptions(maximumNewTokens: 6))
    let exact = zip(found, sources).count { $0 == $1.reversed() }
    #expect(exact >= 60, "\(exact) of \(batch.count)")
  }
}
