/// A token that was added to a model's vocabulary, and is found in text before anything else.
public struct AddedToken: Sendable, Equatable {
  /// The token as it is spelt.
  public var content: String
  /// Its id.
  public var id: Int
  /// Found only where no letter, mark, digit or connector touches it.
  public var isSingleWord = false
  /// Takes the white space before it.
  public var stripsLeft = false
  /// Takes the white space after it.
  public var stripsRight = false
  /// Sought in the normalized text instead of the text as it is.
  public var isNormalized = false
  /// Left out where text is made from ids.
  public var isSpecial = false

  /// Creates a token that stands for itself wherever it is spelt out.
  public init(content: String, id: Int, isSpecial: Bool = false) {
    self.content = content
    self.id = id
    self.isSpecial = isSpecial
  }
}

/// The tokens that are sought in text before it is split: the leftmost, of those the longest.
struct AddedTokenSearch: Sendable {
  /// By the first byte: spellings, longest first.
  private var byFirstByte: [[(bytes: [UInt8], token: AddedToken)]] = Array(repeating: [], count: 256)
  let isEmpty: Bool
  /// The bytes of the longest spelling.
  private(set) var longest = 0

  /// - Parameter spelling: the bytes by which a token is sought.
  init(_ tokens: [AddedToken], spelling: (AddedToken) -> [UInt8]) {
    var isEmpty = true
    for token in tokens {
      let bytes = spelling(token)
      guard let first = bytes.first else { continue }
      isEmpty = false
      longest = max(longest, bytes.count)
      byFirstByte[Int(first)].append((bytes, token))
    }
    self.isEmpty = isEmpty
    for first in byFirstByte.indices {
      // Of equal spellings the first that was given.
      byFirstByte[first] = byFirstByte[first].enumerated().sorted {
        ($1.element.bytes.count, $0.offset) < ($0.element.bytes.count, $1.offset)
      }.map(\.element)
    }
  }

  /// A token's place in a text, with the white space that it takes.
  struct Match {
    let token: AddedToken
    let range: Range<Int>
  }

  /// Calls `body` with each part of a text in order, and the token that it is if it is one, until it answers false.
  ///
  /// O(bytes · spellings with the same first byte).
  ///
  /// - Returns: whether `body` always answered true.
  func forEachPart(
    of text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>, AddedToken?) -> Bool
  ) -> Bool {
    var start = 0
    var position = 0
    while !isEmpty, position < text.count {
      guard let (token, length) = match(text, at: position) else {
        position += 1
        continue
      }
      let end = position + length
      if token.isSingleWord, touchesWord(text, before: position, after: end) {
        position = end
        continue
      }
      let first = token.stripsLeft ? max(start, beginOfSpace(text, before: position)) : position
      let last = token.stripsRight ? endOfSpace(text, after: end) : end
      if first > start, !body(start..<first, nil) { return false }
      if !body(max(first, start)..<last, token) { return false }
      start = last
      position = max(end, last)
    }
    return start >= text.count || body(start..<text.count, nil)
  }

  private func match(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> (AddedToken, Int)? {
    for (bytes, token) in byFirstByte[Int(text[position])] {
      guard position + bytes.count <= text.count else { continue }
      var index = 1
      while index < bytes.count, text[position + index] == bytes[index] { index += 1 }
      if index == bytes.count { return (token, bytes.count) }
    }
    return nil
  }

  private func touchesWord(_ text: UnsafeBufferPointer<UInt8>, before start: Int, after end: Int) -> Bool {
    if start > 0 {
      var position = previous(text, start)
      if isWord(decodeScalar(text, &position)) { return true }
    }
    guard end < text.count else { return false }
    var position = end
    return isWord(decodeScalar(text, &position))
  }

  private func isWord(_ scalar: UInt32) -> Bool { CharacterClass(of: scalar).contains(.word) }

  /// Where the scalar before a position begins.
  private func previous(_ text: UnsafeBufferPointer<UInt8>, _ position: Int) -> Int {
    var position = position - 1
    while text[position] & 0xC0 == 0x80 { position -= 1 }
    return position
  }

  private func beginOfSpace(_ text: UnsafeBufferPointer<UInt8>, before position: Int) -> Int {
    var start = position
    while start > 0 {
      let before = previous(text, start)
      var next = before
      guard CharacterClass(of: decodeScalar(text, &next)).contains(.whitespace) else { break }
      start = before
    }
    return start
  }

  private func endOfSpace(_ text: UnsafeBufferPointer<UInt8>, after position: Int) -> Int {
    var end = position
    while end < text.count {
      var next = end
      guard CharacterClass(of: decodeScalar(text, &next)).contains(.whitespace) else { break }
      end = next
    }
    return end
  }
}
