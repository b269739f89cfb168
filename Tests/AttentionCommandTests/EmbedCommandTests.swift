import Attention
import AttentionModels
import Foundation
import Testing

@Suite("attention embed and similar")
struct EmbedCommandTests {
  static let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "sat", "dog"]

  /// Writes a small model and lines of text, and runs a command on them.
  static func run(
    _ command: String, _ text: [UInt8], _ options: [String] = [], prepare: (URL) throws -> Void = { _ in },
    check: (AttentionProcess, URL) throws -> Void
  ) throws {
    try withTemporaryFolder { folder in
      var generator = SeededGenerator(seed: 1)
      let model = BERT(
        BERTConfiguration(
          vocabularySize: words.count, width: 8, blockCount: 2, heads: 2, feedForwardWidth: 16, maximumLength: 12,
          initialDeviation: 0.5), using: &generator)
      let models = folder.appendingPathComponent("model")
      try model.save(to: ModelFolder(path: models.path))
      try Data(words.joined(separator: "\n").utf8).write(to: models.appendingPathComponent("vocab.txt"))
      try prepare(models)
      let input = folder.appendingPathComponent("lines")
      try Data(text).write(to: input)
      let options = options.map { $0.replacingOccurrences(of: "FOLDER", with: folder.path) }
      try check(
        try AttentionProcess([command, "--model", models.path, "--input", input.path] + options), folder)
    }
  }

  struct Row: Decodable {
    let text: String
    let embedding: [Float]
  }

  static func rows(_ text: String) throws -> [Row] {
    try text.split(separator: "\n").map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) }
  }

  /// What the library makes of the lines.
  static func expected(_ folder: URL, _ texts: [String]) throws -> Tensor {
    try SentenceEncoder(ModelFolder(path: folder.appendingPathComponent("model").path)).embed(texts)
  }

  @Test("A row for each line in order, empty, damaged and long ones among them")
  func everyLineIsServed() throws {
    let long = Array(repeating: "cat", count: 30).joined(separator: " ")
    let text = Array("the cat\r\n\n".utf8) + [0x64, 0x6F, 0x67, 0xFF, 0x0A] + Array("\(long)\nthe dogs".utf8)
    try Self.run("embed", text) { run, folder in
      #expect(run.exitCode == 0 && run.complaints.isEmpty, "\(run.errors)")
      let rows = try Self.rows(run.output)
      let texts = ["the cat", "", "dog\u{FFFD}", long, "the dogs"]
      #expect(rows.map(\.text) == texts)
      let expected = try Self.expected(folder, texts)
      #expect(rows.flatMap(\.embedding) == expected.scalars)
      #expect(run.errorLines.contains { $0.contains("line 4 has more than 12 tokens") })
      #expect(run.errorLines.contains { $0.contains("line 3 holds bytes that are no UTF-8") })
    }
  }

  @Test("A line that is written to a waiting pipe is answered before the next one comes", .timeLimit(.minutes(2)))
  func linesAreAnsweredAsTheyCome() throws {
    try Self.run("embed", []) { _, folder in
      let process = Process()
      process.executableURL = try AttentionProcess.executable()
      process.arguments = ["embed", "--model", folder.appendingPathComponent("model").path]
      let (input, output) = (Pipe(), Pipe())
      (process.standardInput, process.standardOutput) = (input, output)
      try process.run()
      defer { if process.isRunning { process.terminate() } }
      for text in ["the cat", "dog", ""] {
        input.fileHandleForWriting.write(Data((text + "\n").utf8))
        var answer = Data()
        // The input is open still: an answer at all shows that nobody waits for its end.
        while answer.last != 0x0A {
          let piece = output.fileHandleForReading.availableData
          try #require(!piece.isEmpty)
          answer += piece
        }
        let rows = try Self.rows(String(decoding: answer, as: UTF8.self))
        let expected = try Self.expected(folder, [text])
        #expect(rows.map(\.text) == [text] && rows.flatMap(\.embedding) == expected.scalars)
      }
      try input.fileHandleForWriting.close()
      process.waitUntilExit()
      #expect(process.terminationStatus == 0)
    }
  }

  @Test("A model's default prompt goes before the lines, whatever their longest is")
  func defaultPrompt() throws {
    let prompts = #"{"prompts": {"query": "the dog "}, "default_prompt_name": "query"}"#
    for options in [[], ["--max-length", "11"]] {
      try Self.run(
        "embed", Array("cat\n".utf8), options,
        prepare: { try Data(prompts.utf8).write(to: $0.appendingPathComponent("config_sentence_transformers.json")) },
        check: { run, folder in
          #expect(run.exitCode == 0 && run.errors.isEmpty)
          try FileManager.default.removeItem(
            at: folder.appendingPathComponent("model/config_sentence_transformers.json"))
          let expected = try Self.expected(folder, ["the dog cat"])
          #expect(try Self.rows(run.output).flatMap(\.embedding) == expected.scalars)
        })
    }
  }

  @Test("attention bench embed: one caller, and tasks beside it")
  func benchmark() throws {
    try Self.run("embed", []) { _, folder in
      let lines = folder.appendingPathComponent("texts")
      try Data((0..<70).map { "the cat sat \($0 % 3 == 0 ? "dogs" : "")\n" }.joined().utf8).write(to: lines)
      let (_, rows) = try benchmarkReport([
        "bench", "embed", "--model", folder.appendingPathComponent("model").path, "--input", lines.path, "--mode",
        "single,concurrent", "--tasks", "3", "--repeats", "2", "--format", "json",
      ])
      #expect(rows.map { $0["mode"] as? String } == ["unsorted", "single", "concurrent"])
      #expect(rows.map { $0["callers"] as? Int } == [1, 1, 3] && rows.map { $0["texts"] as? Int } == [70, 70, 210])
      for row in rows {
        #expect(row["repeatable"] as? Bool == true && row["within_contract"] as? Bool == true)
        #expect(try #require(row["tokens_per_s"] as? Double) > 0)
      }
      #expect(try #require(rows[2]["of_one_caller"] as? Double) > 0)
      #expect(rows[0]["of_one_caller"] is NSNull && rows[0]["output_rows"] as? Int == 70)
    }
    for options in [["--tasks", "0"], ["--tasks", "257"], ["--mode", "parallel"]] {
      let run = try AttentionProcess(["bench", "embed"] + options)
      #expect(run.exitCode == 64 && run.output.isEmpty)
    }
  }

  @Test("Reading MiniLM takes its weights and 20 MB more of memory at the most")
  func memoryOfLoading() throws {
    let model = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appendingPathComponent(".build/models/all-MiniLM-L6-v2")
    try #require(FileManager.default.fileExists(atPath: model.path), "scripts/fetch-model brings it")
    // A process of its own, in which nothing else takes memory.
    try withTemporaryFolder { folder in
      let lines = folder.appendingPathComponent("texts")
      try Data("A cat sat on the mat.\n".utf8).write(to: lines)
      let (_, rows) = try benchmarkReport([
        "bench", "embed", "--model", model.path, "--input", lines.path, "--mode", "single", "--repeats", "1",
        "--format",
        "json",
      ])
      let row = try #require(rows.first)
      let weights = try #require(row["weight_bytes"] as? Int)
      // 22.7 million parameters, the pooler's among them.
      #expect((90_000_000...92_000_000).contains(weights))
      #if os(Linux)
        let growth = try #require(row["load_resident_bytes"] as? Int)
        #expect(growth > weights / 2 && growth <= weights + 20_000_000, "\(growth) bytes for \(weights) of weights")
      #endif
    }
  }

  @Test func filesHoldTheRowsOfTheLines() throws {
    for (format, name) in [("npy", "rows.npy"), ("safetensors", "rows.safetensors"), ("jsonl", "rows.jsonl")] {
      let options = ["--format", format, "--output", "FOLDER/\(name)"]
      try Self.run("embed", Array("the cat\ndog\n".utf8), options) { run, folder in
        #expect(run.exitCode == 0 && run.output.isEmpty && run.errors.isEmpty, "\(run.errors)")
        let (path, expected) = (
          folder.appendingPathComponent(name).path, try Self.expected(folder, ["the cat", "dog"])
        )
        switch format {
        case "npy":
          let tensor = try NumPyFile(path: path).tensor()
          #expect(tensor == expected)
        case "safetensors":
          let tensor = try SafetensorsFile(path: path).tensor(named: "embeddings")
          #expect(tensor == expected)
        default:
          let rows = try Self.rows(String(contentsOfFile: path, encoding: .utf8))
          #expect(rows.flatMap(\.embedding) == expected.scalars)
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(files.count == 3)
      }
    }
  }

  @Test func noLinesGiveNoRows() throws {
    try Self.run("embed", []) { run, _ in #expect(run.exitCode == 0 && run.output.isEmpty && run.errors.isEmpty) }
    try Self.run("embed", [], ["--format", "npy", "--output", "FOLDER/x.npy"]) { run, folder in
      #expect(run.exitCode == 0)
      let tensor = try NumPyFile(path: folder.appendingPathComponent("x.npy").path).tensor()
      #expect(tensor.shape == [0, 8])
    }
  }

  @Test("The file that is read is never overwritten, and one that is replaced stays until the new one is whole")
  func inputsAreSafe() throws {
    try Self.run("embed", Array("cat\n".utf8), ["--output", "FOLDER/lines"]) { run, folder in
      #expect(run.exitCode == 64 && run.complaints.count == 1)
      let kept = try Data(contentsOf: folder.appendingPathComponent("lines"))
      #expect(kept == Data("cat\n".utf8))
    }
    // The model is damaged: found out after the output was opened.
    try Self.run(
      "embed", Array("cat\n".utf8), ["--output", "FOLDER/model/vocab.txt"],
      prepare: { folder in
        let path = folder.appendingPathComponent("model.safetensors").path
        let file = try SafetensorsFile(path: path)
        let damaged = try file.entries.map { entry -> (name: String, contents: TensorFileContents) in
          let tensor = try file.tensor(named: entry.name)
          return (
            entry.name,
            .float32(entry.name == "embeddings.LayerNorm.bias" ? Tensor(repeating: .nan, shape: tensor.shape) : tensor)
          )
        }
        try SafetensorsFile.write(damaged, to: path)
      },
      check: { run, folder in
        #expect(run.exitCode == 65 && run.complaints.count == 1 && run.errors.contains("line 1 is not finite"))
        let kept = try String(contentsOf: folder.appendingPathComponent("model/vocab.txt"), encoding: .utf8)
        #expect(kept == Self.words.joined(separator: "\n"))
      })
  }

  static let wrong: [(options: [String], files: [String: String], code: Int32, problem: String)] = [
    (["--format", "npy"], [:], 64, "--output"), (["--format", "xml"], [:], 64, "xml"),
    (["--max-length", "13"], [:], 64, "2 to 12 tokens"), (["--memory", "0"], [:], 64, "from 1"),
    (["--output", "FOLDER/none/x"], [:], 73, "none/x"),
    (["--format", "npy", "--output", "/dev/null"], [:], 73, "regular"),
    ([], ["config.json": "{"], 65, "not JSON"), ([], ["config.json": #"{"model_type": "t5"}"#], 65, "t5"),
    ([], ["vocab.txt": "[UNK]\n[CLS]"], 0, ""),
    ([], ["vocab.txt": (words + ["one", "more"]).joined(separator: "\n")], 65, "vocab_size is 9"),
    ([], ["model.safetensors": "x"], 65, "model.safetensors"),
    ([], ["modules.json": #"[{"idx": 0, "type": "a.Transformer", "path": "../x"}]"#], 65, "inside the folder"),
    ([], ["modules.json": #"[{"idx": 0, "type": "a.Dense", "path": ""}]"#], 65, "Dense"),
    ([], ["sentence_bert_config.json": #"{"max_seq_length": 13}"#], 65, "max_seq_length"),
    ([], ["sentence_bert_config.json": #"{"max_seq_length": 1}"#], 65, "2 tokens"),
    (
      [],
      [
        "tokenizer.json": #"""
        {"model": {"type": "WordPiece", "vocab": {"[UNK]": 0, "[CLS]": 1}, "unk_token": "[UNK]"},
        "pre_tokenizer": {"type": "BertPreTokenizer"}, "post_processor": {"type": "TemplateProcessing",
        "single": [{"Sequence": {"id": "A", "type_id": 7}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}},
        {"Sequence": {"id": "B", "type_id": 0}}], "special_tokens": {}}}
        """#
      ], 65, "segment 7"
    ),
  ]

  @Test("What is wrong with files and options is said on one line", arguments: wrong.indices)
  func errors(_ index: Int) throws {
    let (options, files, code, problem) = Self.wrong[index]
    try Self.run(
      "embed", Array("cat\n".utf8), options,
      prepare: { folder in
        for (name, text) in files { try Data(text.utf8).write(to: folder.appendingPathComponent(name)) }
      },
      check: { run, _ in
        #expect(run.exitCode == code && !run.wasKilled, "\(run.errors)")
        #expect(run.complaints.count == (code == 0 ? 0 : 1), "\(run.errors)")
        #expect(problem.isEmpty || run.errors.contains(problem), "\(run.errors)")
      })
  }

  @Test("Fewer blocks than the weights have are an error, not another model")
  func contradictions() throws {
    for blocks in [0, 1, 3] {
      try Self.run(
        "embed", Array("cat\n".utf8),
        prepare: { folder in
          let file = folder.appendingPathComponent("config.json")
          let text = try String(contentsOf: file, encoding: .utf8)
          let changed = text.replacingOccurrences(
            of: "\"num_hidden_layers\":2", with: "\"num_hidden_layers\":\(blocks)")
          #expect(changed != text)
          try Data(changed.utf8).write(to: file)
        },
        check: { run, _ in
          #expect(run.exitCode == 65 && run.complaints.count == 1 && run.output.isEmpty, "\(run.errors)")
          #expect(run.errors.contains(blocks == 3 ? "encoder.layer.2" : "num_hidden_layers is \(blocks)"))
        })
    }
  }

  @Test func similarRanksLines() throws {
    let lines = "dog\nthe cat\ncat\nthe cats sat\nthe cat\n"
    try Self.run("similar", Array(lines.utf8), ["--query", "the cat", "--top", "3"]) { run, _ in
      #expect(run.exitCode == 0 && run.errors.isEmpty)
      let found = run.output.split(separator: "\n")
      #expect(found.count == 3)
      #expect(found[0] == "1.0000  the cat" && found[1] == "1.0000  the cat")
    }
    try Self.run("similar", Array(lines.utf8), ["--query", "the cat", "--format", "jsonl"]) { run, folder in
      struct Match: Decodable {
        let line: Int
        let score: Double
        let text: String
      }
      let found = try run.output.split(separator: "\n").map {
        try JSONDecoder().decode(Match.self, from: Data($0.utf8))
      }
      #expect(found.map(\.line).sorted() == [1, 2, 3, 4, 5])
      #expect(found.prefix(2).map(\.line) == [2, 5])
      #expect(zip(found, found.dropFirst()).allSatisfy { $0.score >= $1.score })
      // The model does not normalise; the cosine does.
      let texts = ["the cat"] + found.map(\.text)
      let rows = try Self.expected(folder, texts).scalars.map { Double($0) }
      func row(_ index: Int) -> [Double] { Array(rows[index * 8..<(index + 1) * 8]) }
      func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
      for (index, match) in found.enumerated() {
        let (query, line) = (row(0), row(index + 1))
        let cosine = dot(query, line) / (dot(query, query) * dot(line, line)).squareRoot()
        #expect(abs(match.score - cosine) <= 1e-6)
      }
    }
    try Self.run("similar", Array(lines.utf8)) { run, _ in #expect(run.exitCode == 64 && run.complaints.count == 1) }
  }

  @Test("Without --model, all-MiniLM-L6-v2, or how to fetch it")
  func defaultModel() throws {
    try withTemporaryFolder { folder in
      let process = Process()
      process.executableURL = try AttentionProcess.executable()
      process.arguments = ["embed", "--input", "/dev/null"]
      process.currentDirectoryURL = folder
      let errors = Pipe()
      process.standardError = errors
      try process.run()
      let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 66 && text.contains("scripts/fetch-model"))
    }
  }
}
