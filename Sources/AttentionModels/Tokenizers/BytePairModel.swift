import AttentionTensors
import HeapModule

/// Byte-pair encoding: neighbouring parts of a word are joined, the pair that was learnt first before others, until no
/// pair is known (Sennrich et al., 1508.07909, §3.2), over bytes (Radford et al. 2019, §2.2).
struct BytePairModel: Sendable {
  /// Tokens as the file spells them, in visible characters.
  let vocabulary: TokenVocabulary
  /// For each byte, the token of its visible character; -1 where there is none.
  private let byteTokens: [Int32]
  /// What two tokens become, and which pair comes first.
  private let merges: [UInt64: Merge]
  /// Whether a word that is a token is taken whole, whatever the pairs say.
  let ignoresMerges: Bool
  /// The token of bytes that have none.
  let unknown: Int32?
  /// Whether neighbouring unknown bytes are one token.
  let fusesUnknown: Bool

  struct Merge: Sendable {
    let rank: Int32
    let result: Int32
  }

  /// Why pairs make no model.
  enum Fault: Error, Equatable, CustomStringConvertible {
    /// A part of the pair, or what it becomes, is no token.
    case unknownToken(String, inMerge: Int)

    var description: String {
      switch self {
      case .unknownToken(let token, let merge): "merge \(merge) has \(quotedForMessage(token)), which is no token"
      }
    }
  }

  /// - Parameter merges: pairs of tokens, in the order in which they were learnt.
  init(
    vocabulary: TokenVocabulary, merges: some Sequence<(String, String)>, ignoresMerges: Bool, unknown: Int32?,
    fusesUnknown: Bool
  ) throws(Fault) {
    self.vocabulary = vocabulary
    self.ignoresMerges = ignoresMerges
    self.unknown = unknown
    self.fusesUnknown = fusesUnknown
    byteTokens = ByteLevelText.characters.map { vocabulary.id(of: String(Character($0))) ?? -1 }
    var table: [UInt64: Merge] = [:]
    for (rank, (first, second)) in merges.enumerated() {
      guard let left = vocabulary.id(of: first) else { throw .unknownToken(first, inMerge: rank) }
      guard let right = vocabulary.id(of: second) else { throw .unknownToken(second, inMerge: rank) }
      guard let result = vocabulary.id(of: first + second) else { throw .unknownToken(first + second, inMerge: rank) }
      // Of a pair that comes twice the last counts.
      table[Self.key(left, right)] = Merge(rank: Int32(rank), result: result)
    }
    self.merges = table
  }

  /// The pairs in the order in which they were learnt.
  var orderedMerges: [(Int32, Int32)] {
    merges.sorted { $0.value.rank < $1.value.rank }.map {
      (Int32(truncatingIfNeeded: $0.key >> 32), Int32(truncatingIfNeeded: $0.key))
    }
  }

  @inline(__always)
  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// What one task keeps between words.
  struct Scratch {
    /// The tokens of words that were seen.
    fileprivate var known: [[UInt8]: [TokenPiece]] = [:]
    fileprivate var parts: [Part] = []
    fileprivate var queue = Heap<Pair>()

    /// Words that are kept, and the bytes of the longest such.
    fileprivate static let capacity = 16_384
    fileprivate static let longestWord = 64
  }

  /// A token of the word at hand, with its neighbours; joined ones drop out of the chain.
  fileprivate struct Part {
    var id: Int32
    var end: Int32
    var previous: Int32
    var next: Int32
  }

  /// A pair that may be joined: the first learnt before others, of equal ones the leftmost.
  fileprivate struct Pair: Comparable {
    let rank: Int32
    let place: Int32
    let left: Int32
    let right: Int32
    let result: Int32

    static func < (a: Pair, b: Pair) -> Bool { (a.rank, a.place) < (b.rank, b.place) }
  }

  /// The tokens of a word, given as bytes.
  ///
  /// O(bytes · log bytes).
  func tokenize(_ word: [UInt8], _ pieces: inout [TokenPiece], scratch: inout Scratch) {
    let isShort = word.count <= Scratch.longestWord
    if isShort, let known = scratch.known[word] {
      pieces = known
      return
    }
    compute(word, &pieces, &scratch)
    guard isShort else { return }
    if scratch.known.count >= Scratch.capacity { scratch.known.removeAll(keepingCapacity: true) }
    scratch.known[word] = pieces
  }

  private func compute(_ word: [UInt8], _ pieces: inout [TokenPiece], _ scratch: inout Scratch) {
    pieces.removeAll(keepingCapacity: true)
    if ignoresMerges, let id = vocabulary.id(of: ByteLevelText.visible(word)) {
      return pieces.append(TokenPiece(id: id, end: word.count))
    }
    begin(word, &scratch)
    for place in scratch.parts.indices { enqueue(Int32(place), &scratch) }
    while let pair = scratch.queue.popMin() {
      let (place, next) = (Int(pair.place), Int(scratch.parts[Int(pair.place)].next))
      // Parts may have been joined with others since.
      guard next >= 0, scratch.parts[place].id == pair.left, scratch.parts[next].id == pair.right,
        scratch.parts[place].end >= 0
      else { continue }
      scratch.parts[place].id = pair.result
      scratch.parts[place].end = scratch.parts[next].end
      scratch.parts[place].next = scratch.parts[next].next
      scratch.parts[next].end = -1
      if scratch.parts[next].next >= 0 { scratch.parts[Int(scratch.parts[next].next)].previous = pair.place }
      if scratch.parts[place].previous >= 0 { enqueue(scratch.parts[place].previous, &scratch) }
      enqueue(pair.place, &scratch)
    }
    var place: Int32 = scratch.parts.isEmpty ? -1 : 0
    while place >= 0 {
      let part = scratch.parts[Int(place)]
      pieces.append(TokenPiece(id: part.id, end: Int(part.end)))
      place = part.next
    }
  }

  private func begin(_ word: [UInt8], _ scratch: inout Scratch) {
    scratch.parts.removeAll(keepingCapacity: true)
    for (index, byte) in word.enumerated() {
      var id = byteTokens[Int(byte)]
      if id < 0 {
        guard let unknown else { continue }
        if fusesUnknown, let last = scratch.parts.last, last.id == unknown, Int(last.end) == index {
          scratch.parts[scratch.parts.count - 1].end = Int32(index + 1)
          continue
        }
        id = unknown
      }
      let place = Int32(scratch.parts.count)
      if place > 0 { scratch.parts[Int(place) - 1].next = place }
      scratch.parts.append(Part(id: id, end: Int32(index + 1), previous: place - 1, next: -1))
    }
  }

  /// Queues the pair that begins at a part, if it is known.
  private func enqueue(_ place: Int32, _ scratch: inout Scratch) {
    let part = scratch.parts[Int(place)]
    guard part.next >= 0 else { return }
    let right = scratch.parts[Int(part.next)].id
    guard let merge = merges[Self.key(part.id, right)] else { return }
    scratch.queue.insert(Pair(rank: merge.rank, place: place, left: part.id, right: right, result: merge.result))
  }
}
