import AttentionCore
import AttentionTensors

/// What a decoder knows of the tokens that it has read, of several sequences at once.
public protocol DecodingState: Sendable {
  /// The tokens read of each sequence.
  var lengths: [Int] { get }

  /// Keeps these sequences, in this order. One that is named several times goes on in several ways; what it has read is
  /// shared, not copied, where the state allows.
  ///
  /// - Precondition: every sequence exists.
  mutating func select(sequences: [Int])

  /// Forgets the tokens of a sequence from `length` on. Returns false, with nothing changed, where a state cannot, as that
  /// of a recurrent layer.
  ///
  /// - Precondition: the sequence exists, and has read as many.
  mutating func truncate(sequence: Int, toLength length: Int) -> Bool
}

/// A model that reads tokens and tells what may come next.
///
/// ``TokenGeneration`` generates with any type that conforms.
public protocol SequenceDecoder: Sendable {
  /// What is known of the tokens read.
  associatedtype State: DecodingState

  /// The tokens that there are.
  var vocabularySize: Int { get }
  /// The tokens that a sequence may have; nil for any number.
  var maximumLength: Int? { get }
  /// The token that begins a text, if there is one.
  var beginID: Int? { get }
  /// The tokens that end a text.
  var endIDs: [Int] { get }

  /// Reads tokens, and scores all tokens to come next.
  ///
  /// - Parameters:
  ///   - ids: the new tokens of all sequences, end to end.
  ///   - layout: the new tokens of each of the state's sequences; a length may be 0.
  ///   - state: what was read before; then with the new tokens too.
  /// - Returns: `[sequences with new tokens, vocabulary]`: the scores after the last token of each.
  func scores(after ids: [Int], layout: SequenceLayout, state: inout State) -> Tensor
}

/// A decoder that begins with nothing but a prompt.
public protocol LanguageModel: SequenceDecoder {
  /// A state that has read nothing.
  func makeState(sequenceCount: Int) -> State
}

extension SequenceLayout {
  /// The row of the last token of each sequence that has one.
  var lastRows: [Int] { (0..<sequenceCount).filter { lengths[$0] > 0 }.map { offsets[$0 + 1] - 1 } }
}
