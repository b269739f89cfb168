import AttentionModels
import Foundation
import Testing

/// Tokenizers from a model's folder: tokenizer.json, vocab.txt, or vocab.json with merges.txt.
@Suite("Vocabulary files")
struct VocabularyFileTests {
  static let lines = SampleTokenizers.words.joined(separator: "\n")

  @Test(arguments: [lines, lines + "\n", lines.replacingOccurrences(of: "\n", with: "\r\n") + "\r\n"])
  func oneTokenALine(text: String) throws {
    try withModelFolder(["vocab.txt": text]) { folder in
      let tokenizer = try SubwordTokenizer(folder)
      let whole = try SampleTokenizers.read(SampleTokenizers.wordPiece)
      #expect(tokenizer.idLimit == SampleTokenizers.words.count && tokenizer.template == whole.template)
      #expect(tokenizer.addedTokens == whole.addedTokens)
      for sample in ["The CAFÉS, unaffable 世 [SEP] x", "", "[MASK]"] {
        #expect(
          tokenizer.encode(sample, pair: "it", options: .init()) == whole.encode(sample, pair: "it", options: .init()))
      }
    }
  }

  static let configurations: [(String, String, [String])] = [
    ("{}", "The Café世a", ["the", "cafe", "世", "a"]),
    (#"{"do_lower_case":false}"#, "The cafe", ["[UNK]", "cafe"]),
    (#"{"do_lower_case":false,"strip_accents":true}"#, "café The", ["cafe", "[UNK]"]),
    (#"{"strip_accents":false}"#, "THE café", ["the", "[UNK]"]),
    (#"{"do_lower_case":null,"strip_accents":null}"#, "THE café", ["the", "cafe"]),
    (#"{"tokenize_chinese_chars":false}"#, "世a 世", ["[UNK]", "世"]),
    (#"{"unk_token":"the"}"#, "nonsense", ["the"]),
    (#"{"unk_token":{"content":"the","lstrip":false}}"#, "nonsense", ["the"]),
  ]

  @Test(arguments: configurations)
  func theConfigurationIsFollowed(configuration: String, text: String, tokens: [String]) throws {
    try withModelFolder(["vocab.txt": Self.lines, "tokenizer_config.json": configuration]) { folder in
      let tokenizer = try SubwordTokenizer(folder)
      #expect(tokenizer.tokens(tokenizer.encode(text, options: EncodingOptions(addsTemplate: false))) == tokens)
    }
  }

  /// The same flags beside tokenizer.json have the last word over what that says; its vocabulary stays.
  @Test(arguments: configurations.filter { !$0.0.contains("unk_token") })
  func theConfigurationOverridesTheFile(configuration: String, text: String, tokens: [String]) throws {
    for file in [
      SampleTokenizers.wordPiece,
      SampleTokenizers.wordPiece.replacingOccurrences(of: #""strip_accents":null"#, with: #""strip_accents":true"#),
    ] {
      try withModelFolder(["tokenizer.json": file, "tokenizer_config.json": configuration]) { folder in
        let tokenizer = try SubwordTokenizer(folder)
        #expect(tokenizer.tokens(tokenizer.encode(text, options: EncodingOptions(addsTemplate: false))) == tokens)
      }
    }
  }

  @Test func withoutTheTokensThereIsNoTemplate() throws {
    try withModelFolder(["vocab.txt": "[UNK]\na\na\n\nb"]) { folder in
      let tokenizer = try SubwordTokenizer(vocabulary: folder.path + "/vocab.txt")
      #expect(tokenizer.encode("a b c").ids == [2, 4, 0])
      #expect(
        tokenizer.template == .none && tokenizer.token(1) == "a" && tokenizer.token(3) == "" && tokenizer.idLimit == 5)
    }
  }

  @Test(arguments: [
    (["vocab.txt": "a\nb"], "\"[UNK]\" is not in the vocabulary"),
    (["vocab.txt": ""], "\"[UNK]\" is not in the vocabulary"),
    (["vocab.txt": "[UNK]", "tokenizer_config.json": "{"], "not JSON"),
    (
      ["vocab.txt": "[UNK]", "tokenizer_config.json": #"{"do_lower_case":"no"}"#], "do_lower_case is not true or false"
    ),
    (["vocab.txt": "[UNK]", "tokenizer_config.json": #"{"unk_token":7}"#], "unk_token is not a string"),
    ([:], "tokenizer.json\": it is not there, nor vocab.txt, nor vocab.json with merges.txt"),
    (["vocab.json": "{}"], "merges.txt"), (["vocab.json": "[]", "merges.txt": ""], "an object of tokens and ids"),
    (["vocab.json": #"{"a":0}"#, "merges.txt": "a b c"], "line 1 is not two tokens"),
    (["vocab.json": #"{"a":0}"#, "merges.txt": "#version: 0.2\na a\n"], "merge 0 has \"aa\""),
    (
      ["vocab.json": #"{"a":0}"#, "merges.txt": "", "tokenizer_config.json": #"{"add_prefix_space":1}"#],
      "add_prefix_space"
    ),
    (["merges.txt": ""], "it is not there"),
    (
      ["tokenizer.json": "{}", "vocab.txt": "[UNK]"],
      "pre_tokenizer.type is missing"
    ),
  ])
  func whatIsWrongIsSaid(files: [String: String], problem: String) throws {
    try withModelFolder(files) { folder in
      let error = #expect(throws: ModelFileError.self) { _ = try SubwordTokenizer(folder) }
      #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
    }
  }

  @Test func otherBytesThanUTF8AreAnError() throws {
    try withModelFolder([:]) { folder in
      try Data([0x5B, 0x0A, 0xFF]).write(to: URL(filePath: folder.path + "/vocab.txt"))
      let error = #expect(throws: ModelFileError.self) { _ = try SubwordTokenizer(folder) }
      #expect(error?.description.contains("not UTF-8 from byte 2 on") == true)
    }
    #expect(throws: ModelFileError.self) { _ = try SubwordTokenizer(ModelFolder(path: "/nonexistent")) }
    #expect(throws: ModelFileError.self) { _ = try SubwordTokenizer(vocabulary: "/") }
    #expect(throws: ModelFileError.self) { _ = try SubwordTokenizer(contentsOf: "a\0b") }
  }

  @Test(arguments: [false, true])
  func tokensAndPairsApart(hasConfiguration: Bool) throws {
    let tokens = SampleTokenizers.characters + ["th", "the", "Ġthe", "aa", "aaa", "<|endoftext|>", "<end>"]
    var files = [
      "vocab.json": SampleTokenizers.object(tokens), "merges.txt": "#version: 0.2\nt h\nth e\r\nĠ the\na a\naa a\n\n",
    ]
    if hasConfiguration {
      files["tokenizer_config.json"] = #"{"add_prefix_space":true,"eos_token":{"content":"<end>"}}"#
    }
    try withModelFolder(files) { folder in
      let tokenizer = try SubwordTokenizer(folder)
      #expect(tokenizer.tokens(tokenizer.encode("the the")) == [hasConfiguration ? "Ġthe" : "the", "Ġthe"])
      #expect(tokenizer.encode("<|endoftext|>").count == (hasConfiguration ? 14 : 1))
      #expect(tokenizer.encode("<end>").count == (hasConfiguration ? 1 : 5))
      #expect(tokenizer.decode(tokenizer.encode(" the é<end>").ids, skippingSpecialTokens: false) == " the é<end>")
    }
  }
}
