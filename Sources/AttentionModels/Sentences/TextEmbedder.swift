import AttentionTensors

/// What makes a vector of a text: a ``SentenceEncoder``, or the mean of ``WordVectors``.
public protocol TextEmbedder: Sendable {
  /// The length of a vector.
  var width: Int { get }
  /// Tokens of a text at the most, behind which it is cut; nil for any number.
  var tokenLimit: Int? { get }

  /// The rows of texts, and what was made of the texts. A text of no tokens that the model knows has a row of zeros.
  ///
  /// - Parameters:
  ///   - texts: any number.
  ///   - options: how much is done at once.
  ///   - progress: called now and then, from any thread, never from two at once.
  func result(
    for texts: [String], options: EmbeddingOptions, progress: (@Sendable (EmbeddingProgress) -> Void)?
  ) -> EmbeddingResult
}

extension SentenceEncoder: TextEmbedder {
  /// The encoder's ``maximumLength``.
  public var tokenLimit: Int? { maximumLength }
}

extension WordVectors: TextEmbedder {
  /// A mean has any number of terms.
  public var tokenLimit: Int? { nil }
}
