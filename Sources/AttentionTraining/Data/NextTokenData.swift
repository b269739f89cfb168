import AttentionTensors

/// Documents for language models: windows of them, in each of which every token predicts the next one.
///
///     let data = try NextTokenData(tokens, length: 256, batchTokens: 2_048, seed: 1)
///     let batch = data.batch(0, ofEpoch: 0)   // 8 windows, if they are whole
///
/// In an epoch every token but each document's first is predicted exactly once. A document that is longer than a window is
/// cut at other places in each epoch, windows come in another order, and both depend on the seed and the epoch alone.
/// Windows of different documents, and of different places of one, are sequences of their own: nothing attends across.
public struct NextTokenData: TrainingData {
  /// What is read.
  public let documents: TokenDocuments
  /// The tokens of a window at the most.
  public let length: Int
  /// The tokens of a batch at the most, but for a window that is longer.
  public let batchTokens: Int
  /// What decides where windows begin, and their order.
  public let seed: UInt64

  private let plans = EpochPlanCache<Range<Int>>()

  /// Creates data. O(1).
  ///
  /// - Throws: ``TextDataError`` when no document has two tokens.
  /// - Precondition: the length and the tokens of a batch are positive.
  public init(
    _ documents: TokenDocuments, length: Int, batchTokens: Int, seed: UInt64
  ) throws(TextDataError) {
    require(length > 0 && batchTokens > 0, "NextTokenData: windows of \(length) tokens, batches of \(batchTokens)")
    guard (0..<documents.count).contains(where: { documents.range(of: $0).count > 1 }) else {
      throw TextDataError(file: documents.name, reason: .nothingToPredict)
    }
    self.documents = documents
    self.length = length
    self.batchTokens = batchTokens
    self.seed = seed
  }

  /// The batches of an epoch. O(windows) for an epoch that was not asked for last.
  public func batchCount(ofEpoch epoch: Int) -> Int { plan(epoch).batchCount }

  /// A batch of an epoch. O(its tokens), and O(windows) for an epoch that was not asked for last.
  public func batch(_ index: Int, ofEpoch epoch: Int) -> TokenBatch {
    // A window's last token is predicted and not read.
    TokenBatch(
      shifting: plan(epoch).batch(index).map { documents.ids(in: $0.lowerBound..<$0.upperBound + 1) })
  }

  private func plan(_ epoch: Int) -> EpochPlan<Range<Int>> {
    plans.plan(ofEpoch: epoch) {
      var generator = SeededGenerator(seed: seed, epoch: epoch)
      var windows: [Range<Int>] = []
      for document in 0..<documents.count {
        // The last token has none to predict.
        let tokens = documents.range(of: document).dropLast()
        guard tokens.count > length else {
          if !tokens.isEmpty { windows.append(tokens.startIndex..<tokens.endIndex) }
          continue
        }
        var start = tokens.startIndex
        var end = start + Int.random(in: 1...length, using: &generator)
        while start < tokens.endIndex {
          windows.append(start..<end)
          (start, end) = (end, min(end + length, tokens.endIndex))
        }
      }
      windows.shuffle(using: &generator)
      return EpochPlan(windows, budget: batchTokens) { $0.count }
    }
  }
}

extension TokenDocuments {
  /// The documents as data that a language model is measured on.
  ///
  /// Every token but each document's first is predicted exactly once, from at least half a window of what is before it, or
  /// all of it near the beginning: windows overlap. Where documents begin with a token of their own, all bytes of their text
  /// are predicted, and the bits for a byte are those that a compressor would need (of the end tokens, too); without one
  /// there is no number of bytes. O(tokens).
  ///
  /// - Parameters:
  ///   - length: the tokens of a window at the most.
  ///   - batchTokens: the tokens of a batch at the most, but for a window that is longer.
  /// - Throws: ``TextDataError`` when no document has two tokens.
  /// - Precondition: the length and the tokens of a batch are positive.
  public func heldOutData(length: Int, batchTokens: Int) throws(TextDataError) -> HeldOutData<TokenBatch> {
    require(length > 0 && batchTokens > 0, "heldOutData: windows of \(length) tokens, batches of \(batchTokens)")
    let stride = max(1, length - length / 2)
    var windows: [(tokens: Range<Int>, context: Int)] = []
    for document in 0..<count {
      let tokens = range(of: document)
      var predicted = tokens.lowerBound + 1
      while predicted < tokens.upperBound {
        let end = min(predicted + (predicted == tokens.lowerBound + 1 ? length : stride), tokens.upperBound)
        let start = max(tokens.lowerBound, end - 1 - length)
        windows.append((start..<end, predicted - start))
        predicted = end
      }
    }
    guard !windows.isEmpty else { throw TextDataError(file: name, reason: .nothingToPredict) }
    let plan = EpochPlan(windows, budget: batchTokens) { $0.tokens.count - 1 }
    let batches = (0..<plan.batchCount).map { index in
      let windows = plan.batch(index)
      return TokenBatch(shifting: windows.map { ids(in: $0.tokens) }, context: windows.map(\.context))
    }
    return HeldOutData(batches: batches, byteCount: beginID == nil ? nil : byteCount)
  }
}
