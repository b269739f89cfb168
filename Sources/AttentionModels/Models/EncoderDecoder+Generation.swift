import AttentionCore
import AttentionLayers
import AttentionTensors

/// What ``EncoderDecoder`` keeps of the source and of the target's tokens that it has read: keys and values of each block.
public struct EncoderDecoderState: DecodingState {
  var decoder: TransformerDecoder.State

  /// The tokens read of each target.
  public var lengths: [Int] { decoder.lengths }

  /// Keeps these sequences with their sources, in this order; copies share their pages until they are written to.
  ///
  /// - Precondition: every sequence exists.
  public mutating func select(sequences: [Int]) { decoder.select(sequences: sequences) }

  /// Forgets the tokens of a target from `length` on; always possible.
  ///
  /// - Precondition: the sequence exists, and has read as many.
  public mutating func truncate(sequence: Int, toLength length: Int) -> Bool {
    decoder.truncate(sequence: sequence, toLength: length)
    return true
  }
}

extension EncoderDecoder: SequenceToSequenceModel {
  /// The tokens of the source.
  public var sourceVocabularySize: Int { configuration.sourceVocabularySize }
  /// The tokens of the target.
  public var vocabularySize: Int { configuration.targetVocabularySize }
  /// Sines and cosines have no last position.
  public var maximumLength: Int? { nil }
  /// The token that a target begins with, if there is one.
  public var beginID: Int? { configuration.beginID }
  /// The token that ends a target, if there is one.
  public var endIDs: [Int] { configuration.endID.map { [$0] } ?? [] }

  /// What the decoder makes of sources, before the first token of their targets. O(source tokens · width²) for each block.
  ///
  /// - Precondition: there are as many ids as the layout has tokens, each below the vocabulary's size.
  public func makeState(source ids: [Int], layout: SequenceLayout) -> EncoderDecoderState {
    EncoderDecoderState(decoder: stack.decoder.makeState(memory: encoded(ids, layout: layout), layout: layout))
  }

  /// Reads target tokens, and scores all tokens to come next, `[sequences with new tokens, target vocabulary]`.
  ///
  /// - Precondition: the layout has the state's sequences, and each id is below the vocabulary's size.
  public func scores(after ids: [Int], layout: SequenceLayout, state: inout EncoderDecoderState) -> Tensor {
    let hidden = decoded(ids, layout: layout, state: &state.decoder)
    let rows = layout.lastRows
    return scores(rows.count == hidden.shape[0] ? hidden : hidden.gathered(rows: rows))
  }

  /// The decoder's rows, `[target tokens, width]`, as the call.
  public func hidden(
    source: [Int], sourceLayout: SequenceLayout, target: [Int], targetLayout: SequenceLayout, dropout key: DropoutKey?
  ) -> Tensor {
    self(source: source, sourceLayout: sourceLayout, target: target, targetLayout: targetLayout, dropout: key)
  }
}
