import AttentionTensors

/// A model that makes scores of tokens from its last rows.
public protocol TokenScoring: Sendable {
  /// The scores of every token to come next, for each row: `[rows, vocabulary]`.
  func scores(_ hidden: Tensor) -> Tensor

  /// The summed cross-entropy of labels under the scores of some rows, a scalar in nats, as
  /// `crossEntropy` of ``scores(_:)`` has it; tracked if rows or parameters are.
  ///
  /// A model whose scores come from a linear map need not hold them all at once, and has this method of its own.
  ///
  /// - Parameters:
  ///   - hidden: `[rows, width]`.
  ///   - labels: the token of each row; -100 where there is none.
  ///   - smoothing: the share of each label that all tokens have in common.
  /// - Precondition: one label for each row, and each one a token or -100.
  func crossEntropy(ofHidden hidden: Tensor, labels: [Int], smoothing: Float) -> Tensor
}

extension TokenScoring {
  /// The summed cross-entropy of labels under the scores of some rows.
  ///
  /// - Precondition: one label for each row, and each one a token or -100.
  public func crossEntropy(ofHidden hidden: Tensor, labels: [Int], smoothing: Float) -> Tensor {
    AttentionTensors.crossEntropy(scores(hidden), labels: labels, smoothing: smoothing, reduction: .sum)
  }
}
