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
    let (training, heldOut) = try splitText()
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
      "documents": documents.rawValue, "text": training.digest, "held-out": heldOut.digest,
    ]
    try train(
      SkipGram(vocabulary: vocabulary, width: plan.width, using: &generator), NegativeSampling(), batches, held,
      plan: plan, settings: settings
    ) { _ in }
  }
}
