import AttentionTensors

extension SubwordTokenizer {
  /// Tokens of one text.
  struct TokenRun {
    var ids: [Int] = []
    var offsets: [Range<Int>] = []
    /// White space that added tokens took, before and behind them, by place.
    var spaces: [Int: (leading: Int, trailing: Int)] = [:]

    mutating func append(_ id: Int, _ offset: Range<Int>) {
      ids.append(id)
      offsets.append(offset)
    }

    mutating func truncate(to count: Int) {
      ids.removeLast(max(0, ids.count - count))
      offsets.removeLast(max(0, offsets.count - count))
    }
  }

  /// The first tokens of a text, `limit` of them if it has as many.
  func tokens(of text: String, limit: Int?, _ options: EncodingOptions) -> TokenRun {
    var text = text
    return text.withUTF8 { tokens(of: $0, limit: limit, options) }
  }

  /// The first tokens of a text, `limit` of them if it has as many.
  ///
  /// With a limit, not much more of a long text is looked at than holds so many tokens.
  func tokens(of text: UnsafeBufferPointer<UInt8>, limit: Int?, _ options: EncodingOptions) -> TokenRun {
    let searches = options.recognizesSpecialTokens ? self.searches : unspecialSearches
    // Where tokens are sought in normalized text, what is dropped from it may lie between the parts of one.
    if let limit, searches.normalized.isEmpty || isBytePairs {
      var window = 4096 + 32 * min(limit, text.count)
      while window < text.count {
        var end = window
        while text[end] & 0xC0 == 0x80 { end -= 1 }
        let part = UnsafeBufferPointer(rebasing: text[..<end])
        let encoder = encode(part, limit: limit, searches)
        // Another word began, so that those before it are whole, and no added token can lie across the end.
        let margin = max(searches.plain.longest, searches.normalized.longest) + 1
        if encoder.wentOn, (encoder.run.offsets.last?.upperBound ?? 0) + margin <= Self.scalarCount(part) {
          return encoder.run
        }
        window *= 4
      }
    }
    return encode(text, limit: limit ?? .max, searches).run
  }

  private func encode(
    _ text: UnsafeBufferPointer<UInt8>, limit: Int, _ searches: (plain: AddedTokenSearch, normalized: AddedTokenSearch)
  ) -> TextEncoder {
    var encoder = TextEncoder(tokenizer: self, normalizedSearch: searches.normalized, limit: limit)
    if searches.plain.isEmpty {
      _ = encoder.encode(text, firstScalar: 0)
    } else {
      var scalar = 0
      _ = searches.plain.forEachPart(of: text) { range, token in
        let part = UnsafeBufferPointer(rebasing: text[range])
        let first = scalar
        if range.upperBound < text.count || token != nil { scalar += Self.scalarCount(part) }
        guard let token else { return encoder.encode(part, firstScalar: first) }
        return encoder.append(token, first..<scalar, part)
      }
    }
    trim(&encoder.run)
    return encoder
  }

  static func scalarCount(_ text: UnsafeBufferPointer<UInt8>) -> Int {
    text.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
  }

  private var isBytePairs: Bool { if case .bytePairs = model { true } else { false } }

  private func trim(_ run: inout TokenRun) {
    guard let offsetTrimming else { return }
    for index in run.ids.indices {
      var (leading, trailing) = run.spaces[index] ?? token(run.ids[index]).map(Self.spaces) ?? (0, 0)
      var (start, end) = (run.offsets[index].lowerBound, run.offsets[index].upperBound)
      if leading > 0 {
        // A single space before the first word is the one that was added.
        if index == 0 || start == 0, offsetTrimming.addsPrefixSpace, leading == 1 { leading = 0 }
        start = min(start + leading, end)
      }
      if trailing > 0, end >= trailing { end = max(end - trailing, start) }
      run.offsets[index] = start..<end
    }
  }
}

extension SubwordTokenizer {
  /// The white space at a token's ends.
  static func spaces(_ token: String) -> (leading: Int, trailing: Int) {
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
      scalar.value == 0x120 || CharacterClass(of: scalar.value).contains(.whitespace)
    }
    let scalars = token.unicodeScalars
    return (scalars.prefix(while: isSpace).count, scalars.reversed().prefix(while: isSpace).count)
  }
}

extension SubwordTokenizer.Model {
  /// Text as added tokens are sought in it.
  func normalized(_ text: String) -> [UInt8] {
    switch self {
    case .wordPiece(let words, _):
      var text = text
      return text.withUTF8 { words.normalized($0, firstScalar: 0).bytes }
    case .bytePairs: return Array(text.utf8)
    }
  }
}
