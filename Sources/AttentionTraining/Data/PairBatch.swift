import AttentionCore
import AttentionTensors

/// Sources, and what a decoder reads and predicts of their targets.
///
///     // The target [7, 4] is read as [begin, 7, 4], of which each token predicts the next one, and the last one the end.
///     PairBatch(sources: [[5, 9, 2]], targets: [[7, 4]], beginID: 0, endID: 1)
///
/// Two ragged batches: the tokens of all sources end to end, and those of all targets.
public struct PairBatch: Sendable, Equatable {
  /// The tokens of the sources.
  public let source: [Int]
  /// The sources.
  public let sourceLayout: SequenceLayout
  /// What the decoder reads: the begin token and the target.
  public let target: [Int]
  /// What each of these predicts: the target and the end token.
  public let labels: [Int]
  /// The targets with their begin tokens.
  public let targetLayout: SequenceLayout

  /// Creates a batch.
  ///
  /// - Parameters:
  ///   - sources: the tokens of each source.
  ///   - targets: the tokens of each target, without begin and end.
  ///   - beginID: the token that a decoder begins with.
  ///   - endID: the token that it ends with.
  /// - Precondition: there are as many sources as targets, and no id is negative.
  public init(sources: [[Int]], targets: [[Int]], beginID: Int, endID: Int) {
    require(sources.count == targets.count, "PairBatch: \(sources.count) sources and \(targets.count) targets")
    let shifted = TokenBatch(shifting: targets.map { [beginID] + $0 + [endID] })
    source = sources.flatMap { $0 }
    require(source.allSatisfy { $0 >= 0 }, "PairBatch: an id of a source is negative")
    sourceLayout = SequenceLayout(lengths: sources.map(\.count))
    target = shifted.ids
    labels = shifted.labels
    targetLayout = shifted.layout
  }

  /// The number of pairs.
  public var count: Int { sourceLayout.sequenceCount }
}
