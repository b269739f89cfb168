import Attention
import AttentionModels
import Foundation
import Testing

/// `attention generate`, over a random model whose tokens are the bytes.
@Suite struct GenerateCommandTests {
  /// Calls `body` with the folder of a model of 64 positions, and the model.
  private func withModel(_ body: (_ folder: String, _ model: GPT2) throws -> Void) throws {
    try withTemporaryFolder { folder in
      var generator = SeededGenerator(seed: 6)
      let model = GPT2(
        GPT2Configuration(
          vocabularySize: 256, width: 32, blockCount: 2, heads: 4, maximumLength: 64, initialDeviation: 0.3),
        using: &generator)
      try model.save(to: ModelFolder(path: folder.path))
      try Self.writeTokenizer(folder)
      try body(folder.path, model)
    }
  }

  /// A tokenizer whose tokens are the bytes.
  private static func writeTokenizer(_ folder: URL) throws {
    // GPT-2's visible characters for bytes: printable ones are themselves, the others follow U+0100.
    var others = 0
    let vocabulary = (0..<256).map { byte in
      let isVisible = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      defer { if !isVisible { others += 1 } }
      return (String(Character(Unicode.Scalar(UInt32(isVisible ? byte : 256 + others))!)), byte)
    }
    let tokenizer: [String: Any] = [
      "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false], "decoder": ["type": "ByteLevel"],
      "model": [
        "type": "BPE", "vocab": Dictionary(uniqueKeysWithValues: vocabulary), "merges": [String](),
      ] as [String: Any],
    ]
    try JSONSerialization.data(withJSONObject: tokenizer).write(to: folder.appendingPathComponent("tokenizer.json"))
  }

  /// What the library generates, greedily.
  private func text(_ folder: String, _ prompt: String, _ options: GenerationOptions) throws -> String {
    let folder = ModelFolder(path: folder)
    return try text(try folder.languageModel(), folder, prompt, options)
  }

  private func text(
    _ model: some LanguageModel, _ folder: ModelFolder, _ prompt: String, _ options: GenerationOptions
  ) throws -> String {
    let tokenizer = try SubwordTokenizer(contentsOf: folder.path + "/tokenizer.json")
    var generation = try TokenGeneration(model: model, prompts: [tokenizer.encode(prompt).ids], options: options)
    var ids: [Int] = []
    while !generation.isDone {
      for case (_, .token(let id)) in try generation.step() { ids.append(id) }
    }
    return tokenizer.decode(ids)
  }

  private func rows(_ run: AttentionProcess) throws -> [[String: String]] {
    try run.output.utf8.split(separator: UInt8(ascii: "\n")).map {
      try JSONDecoder().decode([String: String].self, from: Data($0))
    }
  }

  @Test("One prompt streams its text")
  func onePrompt() throws {
    try withModel { folder, _ in
      let run = try AttentionProcess(["generate", "--model", folder, "--prompt", "The old mill", "--max-tokens", "20"])
      #expect(run.exitCode == 0 && run.errors.isEmpty, "\(run.errors)")
      #expect(run.output == (try text(folder, "The old mill", .init(maximumNewTokens: 20))) + "\n")
      let sampled = [
        "--temperature", "0.7", "--top-k", "20", "--top-p", "0.9", "--repetition-penalty", "1.2", "--seed", "5",
      ]
      let other = try AttentionProcess(
        ["generate", "--model", folder, "--prompt", "-a", "--max-tokens", "20", "--threads", "1"] + sampled)
      let options = GenerationOptions(
        maximumNewTokens: 20, temperature: 0.7, topK: 20, topP: 0.9, repetitionPenalty: 1.2, seed: 5)
      #expect(other.output == (try text(folder, "-a", options)) + "\n", "\(other.errors)")
    }
  }

