import AttentionCore
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
public protocol CausalLanguageModel: LanguageModel, StoredModel, TokenScoring {
  /// A row for each token, which has seen the tokens up to it: `[tokens, width]`.
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sequences, end to end.
  ///   - layout: the sequences.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layout has tokens, each below ``SequenceDecoder/vocabularySize``, and no
  ///   sequence is longer than ``SequenceDecoder/maximumLength``.
  func hidden(_ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey?) -> Tensor
}
