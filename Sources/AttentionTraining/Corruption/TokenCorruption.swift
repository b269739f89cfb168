import AttentionTensors

/// What chooses the tokens of a sequence that a model is to predict, and hides them.
public protocol TokenCorruption: Sendable {
  /// The tokens that it works with.
  var vocabulary: MaskingVocabulary { get }

  /// Corrupts a sequence. Equal generators corrupt it equally.
  ///
  /// - Parameters:
  ///   - ids: the tokens of one sequence.
  ///   - wordStarts: whether each begins a word, as `Encoding.wordStarts(in:)` tells.
  ///   - generator: what decides.
  /// - Precondition: ids are of the vocabulary, and there is a flag for each.
  func corrupted(
    _ ids: [Int], wordStarts: [Bool], using generator: inout some RandomNumberGenerator
  ) -> CorruptedTokens
}

/// A sequence, some of whose tokens are to be predicted.
public struct CorruptedTokens: Sendable, Equatable {
  /// What a model reads.
  public private(set) var ids: [Int]
  /// What it is to predict: the token that stood there, or -100 where nothing is asked.
  public private(set) var labels: [Int]
  /// The runs of tokens that were chosen together, in the order of the sequence.
  public private(set) var spans: [Range<Int>]

  /// Creates a corrupted sequence, as a corruption of one's own does.
  ///
  /// - Precondition: there is a label for each id.
  public init(ids: [Int], labels: [Int], spans: [Range<Int>] = []) {
    require(ids.count == labels.count, "CorruptedTokens: \(ids.count) ids and \(labels.count) labels")
    self.ids = ids
    self.labels = labels
    self.spans = spans
  }

  /// A sequence in which nothing is asked.
  init(_ ids: [Int]) {
    self.init(ids: ids, labels: [Int](repeating: TokenBatch.ignoredLabel, count: ids.count))
  }

  /// Asks for the tokens of a run, all of which are replaced in one way.
  mutating func ask(
    for span: Range<Int>, _ vocabulary: MaskingVocabulary, using generator: inout some RandomNumberGenerator
  ) {
    let replacement = Replacement(using: &generator)
    for index in span {
      labels[index] = ids[index]
      switch replacement {
      case .mask: ids[index] = vocabulary.maskID
      case .draw: ids[index] = vocabulary.ordinaryIDs.randomElement(using: &generator)!
      case .keep: break
      }
    }
    spans.append(span)
  }
}