  @Test("A recurrent model generates, too: its kind is read from config.json")
  func recurrentModel() throws {
    try withTemporaryFolder { folder in
      var generator = SeededGenerator(seed: 6)
      let configuration = RecurrentLanguageModelConfiguration(vocabularySize: 256, cell: .gru, width: 32, beginID: 65)
      try RecurrentLanguageModel(configuration, using: &generator).save(to: ModelFolder(path: folder.path))
      try Self.writeTokenizer(folder)
      let model = ["generate", "--model", folder.path, "--max-tokens", "20"]
      let one = try AttentionProcess(model + ["--prompt", "The old mill"])
      #expect(one.exitCode == 0 && one.errors.isEmpty, "\(one.errors)")
      #expect(one.output == (try text(folder.path, "The old mill", .init(maximumNewTokens: 20))) + "\n")
      let prompts = ["One", String(repeating: "a", count: 3000), ""]
      let several = try AttentionProcess(model + prompts.flatMap { ["--prompt", $0] })
      #expect(several.exitCode == 0, "\(several.errors)")
      let found = try rows(several).map { $0["text"] }
      // The model has a token to begin with: an empty prompt is one of that token.
      let expected = try [prompts[0], prompts[1], "A"].map { try text(folder.path, $0, .init(maximumNewTokens: 20)) }
      #expect(found == expected)
    }
  }

  @Test("A model of another kind is an error that names it")
  func otherKinds() throws {
    try withModel { folder, _ in
      for (type, message) in [("bert", "bert (a language model is gpt2 or recurrent-lm)"), ("", "model_type")] {
        let text = type.isEmpty ? "{}" : #"{"model_type": "\#(type)"}"#
        try Data(text.utf8).write(to: URL(filePath: folder + "/config.json"))
        let run = try AttentionProcess(["generate", "--model", folder, "--prompt", "a"])
        #expect(run.exitCode == 65 && run.errorLines.count == 1 && run.errors.contains(message), "\(run.errors)")
      }
    }
  }

  @Test("Several prompts give rows in their order, each as it is alone")
  func severalPrompts() throws {
    try withModel { folder, _ in
      let prompts = ["One", "and another", "ü"]
      let run = try AttentionProcess(
        ["generate", "--model", folder, "--max-tokens", "9"] + prompts.flatMap { ["--prompt", $0] })
      #expect(run.exitCode == 0, "\(run.errors)")
      let expected = try prompts.map {
        ["prompt": $0, "text": try text(folder, $0, .init(maximumNewTokens: 9)), "end": "maximumNewTokens"]
      }
      #expect(try rows(run) == expected)
    }
  }

  @Test("Every line of a file is served, those that cannot be gone on from with an error")
  func lines() throws {
    try withModel { folder, _ in
      let file = folder + "/prompts.txt"
      // An empty line, one past the 64 positions, bytes that are no UTF-8, and more lines than a batch.
      let lines: [[UInt8]] =
        [Array("a".utf8), [], Array(repeating: 0x62, count: 65), [0xFF]] + (0..<40).map { Array("n\($0)".utf8) }
      try Data(lines.joined(separator: [0x0A])).write(to: URL(filePath: file))
      let run = try AttentionProcess(["generate", "--model", folder, "--input", file, "--max-tokens", "3"])
      #expect(run.exitCode == 65 && !run.wasKilled)
      let found = try rows(run)
      try #require(found.count == 44)
      #expect(found[0]["text"] == (try text(folder, "a", .init(maximumNewTokens: 3))))
      #expect(found[1]["error"] == "the prompt is empty, and the model has no token to begin with")
      #expect(found[2]["error"] == "the prompt has more tokens than the 64 that the model reads")
      #expect(found[3]["prompt"] == "\u{FFFD}" && found[3]["text"] != nil)
      #expect(found[43]["text"] == (try text(folder, "n39", .init(maximumNewTokens: 3))))
      #expect(run.errorLines.count == 3 && run.complaints.isEmpty, "\(run.errors)")
      #expect(run.errors.contains("line 2") && run.errors.contains("line 3"))
    }
  }

