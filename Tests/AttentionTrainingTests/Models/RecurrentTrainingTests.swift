import AttentionCore
import AttentionLayers
import AttentionModels
import AttentionTensors
import AttentionTraining
import Testing

/// Recurrent models under the trainer.
@Suite struct RecurrentTrainingTests {
  private func trained(
    _ model: RecurrentEncoderDecoder, steps: Int, lengths: ClosedRange<Int>, rate: Float
  ) throws -> RecurrentEncoderDecoder {
    let task = ReversalTask(tokens: 2..<12, lengths: lengths, beginID: 0, endID: 1, batchPairs: 64, seed: 1)
    var trainer = Trainer(
      model: model, objective: TargetTokens(), data: task, optimizer: Adam(),
      options: TrainingOptions(
        steps: steps, schedule: LearningRateSchedule(peak: rate, warmUpSteps: 50, decay: .cosine, totalSteps: steps)))
    try trainer.run()
    return trainer.model
  }

  @Test("Additive attention learns to reverse, and its alignment is the anti-diagonal")
  func reversal() async throws {
    var generator = SeededGenerator(seed: 4)
    let model = try trained(
      RecurrentEncoderDecoder(
        RecurrentEncoderDecoderConfiguration(
          sourceVocabularySize: 12, embeddingWidth: 24, width: 48, beginID: 0, endID: 1), using: &generator),
      steps: 900, lengths: 1...8, rate: 6e-3)
    // Sequences that training never saw; of some 10⁸ long ones it has seen few.
    let other = ReversalTask(tokens: 2..<12, lengths: 1...8, beginID: 0, endID: 1, batchPairs: 500, seed: 2)
    let batch = other.batch(0, ofEpoch: 0)
    let sources = (0..<batch.count).map { Array(batch.source[batch.sourceLayout.range(of: $0)]) }
    let targets = sources.map { Array($0.reversed()) }
    let found = try await model.generate(after: sources, options: GenerationOptions(maximumNewTokens: 10))
    let exact = zip(found, targets).count { $0 == $1 }
    #expect(exact > 495, "\(exact) of 500")
    var (rows, onDiagonal) = (0, 0)
    for (source, target) in zip(sources, targets) where source.count > 1 {
      let weights = model.alignment(source: source, target: target)
      #expect(weights.shape == [source.count + 1, source.count])
      for row in 0..<source.count {
        let values = (0..<source.count).map { weights[row, $0] }
        #expect(abs(values.reduce(0, +) - 1) < 1e-5)
        rows += 1
        if values.firstIndex(of: values.max()!) == source.count - 1 - row { onDiagonal += 1 }
      }
    }
    #expect(Double(onDiagonal) > 0.9 * Double(rows), "\(onDiagonal) of \(rows) rows")
  }

  @Test(
    "A recurrent language model learns a text by heart",
    arguments: [
      RecurrentLanguageModelConfiguration.Cell.lstm, .gru, .rnn(.tanh), .rnn(.relu),
    ])
  func languageModel(cell: RecurrentLanguageModelConfiguration.Cell) throws {
    // Letters that can be told only by what came before: "abcabd abcabd …".
    struct Data: TrainingData {
      func batchCount(ofEpoch epoch: Int) -> Int { 1 }
      func batch(_ index: Int, ofEpoch epoch: Int) -> TokenBatch {
        let ids = (0..<4).map { start in (0..<24).map { [0, 1, 2, 0, 1, 3][(start + $0) % 6] } }
        return TokenBatch(
          ids: ids.flatMap { $0 }, labels: ids.flatMap { $0.dropFirst() + [-100] },
          layout: SequenceLayout(lengths: [24, 24, 24, 24]))
      }
    }
    var generator = SeededGenerator(seed: 6)
    let configuration = RecurrentLanguageModelConfiguration(
      vocabularySize: 4, cell: cell, width: 24, layerCount: 2, isTied: cell == .gru)
    var trainer = Trainer(
      model: RecurrentLanguageModel(configuration, using: &generator), objective: NextTokens(), data: Data(),
      optimizer: AdamW(), options: TrainingOptions(steps: 150, schedule: LearningRateSchedule(peak: 0.01)))
    try trainer.run()
    var generation = try TokenGeneration(
      model: trainer.model, prompts: [[0, 1, 2]], options: GenerationOptions(maximumNewTokens: 12))
    var found: [Int] = []
    while !generation.isDone {
      for case (_, .token(let id)) in try generation.step() { found.append(id) }
    }
    #expect(found == [0, 1, 3, 0, 1, 2, 0, 1, 3, 0, 1, 2])
  }
}
