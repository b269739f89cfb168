import AttentionTensors

extension SubwordTokenizer {
  /// Reads a `tokenizer.json` of Hugging Face's tokenizers.
  ///
  /// Read are WordPiece with BERT's normalizer and pre-tokenizer, and byte-level BPE with GPT-2's; added tokens with all
  /// their options; templates. The file's truncation and padding are not: ``EncodingOptions`` tells the limit, and nothing
  /// is padded.
  ///
  /// - Throws: ``ModelFileError`` when the file cannot be read, contradicts itself, or asks for anything else.
  public init(contentsOf path: String) throws(ModelFileError) {
    try self.init(file: JSONField(contentsOf: path))
  }

  /// Reads the bytes of a `tokenizer.json`, which messages call by a name.
  package init(json bytes: [UInt8], name: String) throws(ModelFileError) {
    try self.init(file: JSONField(bytes, file: name))
  }

  init(file: JSONField) throws(ModelFileError) {
    let type = try file["model"]["type"].exists ? file["model"]["type"].string() : Self.modelType(file["model"])
    let model: Model
    switch type {
    case "WordPiece":
      model = .wordPiece(try Self.bertText(file), try Self.wordPiece(file["model"]))
    case "BPE":
      model = .bytePairs(try Self.byteLevelText(file), try Self.bytePairs(file["model"]))
    default: throw file["model"]["type"].unsupported(type)
    }
    let (template, trimming) = try Self.template(file["post_processor"])
    self.init(
      model: model, addedTokens: try Self.addedTokens(file["added_tokens"], model), template: template,
      decoder: try Self.decoder(file["decoder"]), offsetTrimming: trimming)
    if let id = template.ids.first(where: { token($0) == nil }) {
      throw file["post_processor"].error(.inconsistent(problem: "the template has the id \(id), which no token has"))
    }
  }

  /// Files of old do not name their model's type.
  private static func modelType(_ model: JSONField) -> String { model["merges"].exists ? "BPE" : "WordPiece" }

  // MARK: Text to words

  private static func bertText(_ file: JSONField) throws(ModelFileError) -> BertText {
    let words = try only(file["pre_tokenizer"], in: "pretokenizers") ?? file["pre_tokenizer"]
    guard try words["type"].string() == "BertPreTokenizer" else {
      throw words["type"].unsupported(try words["type"].string())
    }
    guard let normalizer = try only(file["normalizer"], in: "normalizers") else { return .normalizedWords }
    guard try normalizer["type"].string() == "BertNormalizer" else {
      throw normalizer["type"].unsupported(try normalizer["type"].string())
    }
    let lowercases = try normalizer["lowercase"].exists ? normalizer["lowercase"].boolean() : true
    return BertText(
      cleansText: try normalizer["clean_text"].exists ? normalizer["clean_text"].boolean() : true,
      separatesIdeographs: try normalizer["handle_chinese_chars"].exists
        ? normalizer["handle_chinese_chars"].boolean() : true,
      stripsAccents: try normalizer["strip_accents"].exists ? normalizer["strip_accents"].boolean() : lowercases,
      lowercases: lowercases)
  }

  private static func byteLevelText(_ file: JSONField) throws(ModelFileError) -> ByteLevelText {
    if let normalizer = try only(file["normalizer"], in: "normalizers") {
      throw normalizer["type"].unsupported(try normalizer["type"].string())
    }
    let words = try only(file["pre_tokenizer"], in: "pretokenizers") ?? file["pre_tokenizer"]
    guard try words["type"].string() == "ByteLevel" else {
      throw words["type"].unsupported(try words["type"].string())
    }
    return ByteLevelText(
      addsPrefixSpace: try words["add_prefix_space"].exists ? words["add_prefix_space"].boolean() : true,
      splits: try words["use_regex"].exists ? words["use_regex"].boolean() : true)
  }

  /// What a field holds, or the only part of the sequence that it holds; nil for nothing, and for a sequence of nothing.
  private static func only(_ field: JSONField, in key: String) throws(ModelFileError) -> JSONField? {
    guard field.exists else { return nil }
    guard try field["type"].string() == "Sequence" else { return field }
    let parts = try field[key].array()
    guard parts.count <= 1 else { throw field["type"].unsupported("Sequence of \(parts.count)") }
    return parts.first
  }

  // MARK: Models

  static func vocabulary(_ field: JSONField) throws(ModelFileError) -> TokenVocabulary {
    var tokens: [(token: String, id: Int)] = []
    guard let object = field.value?.objectValue else { throw field.notExpected("an object of tokens and ids") }
    tokens.reserveCapacity(object.count)
    for (token, value) in object.members {
      guard let id = value.integerValue else { throw field[token].notExpected("a whole number") }
      tokens.append((token, id))
    }
    // In a vocabulary whose ids are 0, 1, 2, … a token is found by its place.
    tokens.sort { $0.id < $1.id }
    return try vocabulary(tokens, file: field.file)
  }

