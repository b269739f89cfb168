import AttentionCore
import AttentionLayers
import AttentionTensors

/// What ``GPT2`` keeps of the tokens that it has read: keys and values of each block.
public struct GPT2State: DecodingState {
  /// One for each block.
  public internal(set) var caches: [KeyValueCache]

  /// The tokens read of each sequence.
  public var lengths: [Int] { caches[0].lengths }

  /// Keeps these sequences, in this order; copies share their pages until they are written to.
  ///
  /// - Precondition: every sequence exists.
  public mutating func select(sequences: [Int]) {
    for index in caches.indices { caches[index].select(sequences: sequences) }
  }

  /// Forgets the tokens of a sequence from `length` on; always possible.
  ///
  /// - Precondition: the sequence exists, and has read as many.
  public mutating func truncate(sequence: Int, toLength length: Int) -> Bool {
    for index in caches.indices { caches[index].truncate(sequence: sequence, toLength: length) }
    return true
  }
}

extension GPT2: CausalLanguageModel {
  /// The tokens that there are.
  public var vocabularySize: Int { configuration.vocabularySize }
  /// The positions that there are.
  public var maximumLength: Int? { configuration.maximumLength }
  /// The token that begins a text, if there is one.
  public var beginID: Int? { configuration.beginID }
  /// The tokens that end a text.
  public var endIDs: [Int] { configuration.endIDs }

  /// A state that has read nothing.
  public func makeState(sequenceCount: Int) -> GPT2State {
    GPT2State(caches: makeCaches(sequenceCount: sequenceCount))
  }

  /// Reads tokens, and scores all tokens to come next, `[sequences with new tokens, vocabulary]`.
  ///
  /// - Precondition: as for the call with caches.
  public func scores(after ids: [Int], layout: SequenceLayout, state: inout GPT2State) -> Tensor {
    let hidden = self(ids, layout: layout, caches: &state.caches)
    let rows = layout.lastRows
    return scores(rows.count == hidden.shape[0] ? hidden : hidden.gathered(rows: rows))
  }

  /// The rows of the last norm, `[tokens, width]`.
  ///
  /// - Precondition: as for the call.
  public func hidden(_ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey?) -> Tensor {
    self(ids, layout: layout, dropout: key)
  }
}
