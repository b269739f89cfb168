import AttentionCore
import AttentionTensors

/// Tokens that a model reads in one forward pass, and what each of its rows is to predict.
///
///     // "the cat sat", of which each token predicts the next one, and the last one none.
///     TokenBatch(ids: [5, 9, 3], labels: [9, 3, -100], layout: SequenceLayout(lengths: [3]))
///
/// A ragged batch: the tokens of all sequences end to end, without padding.
public struct TokenBatch: Sendable, Equatable {
  /// The label of a row that predicts nothing, as PyTorch's losses have it.
  public static let ignoredLabel = -100

  /// The tokens that are read.
  public let ids: [Int]
  /// What the row of each token predicts, in place: for causal models the token that follows; -100 where it predicts none.
  public let labels: [Int]
  /// The segment of each token, for models that tell segments apart.
  public let segments: [Int]?
  /// The sequences.
  public let layout: SequenceLayout
  /// The rows that predict something.
  public let predictionCount: Int

  /// Creates a batch.
  ///
  /// - Precondition: an id, a label and, where there are segments, a segment for each of the layout's tokens; no id is
  ///   negative, and no label but -100.
  public init(ids: [Int], labels: [Int], segments: [Int]? = nil, layout: SequenceLayout) {
    require(
      ids.count == layout.tokenCount && labels.count == ids.count && segments.map { $0.count == ids.count } ?? true,
      """
      TokenBatch: \(ids.count) ids, \(labels.count) labels and \(segments?.count ?? ids.count) segments for \
      \(layout.tokenCount) tokens
      """)
    require(ids.allSatisfy { $0 >= 0 }, "TokenBatch: an id is negative")
    require(
      labels.allSatisfy { $0 >= 0 || $0 == TokenBatch.ignoredLabel },
      "TokenBatch: a label is negative, and not \(TokenBatch.ignoredLabel)")
    self.ids = ids
    self.labels = labels
    self.segments = segments
    self.layout = layout
    predictionCount = labels.count { $0 != TokenBatch.ignoredLabel }
  }
}
