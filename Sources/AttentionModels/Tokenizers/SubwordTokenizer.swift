import AttentionTensors

/// A tokenizer as Hugging Face's `tokenizer.json` describes it: added tokens, a way from text to words, a model that cuts
/// words into tokens, and a template.
///
///     let tokenizer = try SubwordTokenizer(contentsOf: "model/tokenizer.json")
///     let encoding = tokenizer.encode("Attention is all you need")
///     tokenizer.tokens(encoding)  // ["[CLS]", "attention", "is", "all", "you", "need", "[SEP]"]
///
/// Results are those of Hugging Face's tokenizers, offsets and quirks included. A value; many tasks use one at once.
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
  private let addedByContent: [UTF8Key: Int]
  /// Sought in the text as it is and in the normalized one: with special tokens, and without.
  private let searches: (plain: AddedTokenSearch, normalized: AddedTokenSearch)
  private let unspecialSearches: (plain: AddedTokenSearch, normalized: AddedTokenSearch)

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

  // MARK: Ids and tokens

  /// One more than the largest id.
  public var idLimit: Int { max(model.vocabulary.idLimit, (addedByID.keys.max() ?? -1) + 1) }

  /// The token of an id, as the vocabulary spells it; nil where there is none.
  public func token(_ id: Int) -> String? {
    addedByID[id]?.content ?? Int32(exactly: id).flatMap { model.vocabulary.token($0) }
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
  /// - Precondition: the limit, if there is one, is at least the number of the template's tokens.
  public func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    let isPair = pair != nil
    let added = options.addsTemplate ? template.tokenCount(isPair: isPair) : 0
    require(
      options.maximumLength.map { $0 >= added } ?? true,
      "encode: the template alone has \(added) tokens, and the limit is \(options.maximumLength ?? 0)")
    // One token more than there is room for tells that there are too many.
    let room = options.maximumLength.map { $0 - added }
    var first = tokens(of: text, limit: room.map { $0 + 1 }, options)
    var second = pair.map { tokens(of: $0, limit: room.map { $0 + 1 }, options) } ?? TokenRun()
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

  private func tokens(of text: String, limit: Int?, _ options: EncodingOptions) -> TokenRun {
    let searches = options.recognizesSpecialTokens ? self.searches : unspecialSearches
    var encoder = TextEncoder(tokenizer: self, normalizedSearch: searches.normalized, limit: limit ?? .max)
    var text = text
    text.withUTF8 { bytes in
      var scalar = 0
      _ = searches.plain.forEachPart(of: bytes) { range, token in
        let part = UnsafeBufferPointer(rebasing: bytes[range])
        let end = scalar + part.reduce(0) { $0 + ($1 & 0xC0 == 0x80 ? 0 : 1) }
        defer { scalar = end }
        guard let token else { return encoder.encode(part, firstScalar: scalar) }
        return encoder.append(token, scalar..<end, part)
      }
    }
    trim(&encoder.run)
    return encoder.run
  }

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
