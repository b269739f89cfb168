/// How texts are embedded. No option changes a result beyond float32's rounding, and on cores with AVX-512 none changes a
/// bit.
public struct EmbeddingOptions: Sendable, Equatable {
  /// Tokens in one ragged batch at the most; a longer text is a batch by itself. nil lets the encoder choose.
  public var tokenBudget: Int?
  /// Bytes that the rows between the layers may take at the most, on all threads together; nil for no bound.
  ///
  /// Batches become smaller for it, down to one text. Not counted are the weights, the texts and the result.
  public var memoryBudget: Int?

  /// - Precondition: both are positive where they are given.
  public init(tokenBudget: Int? = nil, memoryBudget: Int? = nil) {
    precondition(
      tokenBudget ?? 1 > 0 && memoryBudget ?? 1 > 0,
      "EmbeddingOptions: a token budget of \(tokenBudget ?? 0) and a memory budget of \(memoryBudget ?? 0)")
    self.tokenBudget = tokenBudget
    self.memoryBudget = memoryBudget
  }
}

/// How far a call has come.
public struct EmbeddingProgress: Sendable, Equatable {
  /// The texts that are embedded.
  public let completed: Int
  /// All texts of the call.
  public let total: Int
  /// The tokens of the completed texts.
  public let tokens: Int
}
