import AttentionTensors

extension SubwordTokenizer {
  /// Writes a `tokenizer.json` that Hugging Face's tokenizers and ``init(contentsOf:)`` read; it appears under its name
  /// whole or not at all.
  ///
  /// - Throws: ``ModelFileError`` when the file cannot be written.
  public func save(to path: String) throws(ModelFileError) {
    do throws(TensorFileError) { try AttentionTensors.write(json, toFile: path) } catch { throw ModelFileError(error) }
  }

  /// The document, in the order of Hugging Face's.
  package var json: [UInt8] {
    var writer = JSONWriter()
    writer.beginObject()
    writer.key("version")
    writer.string("1.0")
    for key in ["truncation", "padding"] {
      writer.key(key)
      writer.null()
    }
    writer.key("added_tokens")
    writer.beginArray()
    for token in addedTokens.sorted(by: { $0.id < $1.id }) { write(token, &writer) }
    writer.endArray()
    switch model {
    case .wordPiece(let text, let model):
      write(text, &writer)
      writer.key("post_processor")
      writePostProcessor(isByteLevel: false, &writer)
      writer.key("decoder")
      writeDecoder(&writer)
      writer.key("model")
      write(model, &writer)
    case .bytePairs(let text, let model):
      writer.key("normalizer")
      writer.null()
      writer.key("pre_tokenizer")
      writeByteLevel(addsPrefixSpace: text.addsPrefixSpace, trims: true, splits: text.splits, &writer)
      writer.key("post_processor")
      writePostProcessor(isByteLevel: true, &writer)
      writer.key("decoder")
      writeDecoder(&writer)
      writer.key("model")
      write(model, &writer)
    }
    writer.endObject()
    return writer.bytes
  }

  private func write(_ token: AddedToken, _ writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("id")
    writer.integer(token.id)
    writer.key("content")
    writer.string(token.content)
    for (key, flag) in [
      ("single_word", token.isSingleWord), ("lstrip", token.stripsLeft), ("rstrip", token.stripsRight),
      ("normalized", token.isNormalized), ("special", token.isSpecial),
    ] {
      writer.key(key)
      writer.boolean(flag)
    }
    writer.endObject()
  }

  private func writeType(_ type: String, _ flags: [(String, Bool)], _ writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("type")
    writer.string(type)
    for (key, flag) in flags {
      writer.key(key)
      writer.boolean(flag)
    }
    writer.endObject()
  }

  private func writeByteLevel(
    addsPrefixSpace: Bool = true, trims: Bool = true, splits: Bool = true, _ writer: inout JSONWriter
  ) {
    writeType(
      "ByteLevel", [("add_prefix_space", addsPrefixSpace), ("trim_offsets", trims), ("use_regex", splits)], &writer)
  }

  private func write(_ text: BertText, _ writer: inout JSONWriter) {
    writer.key("normalizer")
    if text == .normalizedWords {
      writer.null()
    } else {
      writeType(
        "BertNormalizer",
        [
          ("clean_text", text.cleansText), ("handle_chinese_chars", text.separatesIdeographs),
          ("strip_accents", text.stripsAccents), ("lowercase", text.lowercases),
        ], &writer)
    }
    writer.key("pre_tokenizer")
    writeType("BertPreTokenizer", [], &writer)
  }

  // MARK: Models

  private func writeVocabulary(_ vocabulary: TokenVocabulary, _ writer: inout JSONWriter) {
    writer.key("vocab")
    writer.beginObject()
    // Of a token that has two ids the one by which it is found.
    for (token, id) in vocabulary.tokens.sorted(by: { $0.id < $1.id }) where vocabulary.id(of: token) == Int32(id) {
      writer.key(token)
      writer.integer(id)
    }
    writer.endObject()
  }

  private func write(_ model: WordPieceModel, _ writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("type")
    writer.string("WordPiece")
    writer.key("unk_token")
    writer.string(model.vocabulary.token(model.unknown) ?? "")
    writer.key("continuing_subword_prefix")
    writer.string(model.continuation)
    writer.key("max_input_chars_per_word")
    writer.integer(model.longestWord)
    writeVocabulary(model.vocabulary, &writer)
    writer.endObject()
  }

