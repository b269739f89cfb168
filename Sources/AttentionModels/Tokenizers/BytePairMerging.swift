import AttentionTensors
import HeapModule

/// The words of a corpus while pairs of their tokens are joined: counts of pairs are kept up to date, and each pair knows
/// the words that it stands in, so that a step costs what changes.
struct BytePairMerging {
  /// The spelling of each token, by its id.
  private(set) var tokens: [String] = []
  private var ids: [UTF8Key: Int32] = [:]
  private var byteTokens: [Int32] = []

  /// All words' tokens, one word after another; a word shrinks in its place.
  private var parts: [Int32] = []
  private var words: [Word] = []

  private struct Word {
    let start: Int
    var length: Int
    let count: Int
  }

  /// By pair, its place in the two arrays behind.
  private var pairs: [UInt64: Int32] = [:]
  private var counts: [Int] = []
  /// Words that a pair has come to stand in, and that the queue does not know of yet.
  private var newWords: [[Int32]] = []
  /// Pairs with such words.
  private var changed: [(pair: UInt64, place: Int32)] = []

  /// A pair in the queue: the most frequent first, of equal ones that of the smallest ids.
  private struct Candidate: Comparable {
    let count: Int
    let pair: UInt64
    let place: Int32
    /// Where the pair stands. A pair may be queued twice, with other words.
    let words: [Int32]

    static func < (a: Candidate, b: Candidate) -> Bool { (a.count, b.pair) < (b.count, a.pair) }
    static func == (a: Candidate, b: Candidate) -> Bool { (a.count, a.pair) == (b.count, b.pair) }
  }

  /// Special tokens have the first ids, then the visible characters of bytes, in the order of Unicode.
  init(specialTokens: [String]) {
    for token in specialTokens { _ = id(of: token) }
    for character in ByteLevelText.characters.sorted(by: { $0.value < $1.value }) {
      _ = id(of: String(Character(character)))
    }
    byteTokens = ByteLevelText.characters.map { ids[UTF8Key(String(Character($0)))]! }
  }

  /// The id of a token, which is new if it has none.
  private mutating func id(of token: String) -> Int32 {
    let key = UTF8Key(token)
    if let id = ids[key] { return id }
    let id = Int32(tokens.count)
    ids[key] = id
    tokens.append(token)
    return id
  }

  /// Adds a word that occurs so often.
  mutating func add(_ word: [UInt8], count: Int) {
    words.append(Word(start: parts.count, length: word.count, count: count))
    for byte in word { parts.append(byteTokens[Int(byte)]) }
  }

  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private mutating func place(of pair: UInt64) -> Int32 {
    if let place = pairs[pair] { return place }
    let place = Int32(counts.count)
    pairs[pair] = place
    counts.append(0)
    newWords.append([])
    return place
  }

  private mutating func add(_ pair: UInt64, in word: Int32, count: Int) {
    let place = place(of: pair)
    counts[Int(place)] += count
    guard count > 0 else { return }
    if newWords[Int(place)].isEmpty { changed.append((pair, place)) }
    // A word's changes come one after another.
    if newWords[Int(place)].last != word { newWords[Int(place)].append(word) }
  }

  private mutating func enqueueChanged(_ queue: inout Heap<Candidate>) {
    for (pair, place) in changed {
      let words = newWords[Int(place)]
      newWords[Int(place)] = []
      if counts[Int(place)] > 0 {
        queue.insert(Candidate(count: counts[Int(place)], pair: pair, place: place, words: words))
      }
    }
    changed.removeAll(keepingCapacity: true)
  }

  /// Joins pairs until there are so many tokens, or none is frequent enough.
  ///
  /// - Returns: the pairs in the order in which they were learnt.
  mutating func learn(size: Int, minimumFrequency: Int) -> [(String, String)] {
    for index in words.indices {
      let word = words[index]
      for place in word.start..<word.start + max(0, word.length - 1) {
        add(Self.pair(parts[place], parts[place + 1]), in: Int32(index), count: word.count)
      }
    }
    var queue = Heap<Candidate>()
    enqueueChanged(&queue)
    var learnt: [UInt64] = []
    while tokens.count < size, let top = queue.popMax() {
      let count = counts[Int(top.place)]
      guard count == top.count else {
        // Other pairs took some of it since.
        if count > 0 {
          queue.insert(Candidate(count: count, pair: top.pair, place: top.place, words: top.words))
        }
        continue
      }
      guard count >= minimumFrequency else { break }
      let (left, right) = (Int32(truncatingIfNeeded: top.pair >> 32), Int32(truncatingIfNeeded: top.pair))
      // Two pairs may become the same token.
      let joined = id(of: tokens[Int(left)] + tokens[Int(right)])
      learnt.append(top.pair)
      for word in top.words { join(left, right, into: joined, in: word) }
      enqueueChanged(&queue)
    }
    // A pair that came again, with words that it had come to stand in later, counts as learnt then.
    var isKnown: Set<UInt64> = []
    return learnt.reversed().filter { isKnown.insert($0).inserted }.reversed().map {
      (tokens[Int($0 >> 32)], tokens[Int(UInt32(truncatingIfNeeded: $0))])
    }
  }

  /// Joins a pair wherever it stands in a word, from left to right.
  private mutating func join(_ left: Int32, _ right: Int32, into joined: Int32, in index: Int32) {
    let word = words[Int(index)]
    let end = word.start + word.length
    var (source, target) = (word.start, word.start)
    while source < end {
      guard parts[source] == left, source + 1 < end, parts[source + 1] == right else {
        parts[target] = parts[source]
        (source, target) = (source + 1, target + 1)
        continue
      }
      if target > word.start {
        add(Self.pair(parts[target - 1], left), in: index, count: -word.count)
        add(Self.pair(parts[target - 1], joined), in: index, count: word.count)
      }
      if source + 2 < end {
        add(Self.pair(right, parts[source + 2]), in: index, count: -word.count)
        add(Self.pair(joined, parts[source + 2]), in: index, count: word.count)
      }
      parts[target] = joined
      (source, target) = (source + 2, target + 1)
    }
    words[Int(index)].length = target - word.start
  }
}
