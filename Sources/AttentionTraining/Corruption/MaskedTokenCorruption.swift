import AttentionTensors

/// Random masking (BERT: Devlin et al., 1810.04805, §3.1): 15% of a sequence's tokens are to be predicted, one at least and
/// never special ones; of these 80% become the mask, 10% a random token, and 10% stay.
///
///     let corruption = MaskedTokenCorruption(MaskingVocabulary(size: 4_096, maskID: 4, specialIDs: [0, 1, 2, 3]))
///     let found = corruption.corrupted(ids, wordStarts: starts, using: &generator)
///
/// This corrupts the input; it is no attention mask.
public struct MaskedTokenCorruption: TokenCorruption {
  /// The tokens that it works with.
  public let vocabulary: MaskingVocabulary
  /// The share of tokens that are to be predicted.
  public let share: Double

  /// Creates a corruption.
  ///
  /// - Precondition: the share lies in 0...1.
  public init(_ vocabulary: MaskingVocabulary, share: Double = 0.15) {
    require((0...1).contains(share), "MaskedTokenCorruption: a share of \(share)")
    self.vocabulary = vocabulary
    self.share = share
  }

  /// Corrupts max(1, round(share · tokens)) tokens that are not special, each set of so many with equal probability; words
  /// make no difference. O(tokens).
  public func corrupted(
    _ ids: [Int], wordStarts: [Bool], using generator: inout some RandomNumberGenerator
  ) -> CorruptedTokens {
    require(
      ids.count == wordStarts.count, "MaskedTokenCorruption: \(ids.count) ids and \(wordStarts.count) flags of words")
    var places = ids.indices.filter { !vocabulary.specialIDs.contains(ids[$0]) }
    let count = MaskingVocabulary.count(of: share, in: places.count)
    for index in 0..<count {
      places.swapAt(index, Int.random(in: index..<places.count, using: &generator))
    }
    var result = CorruptedTokens(ids)
    for place in places[..<count].sorted() { result.ask(for: place..<place + 1, vocabulary, using: &generator) }
    return result
  }
}
