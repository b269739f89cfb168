import AttentionTensors

/// The sentences of documents, and how an epoch's sequences are made of runs of them (Devlin et al., 1810.04805, A.2, and
/// its code).
struct SentenceRuns: Sendable {
  /// What a sequence is made of: tokens, by their places among all.
  struct Sequence: Sendable, Equatable {
    var first: Range<Int>
    var second: Range<Int>?
    /// Whether the second part follows the first in the text.
    var isNext = false

    var tokenCount: Int { first.count + (second?.count ?? 0) }
  }

  private let documents: TokenDocuments
  /// By number, in the order of the text; the tokens of neighbours of one document touch.
  private let sentences: [Range<Int>]
  /// Where the sentences of each document begin, and after the last one their number.
  private var starts: [Int]
  /// The tokens of a sequence at the most, those around sentences not counted.
  private let room: Int
  private let makesPairs: Bool

  /// A document's entries that come from one origin are its sentences. A sentence that would leave no room for another, or
  /// be too long by itself, is several of equal length.
  init(_ documents: TokenDocuments, room: Int, makesPairs: Bool) {
    self.documents = documents
    self.room = room
    self.makesPairs = makesPairs
    let longest = makesPairs ? room / 2 : room
    var sentences: [Range<Int>] = []
    var starts: [Int] = []
    var origin: Int?
    for entry in 0..<documents.count {
      let tokens = documents.range(of: entry)
      guard !tokens.isEmpty else { continue }
      if documents.origin(of: entry) != origin {
        starts.append(sentences.count)
        origin = documents.origin(of: entry)
      }
      let parts = (tokens.count + longest - 1) / longest
      for part in 0..<parts {
        sentences.append(
          tokens.lowerBound + part * tokens.count / parts..<tokens.lowerBound + (part + 1) * tokens.count / parts)
      }
    }
    self.sentences = sentences
    self.starts = starts + [sentences.count]
  }

  var isEmpty: Bool { sentences.isEmpty }

  /// An epoch's sequences. Every sentence is in one of them, as a part that stands where it stands in the text; second parts
  /// from elsewhere are there beside that.
  func sequences(using generator: inout some RandomNumberGenerator) -> [Sequence] {
    var sequences: [Sequence] = []
    for document in 0..<starts.count - 1 {
      let end = starts[document + 1]
      var next = starts[document]
      // Where there are several runs the first is cut short somewhere, so that others end elsewhere in each epoch.
      let isOne = next < end && tokens(of: next..<end).count <= room
      var limit = isOne ? room : Int.random(in: 1...room, using: &generator)
      while next < end {
        let run = run(from: next, to: end, limit: max(limit, sentences[next].count))
        limit = room
        guard makesPairs, run.count > 1 else {
          sequences.append(Sequence(first: tokens(of: run)))
          next = run.upperBound
          continue
        }
        let middle = Int.random(in: run.lowerBound + 1..<run.upperBound, using: &generator)
        let first = run.lowerBound..<middle
        var sequence = Sequence(first: tokens(of: first), second: tokens(of: middle..<run.upperBound), isNext: true)
        next = run.upperBound
        if Bool.random(using: &generator) {
          if let other = elsewhere(first, in: document, using: &generator) {
            // What would have followed begins the next sequence.
            (sequence.second, sequence.isNext, next) = (other, false, middle)
          } else {
            (sequence.first, sequence.second, sequence.isNext) = (tokens(of: run), nil, false)
          }
        }
        sequences.append(sequence)
      }
    }
    return sequences
  }

  /// As many sentences as there is room for, one at least.
  private func run(from first: Int, to end: Int, limit: Int) -> Range<Int> {
    var last = first + 1
    while last < end, sentences[last].upperBound - sentences[first].lowerBound <= limit { last += 1 }
    return first..<last
  }

  private func tokens(of run: Range<Int>) -> Range<Int> {
    sentences[run.lowerBound].lowerBound..<sentences[run.upperBound - 1].upperBound
  }

  /// A run that does not follow: of another document, or, where there is but one, of another place in it; nil if nothing
  /// but what follows is found.
  private func elsewhere(
    _ run: Range<Int>, in document: Int, using generator: inout some RandomNumberGenerator
  ) -> Range<Int>? {
    let room = room - tokens(of: run).count
    // Of one document, the run and what follows it are no elsewhere.
    let excluded = starts.count > 2 ? starts[document]..<starts[document + 1] : run.lowerBound..<run.upperBound + 1
    let count = sentences.count - excluded.count
    guard count > 0 else { return nil }
    var found: Range<Int>?
    for _ in 0..<16 {
      var first = Int.random(in: 0..<count, using: &generator)
      if first >= excluded.lowerBound { first += excluded.count }
      guard !isEqual(first, run.upperBound) else { continue }
      let document = starts.firstIndexAbove(first)
      let end = first < excluded.lowerBound ? min(starts[document], excluded.lowerBound) : starts[document]
      if sentences[first].count <= room { return tokens(of: self.run(from: first, to: end, limit: room)) }
      // A sentence for which there is no room is cut if no other is found.
      found = found ?? sentences[first].prefix(room)
    }
    return found
  }

  /// Whether two sentences say the same: a text may repeat itself.
  private func isEqual(_ one: Int, _ other: Int) -> Bool {
    sentences[one].count == sentences[other].count
      && documents.ids(in: sentences[one]) == documents.ids(in: sentences[other])
  }
}

extension [Int] {
  /// The place of the first element that is greater, in a list that rises.
  fileprivate func firstIndexAbove(_ value: Int) -> Int {
    var (low, high) = (0, count)
    while low < high {
      let middle = (low + high) / 2
      if self[middle] <= value { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
