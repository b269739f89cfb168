import ArgumentParser
import Foundation
import AttentionBenchmarks
import AttentionModels
import AttentionTensors
import AttentionTraining

/// What of a text is hidden from a BERT.
enum Masking: String, ExpressibleByArgument, CaseIterable {
  case tokens, spans
}

extension TrainCommand {
  /// BERT's special tokens, by their ids.
  private static let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]

  func trainBERT() throws {
    let plan = plan
    let (training, heldOut) = try splitText()
    let tokenizer = BytePairTrainer(
      vocabularySize: plan.vocabulary, specialTokens: Self.special, addsPrefixSpace: true
    ).train(on: training.texts).with(template: .bert(begin: 2, end: 3))
    guard let vocabulary = MaskingVocabulary(tokenizer) else { preconditionFailure("the tokenizer has a mask") }
    let corruption: any TokenCorruption =
      masking == .tokens ? MaskedTokenCorruption(vocabulary) : SpanCorruption(vocabulary)
    func masked(_ documents: TextDocuments, seed: Int) throws(TextDataError) -> MaskedTokenData {
      try MaskedTokenData(
        TokenDocuments(documents.cut(.lines), tokenizer: tokenizer), length: plan.length,
        batchTokens: plan.batchTokens, makesPairs: nextSentence, classID: 2, separatorID: 3, corruption: corruption,
        seed: UInt64(bitPattern: Int64(seed)))
    }
    let batches = try masked(training, seed: seed)
    let measured = try masked(heldOut, seed: ~seed)
    let held = measured.heldOutData()
    let unigrams = UnigramDistribution(batches.documents, vocabularySize: tokenizer.idLimit)
    note(
      """
      \(data): \(training.byteCount.formatted()) bytes to train on in \(batches.documents.tokenCount.formatted()) \
      tokens of \(tokenizer.idLimit.formatted()), \(heldOut.byteCount.formatted()) held out
      """)
    if let baseline = unigrams.crossEntropy(of: held) {
      note("without looking around, by frequency alone: \(Decimals.fixed(baseline, 3)) for a masked token")
    }
    if nextSentence, held.batches.allSatisfy({ $0.pairCount == 0 }) {
      throw ValidationError(
        "no line of \(data) has a neighbour to be its next sentence: --no-next-sentence trains without, --documents cuts otherwise"
      )
    }
    var generator = SeededGenerator(seed: UInt64(seed))
    let model = BERT(
      BERTConfiguration(
        vocabularySize: tokenizer.idLimit, width: plan.width, blockCount: plan.blocks, heads: plan.heads,
        maximumLength: plan.length, dropout: Float(plan.dropout)),
      hasPooler: nextSentence, hasMaskedTokenHead: true, hasNextSentenceHead: nextSentence, using: &generator)
    let settings = [
      "documents": documents.rawValue, "text": batches.documents.digest, "held-out": measured.documents.digest,
      "masking": masking.rawValue, "next-sentence": "\(nextSentence)",
    ]
    try train(model, MaskedTokens(judgesPairs: nextSentence), batches, held, plan: plan, settings: settings) {
      try tokenizer.save(to: $0.path(of: "tokenizer.json"))
      // transformers would take the tokens for those of a WordPiece that lowercases.
      try writeTokenizerConfiguration($0, maximumLength: plan.length)
    }
  }

  private func writeTokenizerConfiguration(_ folder: ModelFolder, maximumLength: Int) throws {
    var json = JSONWriter()
    json.beginObject()
    for (key, value) in [
      ("tokenizer_class", "PreTrainedTokenizerFast"), ("pad_token", "[PAD]"), ("unk_token", "[UNK]"),
      ("cls_token", "[CLS]"), ("sep_token", "[SEP]"), ("mask_token", "[MASK]"),
    ] {
      json.key(key)
      json.string(value)
    }
    json.key("model_max_length")
    json.integer(maximumLength)
    json.endObject()
    do throws(TensorFileError) {
      try AttentionTensors.write(json.bytes + [UInt8(ascii: "\n")], toFile: folder.path(of: "tokenizer_config.json"))
    } catch {
      throw TrainingError.file(error)
    }
  }
}
