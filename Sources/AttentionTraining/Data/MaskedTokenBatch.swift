import AttentionTensors

/// Sequences some of whose tokens are to be predicted, and where they are pairs, whether the second part follows the first.
public struct MaskedTokenBatch: Sendable, Equatable {
  /// The tokens with their segments; labels are the tokens that were hidden.
  public let tokens: TokenBatch
  /// For each sequence 0 if its second part follows the first in the text, 1 if it does not, and -100 if it has none; nil if
  /// no sequence has.
  public let nextSentenceLabels: [Int]?
  /// The rows that predict a token.
  let rows: [Int]

  /// Creates a batch.
  ///
  /// - Precondition: there is a label of 0, 1 or -100 for each sequence, if there are any.
  public init(tokens: TokenBatch, nextSentenceLabels: [Int]? = nil) {
    if let labels = nextSentenceLabels {
      require(
        labels.count == tokens.layout.sequenceCount
          && labels.allSatisfy { (0...1).contains($0) || $0 == TokenBatch.ignoredLabel },
        "MaskedTokenBatch: next-sentence labels \(labels) for \(tokens.layout.sequenceCount) sequences")
    }
    self.tokens = tokens
    self.nextSentenceLabels = nextSentenceLabels
    rows = tokens.labels.indices.filter { tokens.labels[$0] != TokenBatch.ignoredLabel }
  }

  /// The sequences that are judged.
  public var pairCount: Int { nextSentenceLabels?.count { $0 != TokenBatch.ignoredLabel } ?? 0 }
}
