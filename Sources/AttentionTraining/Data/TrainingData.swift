/// Batches that a model is trained on, in epochs.
///
/// A batch is a function of its place alone: equal places give equal batches, whatever was asked before, so that a run goes
/// on exactly where it was left.
public protocol TrainingData: Sendable {
  /// What one forward pass reads.
  associatedtype Batch: Sendable

  /// The batches of an epoch, one at least; epochs count from 0.
  func batchCount(ofEpoch epoch: Int) -> Int

  /// A batch of an epoch.
  ///
  /// - Precondition: the index lies in 0 ..< ``batchCount(ofEpoch:)``.
  func batch(_ index: Int, ofEpoch epoch: Int) -> Batch
}

/// A place in training data.
public struct DataPosition: Sendable, Equatable, Codable {
  /// The epoch, from 0.
  public var epoch: Int
  /// The batch in the epoch, from 0.
  public var batch: Int

  /// The beginning.
  public static let start = DataPosition(epoch: 0, batch: 0)

  /// Creates a place.
  public init(epoch: Int, batch: Int) {
    self.epoch = epoch
    self.batch = batch
  }
}