  static func vocabulary(_ tokens: [(token: String, id: Int)], file: String) throws(ModelFileError) -> TokenVocabulary {
    do throws(TokenVocabulary.Fault) { return try TokenVocabulary(tokens) } catch {
      throw ModelFileError(file: file, reason: .inconsistent(problem: error.description))
    }
  }

  private static func wordPiece(_ model: JSONField) throws(ModelFileError) -> WordPieceModel {
    let vocabulary = try vocabulary(model["vocab"])
    let unknown = try model["unk_token"].exists ? model["unk_token"].string() : "[UNK]"
    guard let id = vocabulary.id(of: unknown) else {
      throw model.error(.inconsistent(problem: "unk_token \(quotedForMessage(unknown)) is not in the vocabulary"))
    }
    return WordPieceModel(
      vocabulary: vocabulary, unknown: id,
      continuation: try model["continuing_subword_prefix"].exists ? model["continuing_subword_prefix"].string() : "##",
      longestWord: try model["max_input_chars_per_word"].exists
        ? model["max_input_chars_per_word"].integer(in: 0...10_000) : 100)
  }

  private static func bytePairs(_ model: JSONField) throws(ModelFileError) -> BytePairModel {
    let vocabulary = try vocabulary(model["vocab"])
    for key in ["dropout", "continuing_subword_prefix", "end_of_word_suffix"] where model[key].exists {
      if let text = model[key].value?.stringValue, text.isEmpty { continue }
      if model[key].value?.doubleValue == 0 { continue }
      throw model[key].unsupported(model[key].value?.stringValue ?? "a value")
    }
    // Where each byte has a token, no other is needed: GPT-2's own file names an empty one.
    let hasAllBytes = ByteLevelText.characters.allSatisfy { vocabulary.id(of: String(Character($0))) != nil }
    var unknown: Int32?
    if model["unk_token"].exists {
      let token = try model["unk_token"].string()
      unknown = vocabulary.id(of: token)
      guard unknown != nil || hasAllBytes else {
        throw model.error(.inconsistent(problem: "unk_token \(quotedForMessage(token)) is not in the vocabulary"))
      }
    }
    if model["byte_fallback"].exists, try model["byte_fallback"].boolean(), !hasAllBytes {
      throw model["byte_fallback"].unsupported("true")
    }
    var merges: [(String, String)] = []
    guard let pairs = model["merges"].value?.arrayValue else { throw model["merges"].notExpected("an array") }
    merges.reserveCapacity(pairs.count)
    for (index, pair) in pairs.enumerated() {
      if let text = pair.stringValue, text.utf8.starts(with: "#version".utf8) { continue }
      guard let parts = Self.pair(pair) else {
        throw model.error(.invalid(field: "model.merges[\(index)]", expected: "two tokens"))
      }
      merges.append(parts)
    }
    func flag(_ key: String) throws(ModelFileError) -> Bool { try model[key].exists ? model[key].boolean() : false }
    let (ignoresMerges, fusesUnknown) = (try flag("ignore_merges"), try flag("fuse_unk"))
    do throws(BytePairModel.Fault) {
      return try BytePairModel(
        vocabulary: vocabulary, merges: merges, ignoresMerges: ignoresMerges, unknown: unknown,
        fusesUnknown: fusesUnknown)
    } catch {
      throw model.error(.inconsistent(problem: error.description))
    }
  }

  /// `"a b"` or `["a", "b"]`.
  static func pair(_ value: JSONValue) -> (String, String)? {
    if let parts = value.arrayValue {
      guard parts.count == 2, let first = parts[0].stringValue, let second = parts[1].stringValue else { return nil }
      return (first, second)
    }
    guard let text = value.stringValue else { return nil }
    let parts = text.utf8.split(separator: 0x20, omittingEmptySubsequences: false)
    guard parts.count == 2 else { return nil }
    return (String(Substring(parts[0])), String(Substring(parts[1])))
  }

  // MARK: Added tokens

  private static func addedTokens(_ field: JSONField, _ model: Model) throws(ModelFileError) -> [AddedToken] {
    guard field.exists else { return [] }
    var tokens: [AddedToken] = []
    var contents: [Int: String] = [:]
    var ids: [UTF8Key: Int] = [:]
    for entry in try field.array() {
      func flag(_ key: String) throws(ModelFileError) -> Bool { try entry[key].exists ? entry[key].boolean() : false }
      let content = try entry["content"].string()
      let special = try flag("special")
      var token = AddedToken(
        content: content, id: try entry["id"].integer(in: 0...(1 << 30) - 1), isSpecial: special)
      token.isSingleWord = try flag("single_word")
      token.stripsLeft = try flag("lstrip")
      token.stripsRight = try flag("rstrip")
      token.isNormalized = try entry["normalized"].exists ? entry["normalized"].boolean() : !special
      if let known = model.vocabulary.id(of: content), Int(known) != token.id {
        throw entry.error(
          .inconsistent(problem: "\(quotedForMessage(content)) is \(known) in the vocabulary and \(token.id) as added"))
      }
      let before = contents.updateValue(content, forKey: token.id) ?? model.vocabulary.token(Int32(token.id)) ?? content
      guard UTF8Key(before) == UTF8Key(content) else {
        throw entry.error(
          .inconsistent(
            problem: "\(quotedForMessage(content)) and \(quotedForMessage(before)) have the same id \(token.id)"))
      }
      if let other = ids.updateValue(token.id, forKey: UTF8Key(content)), other != token.id {
        throw entry.error(
          .inconsistent(problem: "\(quotedForMessage(content)) is added as \(other) and as \(token.id)"))
      }
      tokens.append(token)
    }
    return tokens
  }

