import AttentionTensors

extension SentenceEncoder {
  /// Writes a folder as sentence-transformers lays it out, which that and ``init(_:)`` read: config.json and
  /// model.safetensors, tokenizer.json and tokenizer_config.json, sentence_bert_config.json, modules.json,
  /// 1_Pooling/config.json and config_sentence_transformers.json. The folder is made if need be; each file appears whole or
  /// not at all.
  ///
  /// sentence-transformers pads: for texts of several lengths at once it wants a token `[PAD]` or `<pad>`. What
  /// ``recognizesSpecialTokens`` says is not saved.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses, or the tokenizer is none that tokenizer.json could describe.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    guard let tokenizer = tokenizer as? SubwordTokenizer else {
      throw ModelFileError(
        file: folder.path(of: "tokenizer.json"),
        reason: .unsupported(field: "tokenizer", value: "\(type(of: tokenizer))"))
    }
    try model.save(to: folder)
    try tokenizer.save(to: folder.path(of: "tokenizer.json"))
    try folder.write("tokenizer_config.json") { tokenizer.writeConfiguration(maximumLength, &$0) }
    try folder.write("sentence_bert_config.json") { json in
      json.key("max_seq_length")
      json.integer(maximumLength)
      json.key("do_lower_case")
      json.boolean(false)
    }
    let pooler = folder.folder("1_Pooling")
    do throws(TensorFileError) { try makeFolder(pooler.path) } catch { throw ModelFileError(error) }
    try pooler.write("config.json") { json in
      json.key("word_embedding_dimension")
      json.integer(width)
      for (key, isChosen) in [
        ("cls_token", pooling == .firstToken), ("mean_tokens", pooling == .mean), ("max_tokens", pooling == .maximum),
        ("mean_sqrt_len_tokens", false),
      ] {
        json.key("pooling_mode_\(key)")
        json.boolean(isChosen)
      }
    }
    try folder.write("config_sentence_transformers.json") { json in
      json.key("prompts")
      json.beginObject()
      if !prompt.isEmpty {
        json.key("default")
        json.string(prompt)
      }
      json.endObject()
      json.key("default_prompt_name")
      if prompt.isEmpty { json.null() } else { json.string("default") }
    }
    // Last: without it the folder is that of a plain model.
    let modules = [("Transformer", ""), ("Pooling", "1_Pooling")] + (normalizes ? [("Normalize", "2_Normalize")] : [])
    try folder.write("modules.json", isArray: true) { json in
      for (index, (type, path)) in modules.enumerated() {
        json.beginObject()
        json.key("idx")
        json.integer(index)
        for (key, text) in [("name", "\(index)"), ("path", path), ("type", "sentence_transformers.models.\(type)")] {
          json.key(key)
          json.string(text)
        }
        json.endObject()
      }
    }
  }
}

extension SubwordTokenizer {
  /// The members of tokenizer_config.json, by which transformers takes tokenizer.json as it is.
  fileprivate func writeConfiguration(_ maximumLength: Int, _ json: inout JSONWriter) {
    json.key("tokenizer_class")
    json.string("PreTrainedTokenizerFast")
    json.key("model_max_length")
    json.integer(maximumLength)
    for (role, spellings) in [
      ("unk", ["[UNK]", "<unk>"]), ("cls", ["[CLS]", "<s>"]), ("sep", ["[SEP]", "</s>"]), ("pad", ["[PAD]", "<pad>"]),
      ("mask", ["[MASK]", "<mask>"]),
    ] {
      guard let spelling = spellings.first(where: { id(of: $0) != nil }) else { continue }
      json.key("\(role)_token")
      json.string(spelling)
    }
  }
}

extension ModelFolder {
  /// Writes a JSON document, an object unless told otherwise, whole or not at all.
  fileprivate func write(
    _ name: String, isArray: Bool = false, _ contents: (inout JSONWriter) -> Void
  ) throws(ModelFileError) {
    var json = JSONWriter()
    if isArray { json.beginArray() } else { json.beginObject() }
    contents(&json)
    if isArray { json.endArray() } else { json.endObject() }
    do throws(TensorFileError) {
      try AttentionTensors.write(json.bytes + [UInt8(ascii: "\n")], toFile: path(of: name))
    } catch {
      throw ModelFileError(error)
    }
  }
}
