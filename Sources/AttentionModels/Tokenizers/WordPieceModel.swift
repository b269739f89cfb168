/// WordPiece: a word is cut into the longest tokens from left to right (Devlin et al., 1810.04805, §3; Wu et al.,
/// 1609.08144).
struct WordPieceModel: Sendable {
  let vocabulary: TokenVocabulary
  let unknown: Int32
  /// What a token that continues a word begins with.
  let continuation: String
  /// Words of more scalars are unknown as a whole.
  let longestWord: Int
  private let continuationBytes: [UInt8]
  private let continuationHash: TokenVocabulary.Hash

  init(vocabulary: TokenVocabulary, unknown: Int32, continuation: String, longestWord: Int) {
    self.vocabulary = vocabulary
    self.unknown = unknown
    self.continuation = continuation
    self.longestWord = longestWord
    continuationBytes = Array(continuation.utf8)
    continuationHash = continuationBytes.withUnsafeBufferPointer(vocabulary.hash)
  }

  /// The tokens of a word; one with a part that no token spells is one unknown token.
  ///
  /// O(bytes · longest token).
  func tokenize(_ word: UnsafeBufferPointer<UInt8>, _ pieces: inout [TokenPiece]) {
    pieces.removeAll(keepingCapacity: true)
    // Most words are tokens.
    let hash = vocabulary.hash(word)
    let scalars = word.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
    guard scalars <= longestWord else { return pieces.append(TokenPiece(id: unknown, end: word.count)) }
    if let id = vocabulary.id(of: word, hash: hash) { return pieces.append(TokenPiece(id: id, end: word.count)) }
    var start = 0
    while start < word.count {
      guard let piece = start == 0 ? longestPrefix(word) : longestContinuation(word, from: start) else {
        pieces.removeAll(keepingCapacity: true)
        return pieces.append(TokenPiece(id: unknown, end: word.count))
      }
      pieces.append(piece)
      start = piece.end
    }
  }

  private func longestPrefix(_ word: UnsafeBufferPointer<UInt8>) -> TokenPiece? {
    var hash = vocabulary.emptyHash
    var found: TokenPiece?
    for end in 1...word.count where end <= vocabulary.longest {
      hash.add(word[end - 1])
      guard end == word.count || word[end] & 0xC0 != 0x80 else { continue }
      if let id = vocabulary.id(of: UnsafeBufferPointer(rebasing: word[..<end]), hash: hash) {
        found = TokenPiece(id: id, end: end)
      }
    }
    return found
  }

  private func longestContinuation(_ word: UnsafeBufferPointer<UInt8>, from start: Int) -> TokenPiece? {
    let prefix = continuationBytes.count
    let longest = min(word.count - start, vocabulary.longest - prefix)
    guard longest > 0 else { return nil }
    return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: prefix + longest) { token in
      for index in 0..<prefix { token[index] = continuationBytes[index] }
      var hash = continuationHash
      var found: TokenPiece?
      for count in 1...longest {
        let byte = word[start + count - 1]
        token[prefix + count - 1] = byte
        hash.add(byte)
        guard start + count == word.count || word[start + count] & 0xC0 != 0x80 else { continue }
        if let id = vocabulary.id(of: UnsafeBufferPointer(rebasing: token[..<(prefix + count)]), hash: hash) {
          found = TokenPiece(id: id, end: start + count)
        }
      }
      return found
    }
  }
}

/// A token, and where its bytes end in the word.
struct TokenPiece: Sendable, Equatable {
  let id: Int32
  let end: Int
}
