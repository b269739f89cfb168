import AttentionTensors

/// A tokenizer as Hugging Face's `tokenizer.json` describes it: added tokens, a way from text to words, a model that cuts
/// words into tokens, and a template.
///
///     let tokenizer = try SubwordTokenizer(contentsOf: "model/tokenizer.json")
///     let encoding = tokenizer.encode("Attention is all you need")
///     tokenizer.tokens(encoding)  // ["[CLS]", "attention", "is", "all", "you", "need", "[SEP]"]
///
/// Results are those of Hugging Face's tokenizers (0.23.3), offsets and quirks included; `scripts/compare-tokenizers` and the
/// tests compare them over 20,500 hostile texts. A value; many tasks use one at once.
public struct SubwordTokenizer: Tokenizer {
  /// How words are cut.
  enum Model: Sendable {
    case wordPiece(BertText, WordPieceModel)
    case bytePairs(ByteLevelText, BytePairModel)

    var vocabulary: TokenVocabulary {
      switch self {
      case .wordPiece(_, let model): model.vocabulary
      case .bytePairs(_, let model): model.vocabulary
      }
    }
  }

  let model: Model
  /// The tokens that were added to the model's.
  public let addedTokens: [AddedToken]
  /// What is put around texts.
  public let template: SequenceTemplate
  let decoder: TokenDecoder
  /// Whether offsets leave out white space at a token's ends, and whether a space before the first word is an added one.
  let offsetTrimming: OffsetTrimming?

  private let addedByID: [Int: AddedToken]
  /// As text from ids spells them: those that are sought in normalized text are normalized.
  private let addedSpellings: [Int: String]
  private let addedByContent: [UTF8Key: Int]
  /// Sought in the text as it is and in the normalized one: with special tokens, and without.
  let searches: (plain: AddedTokenSearch, normalized: AddedTokenSearch)
  let unspecialSearches: (plain: AddedTokenSearch, normalized: AddedTokenSearch)

  struct OffsetTrimming: Sendable, Equatable {
    var addsPrefixSpace: Bool
  }

  init(
    model: Model, addedTokens: [AddedToken] = [], template: SequenceTemplate = .none, decoder: TokenDecoder,
    offsetTrimming: OffsetTrimming? = nil
  ) {
    self.model = model
    self.addedTokens = addedTokens
    self.template = template
    self.decoder = decoder
    self.offsetTrimming = offsetTrimming
    addedByID = Dictionary(addedTokens.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
    addedSpellings = addedByID.mapValues {
      $0.isNormalized ? String(decoding: model.normalized($0.content), as: UTF8.self) : $0.content
    }
    addedByContent = Dictionary(addedTokens.map { (UTF8Key($0.content), $0.id) }, uniquingKeysWith: { $1 })
    func searches(_ tokens: [AddedToken]) -> (plain: AddedTokenSearch, normalized: AddedTokenSearch) {
      // Special tokens come before others where both are spelt alike.
      let tokens = tokens.filter(\.isSpecial) + tokens.filter { !$0.isSpecial }
      return (
        AddedTokenSearch(tokens.filter { !$0.isNormalized }) { Array($0.content.utf8) },
        AddedTokenSearch(tokens.filter(\.isNormalized)) { model.normalized($0.content) }
      )
    }
    self.searches = searches(addedTokens)
    unspecialSearches = searches(addedTokens.filter { !$0.isSpecial })
  }

  /// The same tokenizer with another template.
  ///
  /// - Precondition: every id of the template is a token.
  public func with(template: SequenceTemplate) -> SubwordTokenizer {
    require(
      template.ids.allSatisfy { token($0) != nil }, "SubwordTokenizer: a template of \(template.ids) has no tokens")
    return SubwordTokenizer(
      model: model, addedTokens: addedTokens, template: template, decoder: decoder, offsetTrimming: offsetTrimming)
  }

  /// Whether text is lowercased.
  var lowercases: Bool { if case .wordPiece(let words, _) = model { words.lowercases } else { false } }

  // MARK: Ids and tokens

  /// One more than the largest id.
  public var idLimit: Int { max(model.vocabulary.idLimit, (addedByID.keys.max() ?? -1) + 1) }

  /// The token of an id, as the vocabulary spells it; nil where there is none. An added token that is sought in normalized
  /// text is spelt normalized, as Hugging Face does.
  public func token(_ id: Int) -> String? {
    addedSpellings[id] ?? Int32(exactly: id).flatMap { model.vocabulary.token($0) }
  }

  /// The id of a token as the vocabulary spells it; nil where there is none.
  public func id(of token: String) -> Int? {
    addedByContent[UTF8Key(token)] ?? model.vocabulary.id(of: token).map { Int($0) }
  }

  /// Text from ids. Bytes that are no UTF-8 become U+FFFD, and ids without a token nothing.
  public func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
    decoder.decode(
      ids.compactMap { id in
        if skippingSpecialTokens, addedByID[id]?.isSpecial == true { return nil }
        return token(id)
      })
  }