  // MARK: Templates and decoders

  private static func template(
    _ field: JSONField
  ) throws(ModelFileError) -> (SequenceTemplate, OffsetTrimming?) {
    guard field.exists else { return (.none, nil) }
    let type = try field["type"].string()
    switch type {
    case "TemplateProcessing":
      let template = SequenceTemplate(single: try parts(field, "single"), double: try parts(field, "pair"))
      // A text that is there twice has twice the tokens that a limit leaves it.
      guard template.single.textCounts == (1, 0) else {
        throw field["single"].notExpected("a template with text A once")
      }
      guard template.double.textCounts == (1, 1) else {
        throw field["pair"].notExpected("a template with texts A and B once each")
      }
      return (template, nil)
    case "BertProcessing":
      let (begin, end) = (try special(field["cls"]), try special(field["sep"]))
      return (.bert(begin: begin, end: end), nil)
    case "RobertaProcessing":
      let (begin, end) = (try special(field["cls"]), try special(field["sep"]))
      let trims = try field["trim_offsets"].exists ? field["trim_offsets"].boolean() : true
      let addsSpace = try field["add_prefix_space"].exists ? field["add_prefix_space"].boolean() : true
      return (
        SequenceTemplate(
          single: [.tokens(ids: [begin], segment: 0), .text(segment: 0), .tokens(ids: [end], segment: 0)],
          double: [
            .tokens(ids: [begin], segment: 0), .text(segment: 0), .tokens(ids: [end], segment: 0),
            .tokens(ids: [end], segment: 0), .pair(segment: 0), .tokens(ids: [end], segment: 0),
          ]), trims ? OffsetTrimming(addsPrefixSpace: addsSpace) : nil
      )
    case "ByteLevel":
      let trims = try field["trim_offsets"].exists ? field["trim_offsets"].boolean() : true
      let addsSpace = try field["add_prefix_space"].exists ? field["add_prefix_space"].boolean() : true
      return (.none, trims ? OffsetTrimming(addsPrefixSpace: addsSpace) : nil)
    case "Sequence":
      var (template, trimming): (SequenceTemplate, OffsetTrimming?) = (.none, nil)
      for processor in try field["processors"].array() {
        let (next, trims) = try self.template(processor)
        if next != .none { template = next }
        trimming = trims ?? trimming
      }
      return (template, trimming)
    default: throw field["type"].unsupported(type)
    }
  }

  private static func special(_ field: JSONField) throws(ModelFileError) -> Int {
    let parts = try field.array()
    guard parts.count == 2 else { throw field.notExpected("a token and its id") }
    return try parts[1].integer()
  }

  private static func parts(_ field: JSONField, _ key: String) throws(ModelFileError) -> [SequenceTemplate.Part] {
    var result: [SequenceTemplate.Part] = []
    for part in try field[key].array() {
      if part["SpecialToken"].exists {
        let token = part["SpecialToken"]
        let name = try token["id"].string()
        // Looked up by its whole name: the dots of a name are no path.
        guard let ids = field["special_tokens"].value?.objectValue?[name]?.objectValue?["ids"]?.arrayValue else {
          throw field.error(
            .inconsistent(problem: "the template's token \(quotedForMessage(name)) is not in special_tokens"))
        }
        let numbers = ids.compactMap { $0.integerValue }.filter { (0...1 << 30).contains($0) }
        guard numbers.count == ids.count else {
          throw field["special_tokens"][name]["ids"].notExpected("a list of ids")
        }
        result.append(.tokens(ids: numbers, segment: try token["type_id"].integer()))
      } else {
        let sequence = part["Sequence"]
        let segment = try sequence["type_id"].integer()
        switch try sequence["id"].string() {
        case "A": result.append(.text(segment: segment))
        case "B": result.append(.pair(segment: segment))
        default: throw sequence["id"].notExpected("A or B")
        }
      }
    }
    return result
  }

  private static func decoder(_ field: JSONField) throws(ModelFileError) -> TokenDecoder {
    guard let field = try only(field, in: "decoders") else { return .words }
    let type = try field["type"].string()
    switch type {
    case "WordPiece":
      return .wordPiece(
        prefix: try field["prefix"].exists ? field["prefix"].string() : "##",
        cleansUp: try field["cleanup"].exists ? field["cleanup"].boolean() : true)
    case "ByteLevel": return .byteLevel
    default: throw field["type"].unsupported(type)
    }
  }
}
