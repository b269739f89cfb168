import AttentionModels
import Attention

/// Texts of given numbers of tokens, drawn from a tokenizer's own words.
public enum DrawnTexts {
  /// As many texts as there are lengths; each has so many tokens with its template's, or just those of the template.
  ///
  /// - Returns: nil if the tokenizer has no words that are a token each when they stand side by side.
  public static func texts(_ lengths: [Int], _ tokenizer: any Tokenizer, seed: Int) -> [String]? {
    let template = tokenizer.encode("").count
    var words: [String] = []
    for id in 0..<tokenizer.idLimit {
      guard let token = tokenizer.token(id), token.count >= 2,
        token.utf8.allSatisfy({ (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) })
      else { continue }
      words.append(token)
    }
    guard !words.isEmpty else { return nil }
    var generator = SeededGenerator(seed: UInt64(truncatingIfNeeded: seed))
    return lengths.map { length in
      (0..<max(0, length - template)).map { _ in words[Int.random(in: words.indices, using: &generator)] }
        .joined(separator: " ")
    }
  }
}
