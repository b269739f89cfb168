import ArgumentParser
import AttentionBenchmarks
import Foundation
import AttentionModels
import AttentionTensors
import AttentionTraining

/// What a decoder attends to its source with.
enum SourceAttention: String, ExpressibleByArgument, CaseIterable {
  /// A transformer's.
  case multihead
  /// Bahdanau's, between recurrent layers.
  case additive
}

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
    for pairs in [data, held] {
      for index in 0..<pairs.sources.count {
        let tokens = max(pairs.sources.ids(of: index).count, pairs.targets.ids(of: index).count + 1)
        guard tokens <= plan.length else {
          throw ValidationError(
            "\(self.data): a pair has \(tokens) tokens, and --length is \(plan.length): raise it, or leave the pair out"
          )
        }
      }
    }
    note(
      """
      \(self.data): \(training.count.formatted()) pairs to train on, \
      \((data.sources.tokenCount + data.targets.tokenCount).formatted()) tokens of \(tokenizer.idLimit.formatted()), \
      \(heldOut.count.formatted()) pairs held out
      """)
    func run<Model: SequenceToSequenceModel>(_ model: Model, _ read: (ModelFolder) throws -> Model) throws {
      try train(
        model, TargetTokens(smoothing: Float(plan.labelSmoothing)), data, held.heldOutData(), plan: plan,
        settings: [
          "text": data.sources.digest + data.targets.digest,
          "held-out": held.sources.digest + held.targets.digest, "attention": attention.rawValue,
        ]
      ) {
        try tokenizer.save(to: $0.path(of: "tokenizer.json"))
      }
      let found = try share(exact: read(ModelFolder(path: output)), held)
      note(
        "exact, taking the best token always: \(Decimals.fixed(100 * found.share, 2)) % of \(found.count) held-out pairs"
      )
    }
    var generator = SeededGenerator(seed: UInt64(seed))
    switch attention {
    case .multihead:
      let configuration = EncoderDecoderConfiguration(
        sourceVocabularySize: tokenizer.idLimit, width: plan.width, encoderBlocks: plan.blocks,
        decoderBlocks: plan.blocks, heads: plan.heads, normPlacement: .pre, dropout: Float(plan.dropout),
        beginID: begin, endID: end)
      try run(EncoderDecoder(configuration, using: &generator)) { try EncoderDecoder($0) }
    case .additive:
      let configuration = RecurrentEncoderDecoderConfiguration(
        sourceVocabularySize: tokenizer.idLimit, embeddingWidth: plan.width, width: plan.width,
        sharesEmbeddings: true, dropout: Float(plan.dropout), beginID: begin, endID: end)
      try run(RecurrentEncoderDecoder(configuration, using: &generator)) { try RecurrentEncoderDecoder($0) }
    }
  }

  /// How many of the held-out targets, of the first thousand, a model generates without a fault.
  private func share(
    exact model: some SequenceToSequenceModel, _ held: PairData
  ) throws -> (share: Double, count: Int) {
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
