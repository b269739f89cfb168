import AttentionTensors

/// Where a text is cut into documents.
public enum TextCut: Sendable, Equatable {
  /// Nowhere: it is one document.
  case whole
  /// At blank lines.
  case paragraphs
  /// At the end of each line.
  case lines
  /// Into so many blocks of about one size, each of which ends with a line.
  ///
  /// A line that is longer than a block is cut at a space, or between two characters if it has none there.
  case blocks(count: Int)
  /// Into blocks of about so many bytes, as ``blocks(count:)``.
  case blocksOf(bytes: Int)
}

extension TextCut {
  /// The documents in a part of a text, none of them empty. White space at their ends is left out where lines are told
  /// apart; blocks hold every byte.
  ///
  /// - Precondition: counts and sizes are positive.
  func ranges(in range: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
    switch self {
    case .whole: return range.isEmpty ? [] : [range]
    case .paragraphs, .lines: return lineRanges(in: range, of: text)
    case .blocks(let count):
      require(count > 0, "TextCut: \(count) blocks")
      return TextCut.blocks(min(count, range.count), in: range, of: text)
    case .blocksOf(let bytes):
      require(bytes > 0, "TextCut: blocks of \(bytes) bytes")
      return TextCut.blocks(max(1, (range.count + bytes / 2) / bytes), in: range, of: text)
    }
  }

  private func lineRanges(in range: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> [Range<Int>] {
    var ranges: [Range<Int>] = []
    var paragraph: Range<Int>?
    TextCut.forEachLine(in: range, of: text) { line in
      if line.allSatisfy({ TextCut.isSpace(text[$0]) }) {
        if let ended = paragraph { ranges.append(ended) }
        paragraph = nil
      } else if self == .lines {
        ranges.append(line)
      } else {
        paragraph = (paragraph?.lowerBound ?? line.lowerBound)..<line.upperBound
      }
    }
    if let paragraph { ranges.append(paragraph) }
    return ranges
  }

  /// Calls `body` with each line, without LF or CRLF.
  static func forEachLine(
    in range: Range<Int>, of text: UnsafeBufferPointer<UInt8>, _ body: (Range<Int>) -> Void
  ) {
    var start = range.lowerBound
    while start < range.upperBound {
      let end = first(0x0A, in: start..<range.upperBound, of: text)
      var last = end ?? range.upperBound
      if end != nil, last > start, text[last - 1] == 0x0D { last -= 1 }
      body(start..<last)
      start = (end ?? range.upperBound) + 1
    }
  }

  static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

  /// The ends lie at the first good place behind equal shares, so that no block grows at the cost of those behind it.
  private static func blocks(
    _ count: Int, in range: Range<Int>, of text: UnsafeBufferPointer<UInt8>
  ) -> [Range<Int>] {
    func share(_ block: Int) -> Int {
      let (high, low) = range.count.multipliedFullWidth(by: block)
      return range.lowerBound + count.dividingFullWidth((high, low)).quotient
    }
    var ranges: [Range<Int>] = []
    var start = range.lowerBound
    for block in 1..<max(1, count) where share(block) > start {
      let end = place(from: share(block), to: share(block + 1), of: text)
      // A block may be smaller than a character.
      guard end > start, end < range.upperBound, text[end] & 0xC0 != 0x80 else { continue }
      ranges.append(start..<end)
      start = end
    }
    if start < range.upperBound { ranges.append(start..<range.upperBound) }
    return ranges
  }

  /// A good place to cut at: where a line begins, else before a space, else at the first character.
  ///
  /// - Returns: `last`, if no character begins before it.
  static func place(from first: Int, to last: Int, of text: UnsafeBufferPointer<UInt8>) -> Int {
    if first > 0, text[first - 1] == 0x0A { return first }
    if let line = self.first(0x0A, in: first..<last, of: text) { return line + 1 }
    if let space = self.first(0x20, in: first..<last, of: text) { return space }
    return (first..<last).first { text[$0] & 0xC0 != 0x80 } ?? last
  }

  private static func first(_ byte: UInt8, in range: Range<Int>, of text: UnsafeBufferPointer<UInt8>) -> Int? {
    for index in range where text[index] == byte { return index }
    return nil
  }
}
