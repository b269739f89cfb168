import Attention
import Testing

import AttentionModels

@Suite struct StreamedTextTests {
  /// The pieces of tokens, and whether a stop string ended them.
  static func pieces(
    _ ids: [Int], _ tokenizer: ByteTokenizer = .init(), stops: [String] = []
  ) -> (pieces: [String], isStopped: Bool) {
    var text = StreamedText(tokenizer, stopStrings: stops)
    var pieces: [String] = []
    for id in ids where !text.isStopped { pieces.append(text.append(id)) }
    return (pieces + [text.finish()], text.isStopped)
  }

  static func ids(_ text: String) -> [Int] { text.utf8.map { Int($0) } }

  @Test(
    "Pieces are whole scalars, and together the text",
    arguments: ["abc", "aé€𝄞z", "\u{FFFD}x\u{FFFD}", "👩‍👩‍👧 e\u{301}", ""])
  func wholeScalars(text: String) {
    let found = Self.pieces(Self.ids(text)).pieces
    #expect(Array(found.joined().utf8) == Array(text.utf8))
    if !text.contains("\u{FFFD}") { #expect(!found.joined().unicodeScalars.contains("\u{FFFD}")) }
    // A scalar is given out with its last byte.
    var scalars = text.unicodeScalars.filter { $0 != "\u{FFFD}" }.makeIterator()
    if !text.contains("\u{FFFD}") {
      for piece in found where !piece.isEmpty { #expect(Array(piece.unicodeScalars) == [scalars.next()]) }
    }
  }

  @Test("Any bytes give the text that decoding all of them gives")
  func anyBytes() {
    var generator = SeededGenerator(seed: 9)
    let alphabet: [Int] = [
      0x61, 0x20, 0xC3, 0xA9, 0xE2, 0x82, 0xAC, 0xF0, 0x9D, 0x84, 0x9E, 0xFF, 0x80, 0xEF, 0xBF, 0xBD,
    ]
    let tokenizer = ByteTokenizer(others: [
      [0xE2, 0x82], [0xAC, 0xE2], [0x82, 0xAC, 0x61], [0x9E], [0x61, 0xF0, 0x9D],
    ])
    for _ in 0..<3000 {
      let ids = (0..<Int.random(in: 0...14, using: &generator)).map { _ in
        (alphabet + Array(256..<261)).randomElement(using: &generator)!
      }
      let found = Self.pieces(ids, tokenizer).pieces.joined()
      #expect(Array(found.utf8) == Array(tokenizer.decode(ids, skippingSpecialTokens: true).utf8), "\(ids)")
    }
  }

  @Test("A stop string ends the text before it, wherever tokens begin and end")
  func stopStrings() {
    let found = Self.pieces(Self.ids("one\n\ntwo"), stops: ["\n\n"])
    #expect(found.pieces.joined() == "one" && found.isStopped)
    // What may become one is held back, and given out when it does not.
    let other = Self.pieces(Self.ids("a\nb\n"), stops: ["\n\n"])
    #expect(other.pieces == ["a", "", "\nb", "", "\n"] && !other.isStopped)
    #expect(Self.pieces(Self.ids("xaab"), stops: ["aab"]).pieces.joined() == "x")
    #expect(Self.pieces(Self.ids("€€"), stops: ["€€"]).pieces.joined() == "")
    #expect(Self.pieces(Self.ids("e\u{301}"), stops: ["e"]).pieces.joined() == "", "scalars, not characters")
  }

  @Test("Several stop strings, in one token or many: the first in the text counts")
  func severalStops() {
    let tokenizer = ByteTokenizer(others: [Array("ab STOP cd END".utf8), Array("TOP".utf8)])
    #expect(Self.pieces([256], tokenizer, stops: ["END", "STOP"]).pieces.joined() == "ab ")
    #expect(Self.pieces([0x53, 257], tokenizer, stops: ["STOP"]).pieces.joined() == "")
    var generator = SeededGenerator(seed: 3)
    for _ in 0..<2000 {
      let text = String((0..<12).map { _ in "abc".randomElement(using: &generator)! })
      let stops = ["abca", "bb", "cab"].shuffled(using: &generator).prefix(2)
      let found = Self.pieces(Self.ids(text), stops: Array(stops))
      // As soon as one is in the text, it ends; before the first that is.
      let ends = stops.compactMap { stop in text.firstRange(of: stop) }
      if let last = ends.map(\.upperBound).min() {
        let first = ends.filter { $0.upperBound == last }.map(\.lowerBound).min()!
        #expect(found.isStopped && found.pieces.joined() == text[..<first], "\(text) \(stops)")
      } else {
        #expect(!found.isStopped && found.pieces.joined() == text, "\(text) \(stops)")
      }
    }
  }
}
