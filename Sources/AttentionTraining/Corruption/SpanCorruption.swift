import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Span masking (SpanBERT: Joshi et al., 1907.10529, §3.1): runs of whole words are to be predicted, until they have 15% of a
/// sequence's tokens.
///
/// The words of a run are as many as a geometric distribution with p = 0.2 draws, of which lengths over 10 are left out and
/// the others' probabilities grow in proportion: 3.80 on average. Each start at which a run has room has the same
/// probability. All tokens of a run become the mask (80%), random tokens (10%), or stay (10%).
///
/// Runs do not overlap, do not cross special tokens, and take no more tokens than max(1, round(0.15 · tokens)): the last
/// one is cut to the words that there is room for. Where every word is longer than that, one word is taken.
public struct SpanCorruption: TokenCorruption {
  /// The tokens that it works with.
  public let vocabulary: MaskingVocabulary
  /// The share of tokens that are to be predicted.
  public let share: Double
  /// The probability of each number of words in a run, from 1.
  public let lengthProbabilities: [Double]

  /// Creates a corruption.
  ///
  /// - Precondition: the share lies in 0...1, p between 0 and 1, and the longest run has a word.
  public init(_ vocabulary: MaskingVocabulary, share: Double = 0.15, p: Double = 0.2, longest: Int = 10) {
    require(
      (0...1).contains(share) && p > 0 && p < 1 && longest > 0,
      "SpanCorruption: a share of \(share), p = \(p), \(longest) words at the most")
    self.vocabulary = vocabulary
    self.share = share
    let weights = (0..<longest).map { p * pow(1 - p, Double($0)) }
    let sum = weights.reduce(0, +)
    lengthProbabilities = weights.map { $0 / sum }
  }

  /// The words of a run on average, where there is room for them.
  public var meanLength: Double {
    lengthProbabilities.enumerated().reduce(0) { $0 + Double($1.offset + 1) * $1.element }
  }

  /// The words of a run.
  package func drawnLength(using generator: inout some RandomNumberGenerator) -> Int {
    var rest = Double.random(in: 0..<1, using: &generator)
    for (index, probability) in lengthProbabilities.enumerated() {
      rest -= probability
      if rest < 0 { return index + 1 }
    }
    return lengthProbabilities.count
  }

  /// Corrupts runs of words. O(tokens + runs · words) where runs hardly find room, less where they do.
  public func corrupted(
    _ ids: [Int], wordStarts: [Bool], using generator: inout some RandomNumberGenerator
  ) -> CorruptedTokens {
    require(ids.count == wordStarts.count, "SpanCorruption: \(ids.count) ids and \(wordStarts.count) flags of words")
    var words = SpanWords(ids, wordStarts, vocabulary.specialIDs)
    var left = MaskingVocabulary.count(of: share, in: words.tokenCount)
    var spans: [Range<Int>] = []
    while left > 0 {
      let length = drawnLength(using: &generator)
      guard let span = words.takeRun(of: length, tokens: left, using: &generator) else {
        if spans.isEmpty { spans.append(words.takeAny(using: &generator)) }
        break
      }
      spans.append(span)
      left -= span.count
    }
    var result = CorruptedTokens(ids)
    for span in spans.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      result.ask(for: span, vocabulary, using: &generator)
    }
    return result
  }
}

/// The words of a sequence, and which of them are taken.
private struct SpanWords {
  private var words: [Range<Int>] = []
  private var isTaken: [Bool]
  private(set) var tokenCount = 0

  init(_ ids: [Int], _ wordStarts: [Bool], _ specialIDs: Set<Int>) {
    var goesOn = false
    for (index, id) in ids.enumerated() {
      guard !specialIDs.contains(id) else {
        goesOn = false
        continue
      }
      if goesOn, !wordStarts[index] {
        words[words.count - 1] = words[words.count - 1].lowerBound..<index + 1
      } else {
        words.append(index..<index + 1)
      }
      goesOn = true
      tokenCount += 1
    }
    isTaken = [Bool](repeating: false, count: words.count)
  }

  /// Takes a run of so many words, of which those that have no room in `tokens` are left out; a shorter one where no place
  /// has so many free words; nil where no free word has room.
  mutating func takeRun(
    of length: Int, tokens: Int, using generator: inout some RandomNumberGenerator
  ) -> Range<Int>? {
    guard let first = start(of: length, tokens: tokens, using: &generator) else { return nil }
    var next = first
    while next < first + length, isFree(next, after: next == first ? nil : next - 1),
      words[next].upperBound - words[first].lowerBound <= tokens
    {
      isTaken[next] = true
      next += 1
    }
    return words[first].lowerBound..<words[next - 1].upperBound
  }

  /// Takes a word, which is longer than there is room for.
  ///
  /// - Precondition: there is a word.
  mutating func takeAny(using generator: inout some RandomNumberGenerator) -> Range<Int> {
    words.randomElement(using: &generator)!
  }

  private func start(of length: Int, tokens: Int, using generator: inout some RandomNumberGenerator) -> Int? {
    // Mostly there is room enough, and looking at all places is not needed.
    for _ in 0..<16 {
      let first = Int.random(in: words.indices, using: &generator)
      if fits(length, at: first, tokens) { return first }
    }
    for length in stride(from: length, to: 0, by: -1) {
      if let first = words.indices.filter({ fits(length, at: $0, tokens) }).randomElement(using: &generator) {
        return first
      }
    }
    return nil
  }

  private func fits(_ length: Int, at first: Int, _ tokens: Int) -> Bool {
    guard words[first].count <= tokens, first + length <= words.count else { return false }
    return (first..<first + length).allSatisfy { isFree($0, after: $0 == first ? nil : $0 - 1) }
  }

  /// Whether a word is there and free, and follows another one at once.
  private func isFree(_ word: Int, after other: Int?) -> Bool {
    guard word < words.count, !isTaken[word] else { return false }
    return other.map { words[$0].upperBound == words[word].lowerBound } ?? true
  }
}
