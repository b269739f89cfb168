/// One text on its way to tokens: what a call keeps while it goes along.
struct TextEncoder {
  let tokenizer: SubwordTokenizer
  let normalizedSearch: AddedTokenSearch
  /// Tokens at the most.
  let limit: Int
  var run = SubwordTokenizer.TokenRun()
  /// Whether there was more text when there was no more room.
  private(set) var wentOn = false

  private var word = WordBuffer()
  private var pieces: [TokenPiece] = []
  private var scratch = BytePairModel.Scratch()

  init(tokenizer: SubwordTokenizer, normalizedSearch: AddedTokenSearch, limit: Int) {
    self.tokenizer = tokenizer
    self.normalizedSearch = normalizedSearch
    self.limit = limit
  }

  /// Whether there is room for another word's tokens. The text goes on where it is asked in vain.
  @inline(__always)
  private mutating func hasRoom() -> Bool {
    if run.ids.count < limit { return true }
    wentOn = true
    return false
  }

  /// Adds a token that was found in `text`; false when there is no room for it.
  mutating func append(_ token: AddedToken, _ offset: Range<Int>, _ text: UnsafeBufferPointer<UInt8>) -> Bool {
    guard hasRoom() else { return false }
    if tokenizer.offsetTrimming != nil {
      run.spaces[run.ids.count] = SubwordTokenizer.spaces(String(decoding: text, as: UTF8.self))
    }
    run.append(token.id, offset)
    return true
  }

  /// Adds the tokens of a part of the text in which no added token stands as it is; false when there is no room for one.
  mutating func encode(_ text: UnsafeBufferPointer<UInt8>, firstScalar: Int) -> Bool {
    guard !normalizedSearch.isEmpty else {
      switch tokenizer.model {
      case .wordPiece(let words, let model): return encode(text, words, model, firstScalar: firstScalar)
      case .bytePairs(let words, let model): return encode(text, words, model, firstScalar: firstScalar)
      }
    }
    switch tokenizer.model {
    case .wordPiece(let words, let model):
      let normalized = words.normalized(text, firstScalar: firstScalar)
      return normalized.bytes.withUnsafeBufferPointer { bytes in
        normalizedSearch.forEachPart(of: bytes) { range, token in
          let part = UnsafeBufferPointer(rebasing: bytes[range])
          if let token { return append(token, normalized.range(range), part) }
          // The scalars of normalized text came from those of the source.
          let origins = range.filter { bytes[$0] & 0xC0 != 0x80 }.map { normalized.origins[$0] }
          return encode(part, .normalizedWords, model, firstScalar: 0, origins: origins)
        }
      }
    case .bytePairs(let words, let model):
      var scalar = firstScalar
      return normalizedSearch.forEachPart(of: text) { range, token in
        let part = UnsafeBufferPointer(rebasing: text[range])
        let first = scalar
        scalar += part.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
        if let token { return append(token, first..<scalar, part) }
        return encode(part, words, model, firstScalar: first)
      }
    }
  }

  private mutating func encode(
    _ text: UnsafeBufferPointer<UInt8>, _ words: BertText, _ model: WordPieceModel, firstScalar: Int,
    origins: [Int32]? = nil
  ) -> Bool {
    var word = WordBuffer()
    swap(&word, &self.word)
    defer { swap(&word, &self.word) }
    return words.forEachWord(text, firstScalar: firstScalar, word: &word) { word in
      guard hasRoom() else { return false }
      word.bytes.withUnsafeBufferPointer { model.tokenize($0, &pieces) }
      add(word, origins)
      return true
    }
  }

  private mutating func encode(
    _ text: UnsafeBufferPointer<UInt8>, _ words: ByteLevelText, _ model: BytePairModel, firstScalar: Int
  ) -> Bool {
    var word = WordBuffer()
    swap(&word, &self.word)
    defer { swap(&word, &self.word) }
    return words.forEachWord(text, firstScalar: firstScalar, word: &word) { word in
      guard hasRoom() else { return false }
      model.tokenize(word.bytes, &pieces, scratch: &scratch)
      add(word, nil)
      return true
    }
  }

  /// Adds the tokens of a word, as many as there is room for.
  private mutating func add(_ word: WordBuffer, _ origins: [Int32]?) {
    var start = 0
    for piece in pieces.prefix(limit - run.ids.count) {
      var range = word.range(start..<piece.end)
      if let origins {
        range = Int(origins[range.lowerBound])..<Int(origins[range.upperBound - 1]) + 1
      }
      start = piece.end
      run.append(Int(piece.id), range)
    }
  }
}
