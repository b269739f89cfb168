import ArgumentParser
import AttentionBenchmarks
import AttentionModels
import AttentionTensors
import AttentionTraining

extension TrainCommand {
  /// Times that the text is read, unless a number of steps is given.
  private static let epochs = 5
  /// A word that occurs less often has no vector.
  private static let minimumCount = 5

  func trainWordVectors() throws {
    var plan = plan
    let text = try TextDocuments(contentsOf: data, cut: documents.cut)
    let (training, heldOut) = try text.split(text.count >= 20 ? .every(20) : .tail(share: 0.1))
    let vocabulary = WordVocabulary(
      countingWordsOf: training.texts, minimumCount: Self.minimumCount, maximumSize: plan.vocabulary)
    let corpus = WordCorpus(training.texts, vocabulary: vocabulary)
    let measured = WordCorpus(heldOut.texts, vocabulary: vocabulary)
    guard vocabulary.count > 1, measured.wordCount > 0 else {
      throw TextDataError(file: data, reason: .nothingToPredict)
    }
    // The paper's 10⁻⁵ is for a thousand million words: what is left of fewer would be little.
    let options = SkipGramOptions(subsampling: 1e-4, batchWords: plan.batchTokens, seed: UInt64(seed))
    let batches = SkipGramData(corpus, options: options)
    let held = SkipGramData(measured, sampler: batches.sampler).heldOutData()
    func hasPairs(_ some: [SkipGramBatch]) -> Bool {
      some.contains { NegativeSampling().itemCounts(of: $0).contains { $0 > 0 } }
    }
    guard hasPairs(held.batches), hasPairs(batches.heldOutData().batches) else {
      throw TextDataError(file: data, reason: .nothingToPredict)
    }
    if choice.steps == nil {
      plan.steps = Self.epochs * batches.batchCount(ofEpoch: 0)
      plan.warmUp = choice.warmUp ?? min(plan.warmUp, plan.steps / 10)
      plan.evaluationInterval = choice.evaluateEvery ?? max(1, plan.steps / 10)
    }
    note(
      """
      \(data): \(corpus.wordCount.formatted()) words to train on, \(vocabulary.count.formatted()) different ones, \
      \(measured.wordCount.formatted()) held out
      """)
    var generator = SeededGenerator(seed: UInt64(seed))
    let settings = [
      "documents": documents.rawValue, "text": digest(of: training.texts), "held-out": digest(of: heldOut.texts),
    ]
    try train(
      SkipGram(vocabulary: vocabulary, width: plan.width, using: &generator), NegativeSampling(), batches, held,
      plan: plan, settings: settings
    ) { _ in }
  }

  /// A short text that differs where texts do (FNV-1a).
  private func digest(of texts: some Sequence<String>) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for text in texts {
      for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
      hash = (hash ^ 0xFF) &* 0x100_0000_01B3
    }
    return String(hash, radix: 16)
  }
}
