extension Encoding {
  /// Whether each token begins a word of the text, as what masks whole words asks.
  ///
  ///     tokenizer.tokens(encoding)         // ["[CLS]", "un", "##aff", "##able", ",", "the", "[SEP]"]
  ///     encoding.wordStarts(in: text)      // [true, true, false, false, true, true, true]
  ///
  /// A word is a run of characters between white space, in which each punctuation mark and each ideograph is a word of its
  /// own, as BERT's pre-tokenizer has it; white space that is a token goes with the word behind it. Only the tokens' offsets
  /// are looked at, so that it holds for every tokenizer: a token goes on with a word where nothing separates its first
  /// character from the last one of the token before it, or where both are parts of one character. A token that stands
  /// nowhere in the text, such as [CLS], is a word of its own. O(text + tokens).
  ///
  /// - Parameter text: what was encoded, alone and not as one of a pair.
  public func wordStarts(in text: String) -> [Bool] {
    var text = text
    return text.withUTF8 { wordStarts(in: $0) }
  }

  private func wordStarts(in text: UnsafeBufferPointer<UInt8>) -> [Bool] {
    var starts = [Bool](repeating: true, count: count)
    var position = 0
    // The scalars that were looked at, the last one of them that goes on with no word, and the last one with which none
    // goes on.
    var scalars = 0
    var separator = -1
    var mark = -1
    var end: Int?
    for index in 0..<count {
      let range = offsets[index]
      guard !isTemplate[index], !range.isEmpty else {
        if isTemplate[index] { end = nil }
        continue
      }
      while scalars <= range.lowerBound, position < text.count {
        let scalar = decodeScalar(text, &position)
        let kind = CharacterClass(of: scalar)
        let isMark = kind.contains(.punctuation) || CharacterClass.isIdeograph(scalar)
        if isMark { mark = scalars }
        if isMark || kind.contains(.whitespace) || kind.contains(.space) { separator = scalars }
        scalars += 1
      }
      if let end { starts[index] = range.lowerBound >= end && (separator >= end || mark >= end - 1) }
      end = max(end ?? 0, range.upperBound)
    }
    return starts
  }
}
