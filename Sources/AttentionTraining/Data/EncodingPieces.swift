import AttentionModels
import AttentionTensors

/// Documents in the pieces in which they are encoded.
struct EncodingPieces: Sendable {
  private struct Piece {
    var document: Int
    var range: Range<Int>
  }

  private let documents: TextDocuments
  private let pieces: [Piece]
  /// Consecutive pieces that one core encodes at once, so that short documents cost no hand-over each.
  private let groups: [Range<Int>]

  /// Bytes of a piece, and of a group.
  static let pieceSize = 1 << 18
  private static let groupSize = 1 << 15

  init(_ documents: TextDocuments) {
    self.documents = documents
    var pieces: [Piece] = []
    documents.withText { text in
      for document in 0..<documents.count {
        for range in Self.pieces(of: documents.range(of: document), in: text) {
          pieces.append(Piece(document: document, range: range))
        }
      }
    }
    var groups: [Range<Int>] = []
    var (start, bytes) = (0, 0)
    for index in pieces.indices {
      bytes += pieces[index].range.count
      guard bytes >= Self.groupSize || index == pieces.count - 1 else { continue }
      groups.append(start..<index + 1)
      (start, bytes) = (index + 1, 0)
    }
    self.pieces = pieces
    self.groups = groups
  }

  func document(of piece: Int) -> Int { pieces[piece].document }

  /// A document's parts: cut before a space between two letters, in the second half of a piece at the latest.
  private static func pieces(of range: Range<Int>, in text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
    func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) && byte < 0x80 }
    var pieces: [Range<Int>] = []
    var start = range.lowerBound
    while range.upperBound - start > pieceSize {
      let middle = start + pieceSize / 2
      let isGood = { text[$0] == 0x20 && isLetter(text[$0 - 1]) && isLetter(text[$0 + 1]) }
      let space = (middle..<start + pieceSize - 1).last(where: isGood)
      // UTF-8 that is well-formed has a first byte among any four.
      let end = space ?? (middle..<start + pieceSize).last { text[$0] & 0xC0 != 0x80 } ?? range.upperBound
      pieces.append(start..<end)
      start = end
    }
    if start < range.upperBound { pieces.append(start..<range.upperBound) }
    return pieces
  }

  /// The tokens of each piece, as `token` makes them of an id and whether it begins a word.
  func encoded(
    by tokenizer: some Tokenizer, _ token: @Sendable (_ id: Int, _ startsWord: Bool) -> UInt32
  ) -> [[UInt32]] {
    let options = EncodingOptions(addsTemplate: false, recognizesSpecialTokens: false)
    var results = [[UInt32]](repeating: [], count: pieces.count)
    results.withUnsafeMutableBufferPointer { buffer in
      let target = Unchecked(buffer)
      WorkerPool.shared.forEachWithoutProducts(groups.count, inline: groups.count < 2) { group in
        for index in groups[group] {
          let text = documents.string(pieces[index].range)
          let encoding = tokenizer.encode(text, options: options)
          target.value[index] = zip(encoding.ids, encoding.wordStarts(in: text)).map { token($0, $1) }
        }
      }
    }
    return results
  }
}
