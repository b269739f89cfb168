import AttentionTensors

/// Sources and targets for models that make one of the other.
///
///     let data = try PairData(
///       sources: TokenDocuments(pairs.sources, tokenizer: tokenizer),
///       targets: TokenDocuments(pairs.targets, tokenizer: tokenizer),
///       batchTokens: 2_048, beginID: 0, endID: 1, seed: 1)
///
/// An epoch reads every pair once. Their order depends on the seed and the epoch alone.
public struct PairData: TrainingData {
  /// The sources.
  public let sources: TokenDocuments
  /// The targets, without begin and end.
  public let targets: TokenDocuments
  /// The tokens of a batch at the most, of sources and targets together, but for a pair that has more.
  public let batchTokens: Int
  /// The token that a decoder begins with.
  public let beginID: Int
  /// The token that it ends with.
  public let endID: Int
  /// What decides the order.
  public let seed: UInt64

  private let plans = EpochPlanCache<Int>()

  /// Creates data. O(1).
  ///
  /// - Throws: ``TextDataError`` when there are no pairs.
  /// - Precondition: there are as many sources as targets, without begin and end tokens; a batch has tokens; no id is
  ///   negative.
  public init(
    sources: TokenDocuments, targets: TokenDocuments, batchTokens: Int, beginID: Int, endID: Int, seed: UInt64
  ) throws(TextDataError) {
    require(
      sources.count == targets.count && targets.beginID == nil && targets.endID == nil,
      "PairData: \(sources.count) sources, \(targets.count) targets, which begin and end with nothing of their own")
    require(
      batchTokens > 0 && beginID >= 0 && endID >= 0,
      "PairData: batches of \(batchTokens) tokens, begin \(beginID), end \(endID)")
    guard sources.count > 0 else { throw TextDataError(file: sources.name, reason: .empty) }
    self.sources = sources
    self.targets = targets
    self.batchTokens = batchTokens
    self.beginID = beginID
    self.endID = endID
    self.seed = seed
  }

  /// The batches of an epoch. O(pairs) for an epoch that was not asked for last.
  public func batchCount(ofEpoch epoch: Int) -> Int { plan(epoch).batchCount }

  /// A batch of an epoch. O(its tokens), and O(pairs) for an epoch that was not asked for last.
  public func batch(_ index: Int, ofEpoch epoch: Int) -> PairBatch {
    let pairs = plan(epoch).batch(index)
    return PairBatch(
      sources: pairs.map(sources.ids(of:)), targets: pairs.map(targets.ids(of:)), beginID: beginID, endID: endID)
  }

  private func plan(_ epoch: Int) -> EpochPlan<Int> {
    plans.plan(ofEpoch: epoch) {
      var generator = SeededGenerator(seed: seed, epoch: epoch)
      return EpochPlan(Array(0..<sources.count).shuffled(using: &generator), budget: batchTokens) {
        sources.range(of: $0).count + targets.range(of: $0).count + 1
      }
    }
  }
}
