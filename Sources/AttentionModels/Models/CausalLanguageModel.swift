import AttentionCore
import AttentionLayers
import AttentionLayers
import AttentionTensors

/// A model that can be written to a folder, from which its kind is read again.
public protocol StoredModel: Layer {
  /// Writes config.json and model.safetensors; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  func save(to folder: ModelFolder) throws(ModelFileError)
}

/// A language model that predicts every token of whole sequences at once, for training and for scoring texts.
public protocol CausalLanguageModel: LanguageModel, StoredModel {
  /// A row for each token, which has seen the tokens up to it: `[tokens, width]`.
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sequences, end to end.
  ///   - layout: the sequences.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layout has tokens, each below ``SequenceDecoder/vocabularySize``, and no
  ///   sequence is longer than ``SequenceDecoder/maximumLength``.
  func hidden(_ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey?) -> Tensor

  /// The scores of every token to come next, for each row: `[rows, vocabulary]`.
  func scores(_ hidden: Tensor) -> Tensor

  /// The summed cross-entropy of labels under the scores of some rows, a scalar in nats, as
  /// ``crossEntropy(_:labels:ignoring:smoothing:reduction:)`` of ``scores(_:)`` has it; tracked if rows or parameters are.
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

extension CausalLanguageModel {
  /// The summed cross-entropy of labels under the scores of some rows.
  ///
  /// - Precondition: one label for each row, and each one a token or -100.
  public func crossEntropy(ofHidden hidden: Tensor, labels: [Int], smoothing: Float) -> Tensor {
    AttentionTensors.crossEntropy(scores(hidden), labels: labels, smoothing: smoothing, reduction: .sum)
  }
}
