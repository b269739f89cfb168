import Attention
import AttentionModels
import Foundation
import Testing

/// Folders of sentence encoders: what their files say, and what is saved.
@Suite struct SentenceFolderTests {
  /// A random encoder over the words of ``SampleTokenizers``.
  static func encoder(
    pooling: Pooling = .mean, normalizes: Bool = true, maximumLength: Int? = nil, prompt: String = ""
  ) throws -> SentenceEncoder {
    var generator = SeededGenerator(seed: 4)
    let model = BERT(
      BERTConfiguration(
        vocabularySize: SampleTokenizers.words.count, width: 16, blockCount: 2, heads: 2, feedForwardWidth: 32,
        maximumLength: 20, initialDeviation: 0.4), using: &generator)
    var encoder = SentenceEncoder(
      model: model, tokenizer: try SampleTokenizers.read(SampleTokenizers.wordPiece), pooling: pooling,
      normalizes: normalizes, maximumLength: maximumLength)
    encoder.prompt = prompt
    return encoder
  }

  /// Calls `body` with the folder of an encoder in which some files hold something else, or, for nil, are not.
  static func withFolder(
    _ encoder: SentenceEncoder, _ files: [String: String?] = [:], _ body: (ModelFolder) throws -> Void
  ) throws {
    try ModelFiles.withTemporaryFolder { folder in
      try encoder.save(to: folder.modelFolder)
      for (name, text) in files {
        let file = folder.appending(path: name)
        if let text { try Data(text.utf8).write(to: file) } else { try FileManager.default.removeItem(at: file) }
      }
      try body(folder.modelFolder)
    }
  }

  static let texts = ["the cat", "", "Unaffable cafés, it can't ab!", "the the the the the the cat cat cat cat cat"]

  static let settings: [(normalizes: Bool, maximumLength: Int?, prompt: String)] = [
    (true, nil, ""), (false, 7, "it! "), (true, 12, "\"the\" \n"),
  ]

