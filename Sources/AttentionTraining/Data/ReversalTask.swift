import AttentionTensors

/// Random sequences, and the same read backwards: a task that attention learns and a recurrence without it does not, once
/// sequences are long (its alignment is the anti-diagonal).
///
///     let data = ReversalTask(tokens: 2..<34, lengths: 1...20, beginID: 0, endID: 1, seed: 1)
///     data.batch(0, ofEpoch: 0)   // sources such as [7, 30, 2], targets such as [2, 30, 7]
///
/// Sequences are drawn as they are asked for, and depend on the seed and the place of a batch alone. Another seed gives other
/// ones, to measure on.
public struct ReversalTask: TrainingData {
  /// The tokens that are drawn from, each as likely.
  public let tokens: Range<Int>
  /// The lengths that are drawn from, each as likely.
  public let lengths: ClosedRange<Int>
  /// The token that a decoder begins with.
  public let beginID: Int
  /// The token that it ends with.
  public let endID: Int
  /// The pairs of a batch.
  public let batchPairs: Int
  /// The batches of an epoch.
  public let batchesPerEpoch: Int
  /// What decides sequences.
  public let seed: UInt64

  /// Creates a task.
  ///
  /// - Precondition: there are tokens, from 0 on, of which begin and end are none; no length is negative; batches have pairs,
  ///   and epochs batches.
  public init(
    tokens: Range<Int>, lengths: ClosedRange<Int>, beginID: Int, endID: Int, batchPairs: Int = 64,
    batchesPerEpoch: Int = 100, seed: UInt64
  ) {
    require(
      !tokens.isEmpty && tokens.lowerBound >= 0 && !tokens.contains(beginID) && !tokens.contains(endID)
        && beginID >= 0 && endID >= 0,
      "ReversalTask: tokens \(tokens), begin \(beginID), end \(endID)")
    require(
      lengths.lowerBound >= 0 && batchPairs > 0 && batchesPerEpoch > 0,
      "ReversalTask: lengths \(lengths), \(batchesPerEpoch) batches of \(batchPairs) pairs")
    self.tokens = tokens
    self.lengths = lengths
    self.beginID = beginID
    self.endID = endID
    self.batchPairs = batchPairs
    self.batchesPerEpoch = batchesPerEpoch
    self.seed = seed
  }

  /// The same number in each.
  public func batchCount(ofEpoch epoch: Int) -> Int { batchesPerEpoch }

  /// A batch. O(its tokens).
  public func batch(_ index: Int, ofEpoch epoch: Int) -> PairBatch {
    require(
      epoch >= 0 && (0..<batchesPerEpoch).contains(index),
      "ReversalTask: batch \(index) of \(batchesPerEpoch), epoch \(epoch)")
    var generator = SeededGenerator(seed: seed, epoch: epoch, index: index)
    var sources: [[Int]] = []
    for _ in 0..<batchPairs {
      let length = Int.random(in: lengths, using: &generator)
      sources.append((0..<length).map { _ in Int.random(in: tokens, using: &generator) })
    }
    return PairBatch(sources: sources, targets: sources.map { $0.reversed() }, beginID: beginID, endID: endID)
  }
}
