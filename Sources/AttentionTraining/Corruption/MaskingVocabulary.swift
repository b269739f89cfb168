import AttentionModels
import AttentionTensors

/// The tokens that corruption works with.
public struct MaskingVocabulary: Sendable, Equatable {
  /// The number of tokens.
  public let size: Int
  /// The token that stands for one that is hidden.
  public let maskID: Int
  /// Tokens that are never corrupted, and never put in another's place; the mask is one of them.
  public let specialIDs: Set<Int>
  /// All others.
  let ordinaryIDs: [Int]

  /// Creates a vocabulary. O(size).
  ///
  /// - Precondition: all ids are less than the size.
  public init(size: Int, maskID: Int, specialIDs: Set<Int> = []) {
    let special = specialIDs.union([maskID])
    require(
      special.allSatisfy { (0..<size).contains($0) },
      "MaskingVocabulary: the ids \(special.sorted()) in a vocabulary of \(size) tokens")
    self.size = size
    self.maskID = maskID
    self.specialIDs = special
    ordinaryIDs = (0..<size).filter { !special.contains($0) }
  }

  /// The vocabulary of a tokenizer, whose special tokens are special; nil if it has no such mask.
  public init?(_ tokenizer: SubwordTokenizer, mask: String = "[MASK]") {
    guard let maskID = tokenizer.id(of: mask) else { return nil }
    self.init(
      size: tokenizer.idLimit, maskID: maskID,
      specialIDs: Set(tokenizer.addedTokens.filter(\.isSpecial).map(\.id)))
  }

  /// How many of so many tokens that may be corrupted are chosen: this share of them, one at least.
  static func count(of share: Double, in tokens: Int) -> Int {
    tokens == 0 ? 0 : min(tokens, max(1, Int((share * Double(tokens)).rounded())))
  }
}

/// What becomes of tokens that are to be predicted (Devlin et al., 1810.04805, §3.1): 80% become the mask, 10% a token that
/// is drawn from all, 10% stay, so that a model cannot tell by the mask alone where it is asked.
enum Replacement: Sendable {
  case mask
  case draw
  case keep

  init(using generator: inout some RandomNumberGenerator) {
    switch Double.random(in: 0..<1, using: &generator) {
    case ..<0.8: self = .mask
    case ..<0.9: self = .draw
    default: self = .keep
    }
  }
}