  @Test("An encoder that was saved reads back the same", arguments: Pooling.allCases, settings)
  func saved(_ pooling: Pooling, _ settings: (normalizes: Bool, maximumLength: Int?, prompt: String)) throws {
    let encoder = try Self.encoder(
      pooling: pooling, normalizes: settings.normalizes, maximumLength: settings.maximumLength, prompt: settings.prompt)
    let expected = encoder.result(for: Self.texts)
    // To be looked at by `scripts/check-saved-encoders`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    func check(_ folder: URL) throws {
      try encoder.save(to: folder.modelFolder)
      let again = try SentenceEncoder(folder.modelFolder)
      #expect(again.pooling == pooling && again.normalizes == settings.normalizes && again.prompt == settings.prompt)
      #expect(again.maximumLength == settings.maximumLength ?? 20 && again.width == 16)
      let found = again.result(for: Self.texts)
      #expect(haveSameBits(found.rows, expected.rows))
      #expect(found.tokenCounts == expected.tokenCounts && found.isTruncated == expected.isTruncated)
      // Saving what was saved gives the same files.
      let other = folder.appending(path: "again")
      try again.save(to: other.modelFolder)
      for file in [
        "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "sentence_bert_config.json",
        "modules.json", "1_Pooling/config.json", "config_sentence_transformers.json",
      ] {
        let (one, two) = (
          try Data(contentsOf: folder.appending(path: file)), try Data(contentsOf: other.appending(path: file))
        )
        #expect(one == two && one.last == (file.hasSuffix(".json") && file != "tokenizer.json" ? 0x0A : one.last))
      }
      guard kept != nil else { return }
      try FileManager.default.removeItem(at: other)
      try SafetensorsFile.write([("embeddings", .float32(expected.rows))], to: folder.path + "/ours.safetensors")
    }
    if let kept {
      let name = "\(pooling)-\(settings.normalizes)-\(settings.maximumLength ?? 0)"
      try check(URL(filePath: kept).appending(path: "sentence-encoders/\(name)"))
    } else {
      try ModelFiles.withTemporaryFolder { try check($0.appending(path: "a/b")) }
    }
  }

  @Test("A tokenizer of one's own is no file")
  func ownTokenizer() throws {
    try ModelFiles.withTemporaryFolder { folder in
      let error = #expect(throws: ModelFileError.self) {
        try SentenceEncoderTests.encoder().save(to: folder.modelFolder)
      }
      #expect(error?.description.contains("LetterTokenizer") == true)
    }
  }

  @Test("The default prompt goes before each text")
  func prompt() throws {
    let encoder = try Self.encoder()
    let prompts = #""prompts": {"a.b": "the cat ", "": "un"}"#
    for (name, expected) in [(#""a.b""#, "the cat "), (#""""#, "un"), ("null", "")] {
      let file = #"{\#(prompts), "default_prompt_name": \#(name)}"#
      try Self.withFolder(encoder, ["config_sentence_transformers.json": file]) { folder in
        let found = try SentenceEncoder(folder)
        #expect(found.prompt == expected)
        let (rows, counts) = (found.result(for: Self.texts).rows, found.result(for: Self.texts).tokenCounts)
        let whole = encoder.result(for: Self.texts.map { expected + $0 })
        #expect(haveSameBits(rows, whole.rows) && counts == whole.tokenCounts)
      }
    }
    for (file, problem) in [
      (#"{\#(prompts), "default_prompt_name": "b"}"#, "\"b\", which is not among the prompts"),
      (#"{"default_prompt_name": "b"}"#, "not among the prompts"),
      (#"{"default_prompt_name": 3}"#, "default_prompt_name is not a string"),
    ] {
      try Self.withFolder(encoder, ["config_sentence_transformers.json": file]) { folder in
        let error = #expect(throws: ModelFileError.self) { _ = try SentenceEncoder(folder) }
        #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
      }
    }
  }

  static let limits: [(sentence: String?, tokenizer: String?, limit: Int)] = [
    (nil, nil, 20), (nil, #"{"model_max_length": 9}"#, 9), (nil, #"{"model_max_length": 21}"#, 20),
    (nil, #"{"model_max_length": 1000000000000000019884624838656}"#, 20), (nil, #"{"model_max_length": null}"#, 20),
    (#"{"max_seq_length": 11}"#, #"{"model_max_length": 9}"#, 11), ("{}", #"{"model_max_length": 9}"#, 9),
    (#"{"max_seq_length": null}"#, #"{"model_max_length": 9}"#, 9),
  ]

  @Test("The longest text: of sentence_bert_config.json, or else of tokenizer_config.json", arguments: limits)
  func longestText(_ one: (sentence: String?, tokenizer: String?, limit: Int)) throws {
    let files = ["sentence_bert_config.json": one.sentence, "tokenizer_config.json": one.tokenizer]
    try Self.withFolder(try Self.encoder(), files) { folder in
      let encoder = try SentenceEncoder(folder)
      #expect(encoder.maximumLength == one.limit)
      let counts = encoder.result(for: [String(repeating: "cat ", count: 50)]).tokenCounts
      #expect(counts == [one.limit])
    }
  }

  @Test("tokenizer_config.json has the last word over tokenizer.json")
  func flags() throws {
    let encoder = try Self.encoder()
    for (flags, texts) in [(#"{"do_lower_case": false}"#, ("THE", "[UNK]")), ("{}", ("THE", "the"))] {
      try Self.withFolder(encoder, ["tokenizer_config.json": flags]) { folder in
        let found = try SentenceEncoder(folder)
        #expect(haveSameBits(found.embed([texts.0]), encoder.embed([texts.1])))
      }
    }
  }

  @Test("A folder without modules.json is a plain model: the mean, of any length")
  func plainModel() throws {
    let encoder = try Self.encoder(normalizes: true)
    try Self.withFolder(encoder, ["modules.json": nil]) { folder in
      let found = try SentenceEncoder(folder)
      #expect(found.pooling == .mean && !found.normalizes)
    }
  }
}
