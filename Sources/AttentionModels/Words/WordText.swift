/// Words of a text, by a rule over Unicode scalars.
///
/// A word is a run of letters, marks, numbers, connectors and joiners (`\w`, and `\p{N}`), in which an apostrophe, ' or ’,
/// between two of them is part of the word and written '. Scalars are lowercased one by one. A word of more than
/// ``longest`` bytes is none.
struct WordText {
  /// Bytes of a word at the most, as in word2vec's own program.
  static let longest = 100

  private static let apostrophe = UInt8(ascii: "'")
  /// What an ASCII byte is: 0 no part of a word, 1 a part, 2 an apostrophe.
  private let asciiKinds: [UInt8] = (0..<UInt32(128)).map {
    $0 == UInt32(WordText.apostrophe) ? 2 : WordText.isPart($0) ? 1 : 0
  }
  private var word: [UInt8] = []

  private static func isPart(_ scalar: UInt32) -> Bool {
    let kind = CharacterClass(of: scalar)
    return kind.contains(.word) || kind.contains(.number)
  }

  /// Calls `body` with the bytes of each word.
  ///
  /// - Parameter text: UTF-8.
  mutating func forEachWord(_ text: UnsafeBufferPointer<UInt8>, _ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    word.removeAll(keepingCapacity: true)
    var position = 0
    var hasApostrophe = false
    while position < text.count {
      let byte = text[position]
      let kind: UInt8
      let scalar: UInt32
      if byte < 0x80 {
        (kind, scalar) = (asciiKinds[Int(byte)], UInt32(byte))
        position += 1
      } else {
        scalar = decodeScalar(text, &position)
        kind = scalar == 0x2019 ? 2 : WordText.isPart(scalar) ? 1 : 0
      }
      if kind == 2, !word.isEmpty, !hasApostrophe {
        hasApostrophe = true
      } else if kind == 1 {
        if hasApostrophe { word.append(WordText.apostrophe) }
        hasApostrophe = false
        append(scalar)
      } else {
        finish(body)
        hasApostrophe = false
      }
    }
    finish(body)
  }

  @inline(__always)
  private mutating func append(_ scalar: UInt32) {
    if scalar < 0x80 {
      word.append((0x41...0x5A).contains(scalar) ? UInt8(scalar) + 32 : UInt8(scalar))
      return
    }
    let (first, second) = ScalarMapping.lowercase(scalar)
    for value in [first, second].compactMap({ $0 }) {
      if let scalar = Unicode.Scalar(value) { word.append(contentsOf: UTF8.encode(scalar)!) }
    }
  }

  @inline(__always)
  private mutating func finish(_ body: (UnsafeBufferPointer<UInt8>) -> Void) {
    if !word.isEmpty, word.count <= WordText.longest { word.withUnsafeBufferPointer(body) }
    word.removeAll(keepingCapacity: true)
  }
}
