import AttentionTensors

extension SentenceEncoder {
  /// Reads an encoder from a folder as sentence-transformers, or Hugging Face, lays it out.
  ///
  /// modules.json tells whether rows are pooled and made unit vectors, 1_Pooling/config.json how they are pooled,
  /// sentence_bert_config.json the longest text. A folder without modules.json is a plain model: its rows' mean, not
  /// normalised, as sentence-transformers takes such a folder.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, contradicts another, or asks for what this
  ///   package does not do.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let modules = try SentenceModules(folder)
    let modelFolder = folder.folder(modules.modelPath)
    let tokenizer = try SubwordTokenizer(modelFolder)
    let model = try BERT(modelFolder)
    guard tokenizer.idLimit <= model.configuration.vocabularySize else {
      throw ModelFileError(
        file: modelFolder.path(of: "config.json"),
        reason: .inconsistent(
          problem:
            "vocab_size is \(model.configuration.vocabularySize), and the tokenizer has the id \(tokenizer.idLimit - 1)"
        ))
    }
    let segments = tokenizer.segmentLimit
    guard segments <= model.configuration.segmentCount else {
      throw ModelFileError(
        file: modelFolder.path(of: "config.json"),
        reason: .inconsistent(
          problem:
            "type_vocab_size is \(model.configuration.segmentCount), and the tokenizer has segment \(segments - 1)"))
    }
    let limit = model.configuration.maximumLength
    let maximumLength = try modules.maximumLength(modelFolder, limit: limit, tokenizer)
    let template = tokenizer.encode("").count
    guard maximumLength >= max(1, template) else {
      throw ModelFileError(
        file: modelFolder.path(of: "sentence_bert_config.json"),
        reason: .inconsistent(
          problem: "max_seq_length is \(maximumLength), and the template alone has \(template) tokens"))
    }
    self.init(
      model: model, tokenizer: tokenizer, pooling: modules.pooling, normalizes: modules.normalizes,
      maximumLength: maximumLength)
    prompt = try SentenceModules.prompt(folder)
  }
}

/// What modules.json, and the files that it leads to, say of a sentence encoder.
struct SentenceModules {
  /// The folder of the model in the encoder's; empty for the encoder's own.
  private(set) var modelPath = ""
  private(set) var pooling = Pooling.mean
  private(set) var normalizes = false

  init(_ folder: ModelFolder) throws(ModelFileError) {
    guard let modules = try folder.optionalDocument("modules.json") else { return }
    var isPooled = false
    for (index, module) in try modules.array().enumerated() {
      let type = try module["type"].string()
      let name = type.split(separator: ".").last.map(String.init) ?? ""
      let path = try module["path"].string()
      guard !path.split(separator: "/").contains(".."), !path.hasPrefix("/") else {
        throw module["path"].notExpected("a path inside the folder")
      }
      switch name {
      case "Transformer" where index == 0: modelPath = path
      case "Pooling" where index > 0 && !isPooled:
        isPooled = true
        pooling = try SentenceModules.pooling(folder.folder(path).document("config.json"))
      case "Normalize" where isPooled: normalizes = true
      default: throw module["type"].unsupported(type)
      }
    }
  }

  /// What sentence-transformers puts before each text unless told otherwise.
  static func prompt(_ folder: ModelFolder) throws(ModelFileError) -> String {
    guard let file = try folder.optionalDocument("config_sentence_transformers.json"),
      file["default_prompt_name"].exists
    else { return "" }
    let name = try file["default_prompt_name"].string()
    // Looked up by its whole name: the dots of a name are no path.
    guard let prompt = file["prompts"].value?.objectValue?[name]?.stringValue else {
      throw file.error(
        .inconsistent(problem: "default_prompt_name is \(quotedForMessage(name)), which is not among the prompts"))
    }
    return prompt
  }

  /// Files have a flag for each way, or name it.
  private static func pooling(_ file: JSONField) throws(ModelFileError) -> Pooling {
    if file["include_prompt"].exists, try !file["include_prompt"].boolean() {
      throw file["include_prompt"].unsupported("false")
    }
    if file["pooling_mode"].exists {
      let mode = try file["pooling_mode"].string()
      switch mode {
      case "mean": return .mean
      case "cls": return .firstToken
      case "max": return .maximum
      default: throw file["pooling_mode"].unsupported(mode)
      }
    }
    var chosen: [Pooling] = []
    for (key, value) in try file.members() where key.hasPrefix("pooling_mode_") {
      guard try value.boolean() else { continue }
      switch key {
      case "pooling_mode_mean_tokens": chosen.append(.mean)
      case "pooling_mode_cls_token": chosen.append(.firstToken)
      case "pooling_mode_max_tokens": chosen.append(.maximum)
      default: throw value.unsupported("true")
      }
    }
    guard chosen.count == 1 else {
      throw file.error(
        .unsupported(field: "pooling_mode", value: "\(chosen.count) ways of pooling at once, for rows side by side,"))
    }
    return chosen[0]
  }

  /// The longest text: what sentence_bert_config.json says, or else tokenizer_config.json, or else the model's limit.
  func maximumLength(
    _ folder: ModelFolder, limit: Int, _ tokenizer: SubwordTokenizer
  ) throws(ModelFileError) -> Int {
    if let file = try folder.optionalDocument("sentence_bert_config.json") {
      // Lowercasing twice is lowercasing (but for a final sigma, which is σ here).
      if file["do_lower_case"].exists, try file["do_lower_case"].boolean(), !tokenizer.lowercases {
        throw file["do_lower_case"].unsupported("true, with a tokenizer that keeps case,")
      }
      if file["max_seq_length"].exists { return try file["max_seq_length"].integer(in: 1...limit) }
    }
    // Files without a limit have a number there that no integer holds.
    let file = try folder.optionalDocument("tokenizer_config.json")
    guard let length = file?["model_max_length"].value?.integerValue, length > 0 else { return limit }
    return min(limit, length)
  }
}
