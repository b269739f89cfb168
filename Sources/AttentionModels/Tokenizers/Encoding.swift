import AttentionTensors

/// A text, or a pair of texts, as a model reads it.
///
/// All arrays have one element for each token.
public struct Encoding: Sendable, Equatable {
  /// The tokens' ids.
  public internal(set) var ids: [Int]
  /// Where each token stands in its text, in Unicode scalars; 0..<0 for what stands in none, such as [CLS].
  public internal(set) var offsets: [Range<Int>]
  /// The segment of each token: which of two texts it belongs to, as the model counts them.
  public internal(set) var segments: [Int]
  /// Whether a token was put there by the tokenizer's template, such as [CLS], and stands for nothing in the text.
  public internal(set) var isTemplate: [Bool]
  /// Whether tokens were left out because there were more than the limit.
  public internal(set) var isTruncated: Bool

  /// The number of tokens.
  public var count: Int { ids.count }

  /// Creates an encoding, as a tokenizer of one's own does.
  ///
  /// - Parameters:
  ///   - ids: the tokens' ids.
  ///   - offsets: where each token stands in its text, in Unicode scalars.
  ///   - segments: which of two texts each belongs to; nil for the first.
  ///   - isTemplate: whether each is the template's; nil for none.
  ///   - isTruncated: whether tokens were left out.
  /// - Precondition: there is one of each for every id.
  public init(
    ids: [Int] = [], offsets: [Range<Int>] = [], segments: [Int]? = nil, isTemplate: [Bool]? = nil,
    isTruncated: Bool = false
  ) {
    self.ids = ids
    self.offsets = offsets
    self.segments = segments ?? Array(repeating: 0, count: ids.count)
    self.isTemplate = isTemplate ?? Array(repeating: false, count: ids.count)
    self.isTruncated = isTruncated
    require(
      offsets.count == ids.count && self.segments.count == ids.count && self.isTemplate.count == ids.count,
      "Encoding: \(ids.count) ids, \(offsets.count) offsets, \(self.segments.count) segments, "
        + "\(self.isTemplate.count) template flags")
  }
}

/// How a text is encoded.
public struct EncodingOptions: Sendable, Equatable {
  /// Tokens at the most, those of the template among them; nil for no limit. What is behind it is not processed.
  public var maximumLength: Int?
  /// Whether the template's tokens are added, such as [CLS] and [SEP].
  public var addsTemplate: Bool
  /// Whether a special token that is spelt out in a text, such as "[SEP]", becomes that token. Turn it off for text of
  /// strangers; tokens that were added without being special are found in any case.
  public var recognizesSpecialTokens: Bool

  /// As Hugging Face's tokenizers encode by default: without a limit, with the template, special tokens recognized.
  public init(maximumLength: Int? = nil, addsTemplate: Bool = true, recognizesSpecialTokens: Bool = true) {
    self.maximumLength = maximumLength
    self.addsTemplate = addsTemplate
    self.recognizesSpecialTokens = recognizesSpecialTokens
  }
}
