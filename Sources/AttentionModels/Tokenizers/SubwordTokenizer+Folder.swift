import AttentionTensors

extension SubwordTokenizer {
  /// Reads the tokenizer of a model's folder: tokenizer.json; if there is none vocab.txt, as BERT has it; if there is none
  /// vocab.json and merges.txt, as GPT-2 has them.
  ///
  /// - Throws: ``ModelFileError`` when a file cannot be read, contradicts itself, or asks for what this package does not
  ///   do; when there is none of them it names tokenizer.json.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    func has(_ name: String) -> Bool { fileExists(folder.path(of: name)) }
    if has("tokenizer.json") {
      let tokenizer = try SubwordTokenizer(contentsOf: folder.path(of: "tokenizer.json"))
      guard case .wordPiece(let words, let model) = tokenizer.model, words != .normalizedWords,
        let configuration = try folder.optionalDocument("tokenizer_config.json")
      else {
        self = tokenizer
        return
      }
      // transformers lets these have the last word.
      func flag(_ key: String) throws(ModelFileError) -> Bool? {
        configuration[key].exists ? try configuration[key].boolean() : nil
      }
      let lowercases = try flag("do_lower_case") ?? words.lowercases
      let stripsAccents =
        try flag("strip_accents") ?? (lowercases == words.lowercases ? words.stripsAccents : lowercases)
      let chosen = BertText(
        cleansText: words.cleansText,
        separatesIdeographs: try flag("tokenize_chinese_chars") ?? words.separatesIdeographs,
        stripsAccents: stripsAccents, lowercases: lowercases)
      self.init(
        model: .wordPiece(chosen, model), addedTokens: tokenizer.addedTokens, template: tokenizer.template,
        decoder: tokenizer.decoder, offsetTrimming: tokenizer.offsetTrimming)
    } else if has("vocab.txt") {
      try self.init(wordPieceFolder: folder)
    } else if has("vocab.json") {
      try self.init(bytePairFolder: folder)
    } else {
      throw ModelFileError(
        file: folder.path(of: "tokenizer.json"),
        reason: .unreadable("it is not there, nor vocab.txt, nor vocab.json with merges.txt"))
    }
  }

  // MARK: BERT

  /// Reads a vocab.txt of BERT: a token on each line, which ends with LF or CRLF, and whose number from 0 is the token's id.
  ///
  /// Unknown words become [UNK]; [CLS] and [SEP] are put around texts where both are tokens; [UNK], [CLS], [SEP], [PAD] and
  /// [MASK] are special where they are tokens.
  ///
  /// - Parameters:
  ///   - path: of the file.
  ///   - lowercases: whether text is lowercased.
  ///   - stripsAccents: whether accents are taken off letters; nil for where text is lowercased.
  ///   - separatesIdeographs: whether each ideograph is a word.
  /// - Throws: ``ModelFileError`` when the file cannot be read, is not UTF-8, or has no [UNK].
  public init(
    vocabulary path: String, lowercases: Bool = true, stripsAccents: Bool? = nil, separatesIdeographs: Bool = true
  ) throws(ModelFileError) {
    try self.init(
      vocabulary: Self.lines(path), file: path,
      words: BertText(
        cleansText: true, separatesIdeographs: separatesIdeographs, stripsAccents: stripsAccents ?? lowercases,
        lowercases: lowercases),
      spelling: { $0 })
  }

  /// - Parameter spelling: of the token that stands where BERT has this one.
  init(
    vocabulary lines: [Substring.UTF8View.SubSequence], file: String, words: BertText, spelling: (String) -> String
  ) throws(ModelFileError) {
    let vocabulary = try Self.vocabulary(
      lines.enumerated().map { (token: String(Substring($1)), id: $0) }, file: file)
    let unknown = spelling("[UNK]")
    guard let unknownID = vocabulary.id(of: unknown) else {
      throw ModelFileError(
        file: file, reason: .inconsistent(problem: "\(quotedForMessage(unknown)) is not in the vocabulary"))
    }
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(spelling).compactMap { token in
      vocabulary.id(of: token).map { AddedToken(content: token, id: Int($0), isSpecial: true) }
    }
    var template = SequenceTemplate.none
    if let begin = vocabulary.id(of: spelling("[CLS]")), let end = vocabulary.id(of: spelling("[SEP]")) {
      template = .bert(begin: Int(begin), end: Int(end))
    }
    self.init(
      model: .wordPiece(
        words, WordPieceModel(vocabulary: vocabulary, unknown: unknownID, continuation: "##", longestWord: 100)),
      addedTokens: special, template: template, decoder: .wordPiece(prefix: "##", cleansUp: true))
  }

  private init(wordPieceFolder folder: ModelFolder) throws(ModelFileError) {
    let configuration = try folder.optionalDocument("tokenizer_config.json")
    func flag(_ key: String) throws(ModelFileError) -> Bool? {
      guard let field = configuration?[key], field.exists else { return nil }
      return try field.boolean()
    }
    let lowercases = try flag("do_lower_case") ?? true
    let path = folder.path(of: "vocab.txt")
    var spellings: [String: String] = [:]
    for token in ["unk", "cls", "sep", "pad", "mask"] {
      guard let field = configuration?["\(token)_token"], field.exists else { continue }
      spellings["[\(token.uppercased())]"] = try Self.spelling(field)
    }
    try self.init(
      vocabulary: Self.lines(path), file: path,
      words: BertText(
        cleansText: true, separatesIdeographs: try flag("tokenize_chinese_chars") ?? true,
        stripsAccents: try flag("strip_accents") ?? lowercases, lowercases: lowercases),
      spelling: { spellings[$0] ?? $0 })
  }

  /// A token is a string, or an object that has it as its content.
  private static func spelling(_ field: JSONField) throws(ModelFileError) -> String {
    field.value?.objectValue == nil ? try field.string() : try field["content"].string()
  }

  // MARK: GPT-2

  /// Reads a vocab.json of tokens and ids and a merges.txt of pairs, one on a line, as GPT-2 has them.
  ///
  /// Text is cut by GPT-2's pattern; there is no template; <|endoftext|> is special where it is a token.
  ///
  /// - Parameters:
  ///   - path: of the vocabulary.
  ///   - merges: the path of the pairs.
  ///   - addsPrefixSpace: whether a text that begins with no space gets one.
  /// - Throws: ``ModelFileError`` when a file cannot be read, or they contradict each other.
  public init(vocabulary path: String, merges: String, addsPrefixSpace: Bool = false) throws(ModelFileError) {
    try self.init(
      vocabulary: JSONField(contentsOf: path), mergeLines: Self.lines(merges), mergesFile: merges,
      addsPrefixSpace: addsPrefixSpace, endOfText: "<|endoftext|>")
  }

  init(
    vocabulary field: JSONField, mergeLines: [Substring.UTF8View.SubSequence], mergesFile: String,
    addsPrefixSpace: Bool,
    endOfText: String
  ) throws(ModelFileError) {
    let vocabulary = try Self.vocabulary(field)
    var merges: [(String, String)] = []
    for (number, line) in mergeLines.enumerated() {
      // The first line tells a version, and an empty one nothing.
      if line.isEmpty || number == 0 && line.starts(with: "#version".utf8) { continue }
      guard let pair = Self.pair(.string(String(Substring(line)))) else {
        throw ModelFileError(file: mergesFile, reason: .invalid(field: "line \(number + 1)", expected: "two tokens"))
      }
      merges.append(pair)
    }
    let model: BytePairModel
    do throws(BytePairModel.Fault) {
      model = try BytePairModel(
        vocabulary: vocabulary, merges: merges, ignoresMerges: false, unknown: nil, fusesUnknown: false)
    } catch {
      throw ModelFileError(file: mergesFile, reason: .inconsistent(problem: error.description))
    }
    let special = vocabulary.id(of: endOfText).map { AddedToken(content: endOfText, id: Int($0), isSpecial: true) }
    self.init(
      model: .bytePairs(ByteLevelText(addsPrefixSpace: addsPrefixSpace, splits: true), model),
      addedTokens: special.map { [$0] } ?? [], decoder: .byteLevel)
  }

  private init(bytePairFolder folder: ModelFolder) throws(ModelFileError) {
    let configuration = try folder.optionalDocument("tokenizer_config.json")
    var addsPrefixSpace = false
    if let field = configuration?["add_prefix_space"], field.exists { addsPrefixSpace = try field.boolean() }
    var endOfText = "<|endoftext|>"
    if let field = configuration?["eos_token"], field.exists { endOfText = try Self.spelling(field) }
    let merges = folder.path(of: "merges.txt")
    try self.init(
      vocabulary: folder.document("vocab.json"), mergeLines: Self.lines(merges), mergesFile: merges,
      addsPrefixSpace: addsPrefixSpace, endOfText: endOfText)
  }

  // MARK: Lines

  /// The lines of a file, without what ends them; nothing behind the last end of a line is none.
  static func lines(_ path: String) throws(ModelFileError) -> [Substring.UTF8View.SubSequence] {
    let bytes: [UInt8]
    do throws(TensorFileError) { bytes = try contents(ofFile: path) } catch { throw ModelFileError(error) }
    return try lines(bytes, file: path)
  }

  static func lines(_ bytes: [UInt8], file: String) throws(ModelFileError) -> [Substring.UTF8View.SubSequence] {
    if let invalid = bytes.withUnsafeBufferPointer({ firstInvalidUTF8(in: $0) }) {
      throw ModelFileError(file: file, reason: .unreadable("not UTF-8 from byte \(invalid) on"))
    }
    var lines = Substring(String(decoding: bytes, as: UTF8.self)).utf8.split(
      separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    if lines.last?.isEmpty == true { lines.removeLast() }
    return lines.map { $0.last == UInt8(ascii: "\r") ? $0.dropLast() : $0 }
  }
}
