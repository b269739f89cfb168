import AttentionTensors

/// Texts' rows, and what was made of the texts.
public struct EmbeddingResult: Sendable {
  /// A row for each text, `[texts, width]`.
  public let rows: Tensor
  /// The tokens of each text, those of the template among them, as the model read them.
  public let tokenCounts: [Int]
  /// Whether a text had more tokens than the encoder takes, and lost those behind.
  public let isTruncated: [Bool]
}
