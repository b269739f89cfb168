import ArgumentParser
import AttentionBenchmarks
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

    let found = try share(exact: EncoderDecoder(ModelFolder(path: output)), held)
    note(
      "exact, taking the best token always: \(Decimals.fixed(100 * found.share, 2)) % of \(found.count) held-out pairs")
  }

  /// How many of the held-out targets, of the first thousand, a model generates without a fault.
  private func share(exact model: EncoderDecoder, _ held: PairData) throws -> (share: Double, count: Int) {
    let count = min(1_000, held.sources.count)
    var exact = 0
    for start in stride(from: 0, to: count, by: 100) {
      let part = start..<min(count, start + 100)
      let targets = part.map(held.targets.ids(of:))
      let options = GenerationOptions(maximumNewTokens: (targets.map(\.count).max() ?? 0) + 1)
      let sources = part.map(held.sources.ids(of:))
      let found = try waiting { try await model.generate(after: sources, options: options) }
      exact += zip(found, targets).count { $0 == $1 }
    }
    return (Double(exact) / Double(count), count)
  }
}
