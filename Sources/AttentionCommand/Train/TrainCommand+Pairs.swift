import ArgumentParser
import Foundation
import AttentionModels
import AttentionTensors
import AttentionTraining

extension TrainCommand {
  func trainPairs() throws {
    let plan = plan
    let pairs = try TextPairs(contentsOf: data)
    let (training, heldOut) = try pairs.split(every: min(20, max(2, pairs.count)))
    let tokenizer = BytePairTrainer(vocabularySize: plan.vocabulary, specialTokens: ["<pad>", "<s>", "</s>"])
      .train(on: [training.sources, training.targets].lazy.flatMap { $0.texts.map { $0 } })
    let (begin, end) = (1, 2)
    func batches(_ pairs: TextPairs) throws(TextDataError) -> PairData {
      try PairData(
        sources: TokenDocuments(pairs.sources, tokenizer: tokenizer),
        targets: TokenDocuments(pairs.targets, tokenizer: tokenizer), batchTokens: plan.batchTokens, beginID: begin,
        endID: end, seed: UInt64(seed))
    }
    let (data, held) = (try batches(training), try batches(heldOut))
    note(
      """
      \(self.data): \(training.count.formatted()) pairs to train on, \
      \((data.sources.tokenCount + data.targets.tokenCount).formatted()) tokens of \(tokenizer.idLimit.formatted()), \
      \(heldOut.count.formatted()) pairs held out
      """)
    var generator = SeededGenerator(seed: UInt64(seed))
    let model = EncoderDecoder(
      EncoderDecoderConfiguration(
        sourceVocabularySize: tokenizer.idLimit, width: plan.width, encoderBlocks: plan.blocks,
        decoderBlocks: plan.blocks, heads: plan.heads, normPlacement: .pre, dropout: Float(plan.dropout),
        beginID: begin, endID: end),
      using: &generator)
    let settings = ["text": data.sources.digest + data.targets.digest]
    try train(
      model, TargetTokens(smoothing: Float(plan.labelSmoothing)), data, held.heldOutData(), plan: plan,
      settings: settings
    ) {
      try tokenizer.save(to: $0.path(of: "tokenizer.json"))
    }
  }
}