  private func write(_ model: BytePairModel, _ writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("type")
    writer.string("BPE")
    writer.key("dropout")
    writer.null()
    writer.key("unk_token")
    if let unknown = model.unknown.flatMap(model.vocabulary.token) { writer.string(unknown) } else { writer.null() }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      writer.key(key)
      writer.null()
    }
    for (key, flag) in [
      ("fuse_unk", model.fusesUnknown), ("byte_fallback", false), ("ignore_merges", model.ignoresMerges),
    ] {
      writer.key(key)
      writer.boolean(flag)
    }
    writeVocabulary(model.vocabulary, &writer)
    writer.key("merges")
    writer.beginArray()
    for (left, right) in model.orderedMerges {
      writer.beginArray()
      writer.string(model.vocabulary.token(left) ?? "")
      writer.string(model.vocabulary.token(right) ?? "")
      writer.endArray()
    }
    writer.endArray()
    writer.endObject()
  }

  // MARK: Templates and decoders

  private func writePostProcessor(isByteLevel: Bool, _ writer: inout JSONWriter) {
    guard template != .none else {
      guard isByteLevel || offsetTrimming != nil else { return writer.null() }
      return writeByteLevel(
        addsPrefixSpace: offsetTrimming?.addsPrefixSpace ?? true, trims: offsetTrimming != nil, &writer)
    }
    guard let offsetTrimming else { return writeTemplate(&writer) }
    writer.beginObject()
    writer.key("type")
    writer.string("Sequence")
    writer.key("processors")
    writer.beginArray()
    writeByteLevel(addsPrefixSpace: offsetTrimming.addsPrefixSpace, &writer)
    writeTemplate(&writer)
    writer.endArray()
    writer.endObject()
  }

  /// What a template's ids are called there.
  private func name(_ ids: [Int]) -> String { ids.map { token($0) ?? "" }.joined() }

  private func writeTemplate(_ writer: inout JSONWriter) {
    writer.beginObject()
    writer.key("type")
    writer.string("TemplateProcessing")
    var tokens: [[Int]] = []
    for (key, parts) in [("single", template.single), ("pair", template.double)] {
      writer.key(key)
      writer.beginArray()
      for part in parts {
        writer.beginObject()
        switch part {
        case .tokens(let ids, let segment):
          if !tokens.contains(ids) { tokens.append(ids) }
          writePart("SpecialToken", name(ids), segment, &writer)
        case .text(let segment): writePart("Sequence", "A", segment, &writer)
        case .pair(let segment): writePart("Sequence", "B", segment, &writer)
        }
        writer.endObject()
      }
      writer.endArray()
    }
    writer.key("special_tokens")
    writer.beginObject()
    for ids in tokens {
      writer.key(name(ids))
      writer.beginObject()
      writer.key("id")
      writer.string(name(ids))
      writer.key("ids")
      writer.integers(ids)
      writer.key("tokens")
      writer.beginArray()
      for id in ids { writer.string(token(id) ?? "") }
      writer.endArray()
      writer.endObject()
    }
    writer.endObject()
    writer.endObject()
  }

  private func writePart(_ kind: String, _ id: String, _ segment: Int, _ writer: inout JSONWriter) {
    writer.key(kind)
    writer.beginObject()
    writer.key("id")
    writer.string(id)
    writer.key("type_id")
    writer.integer(segment)
    writer.endObject()
  }

  private func writeDecoder(_ writer: inout JSONWriter) {
    switch decoder {
    case .words: writer.null()
    case .wordPiece(let prefix, let cleansUp):
      writer.beginObject()
      writer.key("type")
      writer.string("WordPiece")
      writer.key("prefix")
      writer.string(prefix)
      writer.key("cleanup")
      writer.boolean(cleansUp)
      writer.endObject()
    case .byteLevel: writeByteLevel(&writer)
    }
  }
}
