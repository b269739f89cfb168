/// GPT-2's way from text to words: its pattern over letters, numbers, other signs and white space, and a visible
/// character for each byte (Radford et al. 2019, §2.2).
struct ByteLevelText: Sendable, Equatable {
  /// Whether a text that begins with no space gets one.
  var addsPrefixSpace: Bool
  /// Whether text is cut by the pattern; if not, it is one word.
  var splits: Bool

  /// Calls `body` with each word of `text`, until it answers false; words are bytes, not yet their visible characters.
  ///
  /// `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`, the first that matches.
  ///
  /// - Returns: whether `body` always answered true.
  func forEachWord(
    _ text: UnsafeBufferPointer<UInt8>, firstScalar: Int, word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    guard !text.isEmpty else { return true }
    guard addsPrefixSpace, text[0] != 0x20 else {
      return forEachWord(Cursor(text: text, scalar: Int32(truncatingIfNeeded: firstScalar)), &word, body)
    }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: text.count + 1) { longer in
      longer[0] = 0x20
      _ = UnsafeMutableBufferPointer(rebasing: longer[1...]).update(fromContentsOf: text)
      let scalar = Int32(truncatingIfNeeded: firstScalar)
      // The space comes from the first scalar, as that itself does.
      return forEachWord(Cursor(text: UnsafeBufferPointer(longer), scalar: scalar - 1, first: scalar), &word, body)
    }
  }

  private func forEachWord(
    _ start: Cursor, _ word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    var cursor = start
    word.removeAll()
    while !cursor.isAtEnd {
      if splits { takeWord(&cursor, &word) } else { while !cursor.isAtEnd { cursor.take(into: &word) } }
      guard word.finish(body) else { return false }
    }
    return true
  }

  private enum Kind {
    case letter, number, space, other

    init(_ scalar: UInt32) {
      let kind = CharacterClass(of: scalar)
      self =
        kind.contains(.letter) ? .letter : kind.contains(.number) ? .number : kind.contains(.space) ? .space : .other
    }
  }

  private struct Cursor {
    let text: UnsafeBufferPointer<UInt8>
    var position = 0
    var scalar: Int32
    /// The first scalar that there is.
    var first: Int32 = 0

    var isAtEnd: Bool { position >= text.count }

    func peek() -> UInt32 {
      var position = position
      return decodeScalar(text, &position)
    }

    /// Moves over one scalar into the word.
    mutating func take(into word: inout WordBuffer) {
      let start = position
      _ = decodeScalar(text, &position)
      for index in start..<position { word.append(text[index], from: max(first, scalar)) }
      scalar += 1
    }

    mutating func skip() { _ = decodeScalar(text, &position) }
  }

  private func takeRun(of kind: Kind, _ cursor: inout Cursor, _ word: inout WordBuffer) {
    while !cursor.isAtEnd, Kind(cursor.peek()) == kind { cursor.take(into: &word) }
  }

  private func takeWord(_ cursor: inout Cursor, _ word: inout WordBuffer) {
    if let length = isContraction(cursor.text, at: cursor.position) {
      for _ in 0..<length { cursor.take(into: &word) }
      return
    }
    let first = cursor.peek()
    var kind = Kind(first)
    if first == 0x20, cursor.position + 1 < cursor.text.count {
      var next = cursor
      next.position += 1
      let following = Kind(next.peek())
      if following != .space {
        cursor.take(into: &word)
        kind = following
      }
    }
    guard kind == .space else { return takeRun(of: kind, &cursor, &word) }
    // White space before a word leaves its last scalar to what follows, unless it is the only one.
    var end = cursor
    var count = 0
    while !end.isAtEnd, Kind(end.peek()) == .space {
      end.skip()
      count += 1
    }
    if !end.isAtEnd, count > 1 { count -= 1 }
    for _ in 0..<count { cursor.take(into: &word) }
  }

  /// The length of `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` there.
  private func isContraction(_ text: UnsafeBufferPointer<UInt8>, at position: Int) -> Int? {
    guard text[position] == UInt8(ascii: "'"), position + 1 < text.count else { return nil }
    let second = text[position + 1]
    switch second {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
    case UInt8(ascii: "r"), UInt8(ascii: "v"):
      return position + 2 < text.count && text[position + 2] == UInt8(ascii: "e") ? 3 : nil
    case UInt8(ascii: "l"): return position + 2 < text.count && text[position + 2] == UInt8(ascii: "l") ? 3 : nil
    default: return nil
    }
  }

  // MARK: Visible characters

  /// The visible character of each byte: itself where it is printable in Latin-1, and U+0100 onwards for the others in
  /// order.
  static let characters: [Unicode.Scalar] = {
    var next: UInt32 = 256
    return (0..<256).map { byte in
      let isPrintable = (0x21...0x7E).contains(byte) || (0xA1...0xAC).contains(byte) || (0xAE...0xFF).contains(byte)
      defer { if !isPrintable { next += 1 } }
      return Unicode.Scalar(isPrintable ? UInt32(byte) : next)!
    }
  }()

  /// The byte of each visible character.
  static let bytes: [Unicode.Scalar: UInt8] = Dictionary(
    uniqueKeysWithValues: characters.enumerated().map { ($1, UInt8($0)) })

  /// Bytes as visible characters.
  static func visible(_ bytes: some Sequence<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(characters[Int(byte)]) }
    return String(text)
  }
}
