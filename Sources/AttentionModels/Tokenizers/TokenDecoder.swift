/// How tokens become text again.
enum TokenDecoder: Sendable, Equatable {
  /// Tokens side by side, with spaces between.
  case words
  /// Those with the prefix continue a word; others begin one. Cleanup takes away spaces before some signs.
  case wordPiece(prefix: String, cleansUp: Bool)
  /// Visible characters become bytes, and those text.
  case byteLevel

  func decode(_ tokens: [String]) -> String {
    switch self {
    case .words: return tokens.joined(separator: " ")
    case .wordPiece(let prefix, let cleansUp):
      var text: [UInt8] = []
      for (index, token) in tokens.enumerated() {
        var part = Array(token.utf8)
        if index > 0 {
          if !prefix.isEmpty, part.starts(with: prefix.utf8) {
            part.removeFirst(prefix.utf8.count)
          } else {
            part.insert(0x20, at: 0)
          }
        }
        text += cleansUp ? Self.cleanedUp(part) : part
      }
      return String(decoding: text, as: UTF8.self)
    case .byteLevel:
      var bytes: [UInt8] = []
      for token in tokens {
        let known = token.unicodeScalars.map { ByteLevelText.bytes[$0] }
        // A token that was added need not be in visible characters.
        if known.contains(where: { $0 == nil }) {
          bytes += Array(token.utf8)
        } else {
          bytes += known.compactMap { $0 }
        }
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  /// What Hugging Face's WordPiece decoder takes for artefacts of English tokens, replaced one kind after the other.
  private static let cleanups: [([UInt8], [UInt8])] = [
    (" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't"), (" 'm", "'m"),
    (" do not", " don't"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re"),
  ].map { (Array($0.0.utf8), Array($0.1.utf8)) }

  private static func cleanedUp(_ part: [UInt8]) -> [UInt8] {
    var part = part
    for (found, better) in cleanups where part.count >= found.count {
      var result: [UInt8] = []
      var position = 0
      while position < part.count {
        if part[position...].starts(with: found) {
          result += better
          position += found.count
        } else {
          result.append(part[position])
          position += 1
        }
      }
      part = result
    }
    return part
  }
}
