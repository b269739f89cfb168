import Attention
import AttentionModels
import Foundation
import Testing

/// What the files of a GPT-2 beside config.json say.
@Suite struct GPT2FolderTests {
  /// Calls `body` with the folder of a model over ``SampleTokenizers/bytePairs``, of 262 tokens and 40 positions.
  static func withFolder(
    _ files: [String: String] = [:], endIDs: [Int] = [],
    _ body: (URL) async throws -> Void
  ) async throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "attention-models-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    var generator = SeededGenerator(seed: 12)
    let model = GPT2(
      GPT2Configuration(
        vocabularySize: 262, width: 16, blockCount: 1, heads: 2, maximumLength: 40, initialDeviation: 0.4,
        endIDs: endIDs), using: &generator)
    try model.save(to: folder.modelFolder)
    let files = ["tokenizer.json": SampleTokenizers.bytePairs].merging(files) { $1 }
    for (name, text) in files { try Data(text.utf8).write(to: folder.appending(path: name)) }
    try await body(folder)
  }

  @Test("A generator from a folder is one of the folder's model and tokenizer")
  func generator() async throws {
    try await Self.withFolder { folder in
      let found = try TextGenerator(folder.modelFolder)
      let parts = TextGenerator(
        model: try GPT2(folder.modelFolder), tokenizer: try SubwordTokenizer(folder.modelFolder))
      let options = GenerationOptions(maximumNewTokens: 12)
      #expect(try await found.generate("the mill", options: options) == parts.generate("the mill", options: options))
      try Data("{".utf8).write(to: folder.appending(path: "tokenizer.json"))
      #expect(throws: ModelFileError.self) { _ = try TextGenerator(folder.modelFolder) }
    }
  }

  static let ends: [(file: String?, ids: [Int])] = [
    (nil, [261]), ("{}", [261]), (#"{"eos_token_id": null}"#, [261]), (#"{"eos_token_id": 7}"#, [7]),
    (#"{"eos_token_id": [7, 9, 50256]}"#, [7, 9]), (#"{"eos_token_id": []}"#, []),
  ]

  @Test("generation_config.json says which tokens end a text, before config.json", arguments: ends)
  func endTokens(_ one: (file: String?, ids: [Int])) async throws {
    let files = one.file.map { ["generation_config.json": $0] } ?? [:]
    try await Self.withFolder(files, endIDs: [261]) { folder in
      let model = try GPT2(folder.modelFolder)
      #expect(model.configuration.endIDs == one.ids)
      #expect(model.endIDs == one.ids)
    }
  }

  @Test("A text ends where the file's end token comes")
  func generationEnds() async throws {
    try await Self.withFolder { folder in
      let options = GenerationOptions(maximumNewTokens: 20)
      let whole = try await TextGenerator(folder.modelFolder).generate("the", options: options)
      let end = whole.ids[6]
      let first = try #require(whole.ids.firstIndex(of: end))
      try Data(#"{"eos_token_id": [\#(end)]}"#.utf8).write(to: folder.appending(path: "generation_config.json"))
      let found = try await TextGenerator(folder.modelFolder).generate("the", options: options)
      #expect(found.end == .endToken && found.ids == Array(whole.ids[..<first]))
    }
  }

  static let wrong = [#"{"eos_token_id": -1}"#, #"{"eos_token_id": "x"}"#, #"{"eos_token_id": [1.5]}"#, "["]

  @Test("An end token that is none is an error", arguments: wrong)
  func wrongEndTokens(_ file: String) async throws {
    try await Self.withFolder(["generation_config.json": file]) { folder in
      let error = #expect(throws: ModelFileError.self) { _ = try GPT2(folder.modelFolder) }
      #expect(error?.file.hasSuffix("generation_config.json") == true)
    }
  }

  @Test("A template with more tokens than the model has positions is a prompt that is too long")
  func oversizedTemplate() async throws {
    // 41 tokens around the text; the model has 40 positions.
    let template = #"""
      "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x","type_id":0}},
      {"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B",
      "type_id":0}}],"special_tokens":{"x":{"id":"x","ids":[\#((0..<41).map(String.init).joined(separator: ","))],
      "tokens":[]}}}
      """#
    let old = #""post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false}"#
    let text = SampleTokenizers.bytePairs.replacingOccurrences(of: old, with: template)
    try #require(text != SampleTokenizers.bytePairs)
    try await Self.withFolder(["tokenizer.json": text]) { folder in
      let generator = try TextGenerator(folder.modelFolder)
      for prompt in ["", "the", String(repeating: "the ", count: 1000)] {
        await #expect(throws: GenerationError.promptTooLong(index: 0, limit: 40)) {
          _ = try await generator.generate(prompt)
        }
      }
    }
  }
}