  @Test("A stop string ends the text before it")
  func stop() throws {
    try withModel { folder, _ in
      let whole = try text(folder, "Go", .init(maximumNewTokens: 30))
      let stop = String(whole.unicodeScalars.dropFirst(5).prefix(1))
      let run = try AttentionProcess(
        ["generate", "--model", folder, "--prompt", "Go", "--max-tokens", "30", "--stop", stop, "--format", "jsonl"])
      let row = try #require(try rows(run).first)
      #expect(
        row["end"] == "stopString" && row["text"].map { whole.unicodeScalars.starts(with: $0.unicodeScalars) } == true)
      #expect(row["text"]?.unicodeScalars.contains(stop.unicodeScalars.first!) == false)
    }
  }

  @Test("What is asked for wrongly ends with one line and an exit code")
  func wrongUsage() throws {
    try withModel { folder, _ in
      let model = ["generate", "--model", folder]
      let cases: [([String], Int32, String)] = [
        (["generate", "--prompt", "a"], 64, "--model"), (model, 64, "--prompt"),
        (model + ["--prompt", "a", "--input", "-"], 64, "not both"),
        (model + ["--prompt", "a", "--temperature", "-1"], 64, "temperature"),
        (model + ["--prompt", "a", "--temperature", "hot"], 64, "a number"),
        (model + ["--prompt", "a", "--top-k", "0"], 64, "top-k"),
        (model + ["--prompt", "a", "--top-p", "2"], 64, "topP"),
        (model + ["--prompt", "a", "--repetition-penalty", "0"], 64, "repetitionPenalty"),
        (model + ["--prompt", "a", "--stop", ""], 64, "stopStrings"),
        (model + ["--prompt", "a", "--prompt", "b", "--format", "text"], 64, "--format"),
        (model + ["--prompt", ""], 64, "empty"),
        (model + ["--prompt", String(repeating: "a", count: 65)], 64, "more tokens than the 64"),
        (model + ["--input", folder + "/nothing"], 66, "nothing"),
        (["generate", "--model", folder + "/nothing", "--prompt", "a"], 66, "no such folder"),
      ]
      for (arguments, code, message) in cases {
        let run = try AttentionProcess(arguments)
        #expect(run.exitCode == code && !run.wasKilled, "\(arguments): \(run.exitCode) \(run.errors)")
        #expect(run.errorLines.count == 1 && run.errors.contains(message) && run.output.isEmpty, "\(run.errors)")
      }
      try Data("{".utf8).write(to: URL(filePath: folder + "/config.json"))
      let broken = try AttentionProcess(model + ["--prompt", "a"])
      #expect(broken.exitCode == 65 && broken.errorLines.count == 1 && broken.errors.contains("config.json"))
    }
  }

  @Test("attention bench generate measures both steps, and its results are sound")
  func benchmark() throws {
    let (_, rows) = try benchmarkReport([
      "bench", "generate", "--shape", "l2h2d32v50", "--depths", "1,20", "--batch", "1,3", "--repeats", "2", "--format",
      "json",
    ])
    #expect(rows.count == 8)
    #expect(rows.compactMap { $0["step"] as? String } == (0..<4).flatMap { _ in ["prefill", "decode"] })
    for row in rows {
      #expect(row["repeatable"] as? Bool == true && row["within_contract"] as? Bool == true)
      #expect((row["tokens_per_s"] as? Double ?? 0) > 0)
    }
    // 2 blocks of 12d² + 13d, the norm's 2d and 50 rows of scores; keys and values of one token.
    #expect(rows[1]["read_bytes"] as? Double == Double(4 * (2 * (12 * 1024 + 13 * 32) + 64 + 1600) + 8 * 32 * 2))
    try withModel { folder, _ in
      let (_, rows) = try benchmarkReport([
        "bench", "generate", "--model", folder, "--depths", "64", "--batch", "2", "--repeats", "2", "--format", "json",
      ])
      #expect(rows.count == 2 && rows[0]["depth"] as? Int == 64)
      for arguments in [["--depths", "65"], ["--shape", "l1h1d8v9"]] {
        let run = try AttentionProcess(["bench", "generate", "--model", folder] + arguments)
        #expect(run.exitCode == 64 && run.complaints.count == 1, "\(run.errors)")
      }
    }
  }

  @Test(
    "A shape that is none is an error",
    arguments: [
      "", "l2", "l2h3d32v50", "l2h2d32v50x", "l2l2h2d32v50", "l0h2d32v50", "l9999999999999999999h2d32v50",
      "l9h1d16777216v50",
    ])
  func wrongShapes(shape: String) throws {
    let run = try AttentionProcess(["bench", "generate", "--shape", shape])
    #expect(run.exitCode == 64 && run.complaints.count == 1 && !run.wasKilled, "\(run.errors)")
  }
}