  // MARK: Encoding

  /// Encodes a text, or a pair.
  ///
  /// A pair that is too long is cut as Hugging Face's `longest_first` does: the longer text gives way to the shorter one,
  /// which keeps half at the most. O(bytes), times the longest token for words that are none; with a limit, about as much
  /// text is looked at as holds so many tokens (of a pair of which both are too long, as much as the shorter one).
  ///
  /// - Precondition: the limit, if there is one, is at least the number of the template's tokens; a text has less than
  ///   2³¹ bytes.
  public func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    encode(isPair: pair != nil, options) { isSecond, limit in
      tokens(of: isSecond ? pair ?? "" : text, limit: limit, options)
    }
  }

  /// Encodes UTF-8 that lies in no string and is well-formed.
  package func encode(utf8 text: UnsafeBufferPointer<UInt8>, options: EncodingOptions) -> Encoding {
    encode(isPair: false, options) { _, limit in tokens(of: text, limit: limit, options) }
  }

  /// - Parameter run: the first tokens of the first or the second text, so many if it has them.
  private func encode(
    isPair: Bool, _ options: EncodingOptions, _ run: (_ isSecond: Bool, _ limit: Int?) -> TokenRun
  ) -> Encoding {
    let added = options.addsTemplate ? template.tokenCount(isPair: isPair) : 0
    require(
      options.maximumLength.map { $0 >= added } ?? true,
      "encode: the template alone has \(added) tokens, and the limit is \(options.maximumLength ?? 0)")
    let room = options.maximumLength.map { $0 - added }
    // One token more than there is room for tells that there are too many.
    var limit = room.map { $0 + 1 }
    var first = run(false, limit)
    var second = isPair ? run(true, limit) : TokenRun()
    // Where both have more than half of an odd room, the longer one gets the odd token: look until one of them ends.
    while isPair, let most = limit, let room, room % 2 == 1, first.ids.count >= most, second.ids.count >= most {
      limit = most < Int.max / 4 ? 4 * most : nil
      first = run(false, limit)
      second = run(true, limit)
    }
    var isTruncated = false
    if let room, first.ids.count + second.ids.count > room {
      isTruncated = true
      // The longer text gives way to the shorter one; of equal ones each takes half.
      let (least, most) = (min(first.ids.count, second.ids.count), room)
      let shorter = min(least, most / 2)
      if isPair, first.ids.count > second.ids.count {
        second.truncate(to: shorter)
        first.truncate(to: most - shorter)
      } else if isPair {
        first.truncate(to: shorter)
        second.truncate(to: most - shorter)
      } else {
        first.truncate(to: room)
      }
    }
    let parts = options.addsTemplate ? (isPair ? template.double : template.single) : nil
    return assemble(
      parts ?? (isPair ? SequenceTemplate.none.double : SequenceTemplate.none.single), first, second, isTruncated)
  }

  private func assemble(
    _ parts: [SequenceTemplate.Part], _ first: TokenRun, _ second: TokenRun, _ isTruncated: Bool
  ) -> Encoding {
    var result = Encoding()
    result.isTruncated = isTruncated
    func add(_ run: TokenRun, _ segment: Int) {
      result.ids += run.ids
      result.offsets += run.offsets
      result.segments += repeatElement(segment, count: run.ids.count)
      result.isTemplate += repeatElement(false, count: run.ids.count)
    }
    for part in parts {
      switch part {
      case .tokens(let ids, let segment):
        result.ids += ids
        result.offsets += repeatElement(0..<0, count: ids.count)
        result.segments += repeatElement(segment, count: ids.count)
        result.isTemplate += repeatElement(true, count: ids.count)
      case .text(let segment): add(first, segment)
      case .pair(let segment): add(second, segment)
      }
    }
    return result
  }
}
