import AttentionModels
import AttentionTensors
import Foundation
import Testing

/// `attention train`, on a text of a few thousand words.
@Suite struct TrainCommandTests {
  /// Sentences of a small grammar: there is something to learn, and no two hundredths of the text are alike.
  static let text: String = {
    var generator = SeededGenerator(seed: 3)
    let (who, does, whom) = (
      ["the miller", "a heron", "the old king"], ["sees", "follows", "hears"], ["the river", "a bell"]
    )
    return (0..<1_500).map { line in
      "\(who.randomElement(using: &generator)!) \(does.randomElement(using: &generator)!) "
        + "\(whom.randomElement(using: &generator)!).\(line % 5 == 4 ? "\n" : " ")"
    }.joined()
  }()

  /// A model small enough to be trained in a second.
  static let small = [
    "--width", "32", "--blocks", "2", "--heads", "2", "--length", "32", "--vocabulary", "300", "--batch-tokens", "256",
    "--threads", "1",
  ]

  /// The same for a kind that has no use for some of it.
  private func small(without names: String...) -> [String] {
    stride(from: 0, to: Self.small.count, by: 2).filter { !names.contains(Self.small[$0]) }
      .flatMap { Self.small[$0..<$0 + 2] }
  }

  private func withText(_ body: (_ folder: String, _ text: String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      let path = folder.appendingPathComponent("text.txt").path
      try TrainCommandTests.text.write(toFile: path, atomically: true, encoding: .utf8)
      try body(folder.path, path)
    }
  }

  private func events(_ text: String) throws -> [[String: Any]] {
    try text.utf8.split(separator: UInt8(ascii: "\n")).map {
      try #require(try JSONSerialization.jsonObject(with: Data($0)) as? [String: Any])
    }
  }

  @Test func `a gpt learns a text, and its folder generates`() throws {
    try withText { folder, text in
      let model = "\(folder)/model"
      let run = try AttentionProcess(
        ["train", "--kind", "gpt", "--data", text, "--output", model, "--steps", "150", "--rate", "0.01"]
          + Self.small + ["--format", "jsonl"])
      #expect(run.exitCode == 0, "\(run.errors)")
      let events = try events(run.output)
      let looks = events.filter { $0["event"] as? String == "evaluation" }
      let bits = try looks.map { try #require($0["bits_per_byte"] as? Double) }
      // The grammar's own entropy is log2(3 · 3 · 2) bits for some 29 bytes.
      #expect(try #require(bits.last) < 0.4)
      #expect(try #require(bits.last) < 0.3 * bits[0])
      #expect(events.filter { $0["event"] as? String == "step" }.count == 150)
      let kept = try String(contentsOfFile: "\(model)/training/metrics.jsonl", encoding: .utf8)
      #expect(kept == run.output)

      let generated = try AttentionProcess(
        ["generate", "--model", model, "--prompt", "the miller", "--max-tokens", "12"])
      #expect(generated.exitCode == 0, "\(generated.errors)")
      let words = ["sees", "follows", "hears"]
      #expect(words.contains { generated.output.hasPrefix(" \($0)") }, "\(generated.output)")
    }
  }

  @Test func `runs that are killed at fifty moments go on, and end as one that was not`() throws {
    try withText { folder, text in
      func arguments(_ output: String, steps: Int) -> [String] {
        [
          "train", "--kind", "gpt", "--data", text, "--output", output, "--steps", "\(steps)", "--evaluate-every", "7",
          "--checkpoint-every", "3", "--resume",
        ] + Self.small
      }
      func seconds(_ output: String, steps: Int) throws -> Double {
        let started = ContinuousClock.now
        let run = try AttentionProcess(arguments(output, steps: steps))
        #expect(run.exitCode == 0, "\(run.errors)")
        return started.duration(to: .now) / .seconds(1)
      }
      func file(_ folder: String, _ name: String) throws -> Data {
        try #require(FileManager.default.contents(atPath: "\(folder)/\(name)"), "\(folder)/\(name)")
      }
      let steps = 120
      let whole = "\(folder)/whole"
      let (begin, all) = (try seconds("\(folder)/empty", steps: 0), try seconds(whole, steps: steps))
      var generator = SeededGenerator(seed: 8)
      var (kills, runs) = (0, 0)
      while kills < 50 {
        runs += 1
        let cut = "\(folder)/cut\(runs)"
        var isDone = false
        while !isDone, kills < 50 {
          let process = Process()
          process.executableURL = try AttentionProcess.executable()
          process.arguments = arguments(cut, steps: steps)
          process.standardOutput = FileHandle.nullDevice
          process.standardError = FileHandle.nullDevice
          try process.run()
          Thread.sleep(forTimeInterval: .random(in: 0...begin + all / 20, using: &generator))
          if process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            kills += 1
          } else {
            isDone = true
          }
          process.waitUntilExit()
          #expect(!isDone || process.terminationStatus == 0)
          // What others load is whole at every moment.
          if FileManager.default.fileExists(atPath: "\(cut)/model.safetensors") {
            #expect(throws: Never.self) { try GPT2(ModelFolder(path: cut)) }
          }
        }
        _ = try seconds(cut, steps: steps)
        for name in ["model.safetensors", "tokenizer.json", "config.json", "training/last.safetensors"] {
          #expect(try file(cut, name) == file(whole, name), "\(name)")
        }
        let left = try FileManager.default.subpathsOfDirectory(atPath: cut).filter { $0.contains(".tensors-") }
        #expect(left.isEmpty)
      }
    }
  }

  @Test(arguments: [SIGINT, SIGTERM]) func `a run that is asked to stop keeps its last step`(signal: Int32) throws {
    try withText { folder, text in
      let output = "\(folder)/model"
      let process = Process()
      process.executableURL = try AttentionProcess.executable()
      process.arguments =
        ["train", "--kind", "gpt", "--data", text, "--output", output, "--steps", "1000000"] + Self.small
      let errors = Pipe()
      process.standardOutput = FileHandle.nullDevice
      process.standardError = errors
      try process.run()
      let metrics = "\(output)/training/metrics.jsonl"
      while process.isRunning, (try? String(contentsOfFile: metrics, encoding: .utf8))?.contains("\"step\":5,") != true
      {
        Thread.sleep(forTimeInterval: 0.01)
      }
      kill(process.processIdentifier, signal)
      // A command that does not listen would go on for hours.
      for _ in 0..<3_000 where process.isRunning { Thread.sleep(forTimeInterval: 0.01) }
      if process.isRunning { kill(process.processIdentifier, SIGKILL) }
      process.waitUntilExit()
      #expect(process.terminationStatus == 130)
      let message = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      let events = try events(String(contentsOfFile: metrics, encoding: .utf8))
      let steps = events.filter { $0["event"] as? String == "step" }.compactMap { $0["step"] as? Int }
      #expect(events.last?["event"] as? String == "checkpoint")
      #expect(events.last?["step"] as? Int == steps.last)
      #expect(message.contains("stopped after step \(steps.last ?? 0)"), "\(message)")
    }
  }

  // MARK: The other kinds

  private func losses(_ events: [[String: Any]], _ event: String, _ key: String = "loss") throws -> [Double] {
    try events.filter { $0["event"] as? String == event }.map { try #require($0[key] as? Double) }
  }

  @Test(arguments: ["lstm", "gru", "rnn"]) func `a recurrent network learns a text, and generates`(kind: String) throws
  {
    try withText { folder, text in
      let model = "\(folder)/model"
      let run = try AttentionProcess(
        ["train", "--kind", kind, "--data", text, "--output", model, "--steps", "80", "--rate", "0.01"]
          + small(without: "--heads")
          + ["--format", "jsonl"])
      #expect(run.exitCode == 0, "\(run.errors)")
      let bits = try losses(events(run.output), "evaluation", "bits_per_byte")
      #expect(try #require(bits.last) < 1)
      let generated = try AttentionProcess(["generate", "--model", model, "--prompt", "the", "--max-tokens", "9"])
      #expect(generated.exitCode == 0 && generated.output.count > 5, "\(generated.errors)")
    }
  }

  @Test(arguments: ["tokens", "spans"]) func `a bert learns what was hidden, and embeds`(masking: String) throws {
    try withText { folder, text in
      let model = "\(folder)/model"
      let run = try AttentionProcess(
        ["train", "--kind", "bert", "--data", text, "--output", model, "--steps", "60", "--masking", masking]
          + Self.small + ["--format", "jsonl"])
      #expect(run.exitCode == 0, "\(run.errors)")
      let events = try events(run.output)
      let masked = try losses(events, "evaluation", "loss of masked tokens")
      #expect(try #require(masked.last) < masked[0])
      #expect(try losses(events, "evaluation", "loss of next sentence").allSatisfy { $0.isFinite })
      let embedded = try AttentionProcess(["embed", "--model", model, "--input", text])
      #expect(embedded.exitCode == 0, "\(embedded.errors)")
      #expect(embedded.output.split(separator: "\n").count == 300)
    }
  }

  @Test func `word vectors are learnt, and rank words`() throws {
    try withText { folder, text in
      let model = "\(folder)/model"
      let run = try AttentionProcess(
        [
          "train", "--kind", "skipgram", "--data", text, "--output", model, "--format", "jsonl", "--width", "8",
          "--threads", "1",
        ])
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(try !losses(events(run.output), "step").isEmpty)
      let words = "\(folder)/words.txt"
      try "heron\nmiller\nbell\n".write(toFile: words, atomically: true, encoding: .utf8)
      let ranked = try AttentionProcess(["similar", "--model", model, "--query", "king", "--input", words])
      #expect(ranked.exitCode == 0, "\(ranked.errors)")
      #expect(ranked.output.split(separator: "\n").count == 3)
    }
  }

  @Test(arguments: ["multihead", "additive"]) func `pairs are learnt`(attention: String) throws {
    try withTemporaryFolder { folder in
      var generator = SeededGenerator(seed: 4)
      let lines = (0..<400).map { _ in
        let letters = (0..<Int.random(in: 1...3, using: &generator)).map { _ in
          String("abcde".randomElement(using: &generator)!)
        }
        return letters.joined(separator: " ") + "\t" + letters.reversed().joined(separator: " ")
      }
      let data = folder.appendingPathComponent("pairs.tsv").path
      try lines.joined(separator: "\n").write(toFile: data, atomically: true, encoding: .utf8)
      let run = try AttentionProcess(
        [
          "train", "--kind", "seq2seq", "--attention", attention, "--data", data, "--output",
          folder.appendingPathComponent("model").path, "--steps", "250", "--rate", "0.01", "--dropout", "0",
        ] + (attention == "additive" ? small(without: "--heads", "--blocks") : Self.small))
      #expect(run.exitCode == 0, "\(run.errors)")
      let last = try #require(run.output.split(separator: "\n").last)
      let share = try #require(last.split(separator: " ").compactMap { Double($0) }.first, "\(last)")
      #expect(share > 80, "\(run.output)")
    }
  }

  // MARK: What cannot be done

  @Test(arguments: [
    ("", 65, "holds no text"), (" \n\t\n", 65, "holds no text"), ("abc\n\u{FFFD}", 0, ""), ("x", 65, "text.txt"),
  ]) func `a text that cannot be trained on is an error, and makes no folder`(text: String, code: Int, message: String)
    throws
  {
    try withTemporaryFolder { folder in
      let path = folder.appendingPathComponent("text.txt").path
      var bytes = Data(text.utf8)
      // U+FFFD stands for a byte that is no UTF-8.
      if text.contains("\u{FFFD}") { bytes = Data("abc\n".utf8) + [0xFF] }
      try bytes.write(to: URL(filePath: path))
      let output = "\(folder.path)/model"
      let run = try AttentionProcess(
        ["train", "--kind", "gpt", "--data", path, "--output", output, "--steps", "1"] + Self.small)
      if code == 0 {
        #expect(run.exitCode == 65)
        #expect(run.errors.contains("line 2") && run.errors.contains("UTF-8"), "\(run.errors)")
      } else {
        #expect(run.exitCode == code)
        #expect(run.errors.contains(message), "\(run.errors)")
      }
      #expect(!FileManager.default.fileExists(atPath: output))
    }
  }

  @Test func `one giant line is a text like another`() throws {
    try withTemporaryFolder { folder in
      let path = folder.appendingPathComponent("text.txt").path
      try String(repeating: "no end in sight, ", count: 30_000).write(toFile: path, atomically: true, encoding: .utf8)
      let run = try AttentionProcess(
        ["train", "--kind", "gpt", "--data", path, "--output", "\(folder.path)/model", "--steps", "3"] + Self.small)
      #expect(run.exitCode == 0, "\(run.errors)")
    }
  }

  @Test func `files and folders that cannot be used are errors`() throws {
    try withText { folder, text in
      func run(_ data: String, _ output: String, _ more: [String] = []) throws -> AttentionProcess {
        try AttentionProcess(
          ["train", "--kind", "gpt", "--data", data, "--output", output, "--steps", "2"] + Self.small + more)
      }
      let missing = try run("\(folder)/none.txt", "\(folder)/a")
      #expect(missing.exitCode == 66 && missing.errors.contains("none.txt"), "\(missing.errors)")
      let file = try run(text, "\(text)/model")
      #expect(file.exitCode == 73 && file.errors.contains("cannot be written"), "\(file.errors)")

      let output = "\(folder)/model"
      #expect(try run(text, output).exitCode == 0)
      let model = FileManager.default.contents(atPath: "\(output)/model.safetensors")
      let again = try run(text, output)
      #expect(again.exitCode == 73 && again.errors.contains("--resume"), "\(again.errors)")
      let other = try run(text, output, ["--resume", "--blocks", "3"])
      #expect(other.exitCode == 65 && other.errors.contains("blocks 2, not 3"), "\(other.errors)")
      let shorter = "\(folder)/other.txt"
      try (Self.text + "the end.").write(toFile: shorter, atomically: true, encoding: .utf8)
      let changed = try run(shorter, output, ["--resume"])
      #expect(changed.exitCode == 65 && changed.errors.contains("held-out"), "\(changed.errors)")
      #expect(FileManager.default.contents(atPath: "\(output)/model.safetensors") == model)
      let done = try run(text, output, ["--resume"])
      #expect(done.exitCode == 0, "\(done.errors)")
    }
  }

  @Test func `a model that no run put there is not overwritten`() throws {
    try withText { folder, text in
      let model = "\(folder)/model"
      var generator = SeededGenerator(seed: 1)
      try GPT2(
        GPT2Configuration(vocabularySize: 9, width: 8, blockCount: 1, heads: 2, maximumLength: 8), using: &generator
      ).save(to: ModelFolder(path: model))
      let before = FileManager.default.contents(atPath: "\(model)/model.safetensors")
      for resume in [[], ["--resume"]] {
        let run = try AttentionProcess(
          ["train", "--kind", "gpt", "--data", text, "--output", model, "--steps", "2"] + Self.small + resume)
        #expect(run.exitCode == 73 && run.errors.contains("not trained here"), "\(run.errors)")
      }
      #expect(FileManager.default.contents(atPath: "\(model)/model.safetensors") == before)
      #expect(!FileManager.default.fileExists(atPath: "\(model)/tokenizer.json"))
    }
  }

  @Test func `a run of no steps leaves the model as it was drawn`() throws {
    try withText { folder, text in
      let model = "\(folder)/model"
      let run = try AttentionProcess(
        ["train", "--kind", "gpt", "--data", text, "--output", model, "--steps", "0"] + Self.small)
      #expect(run.exitCode == 0, "\(run.errors)")
      #expect(throws: Never.self) { try GPT2(ModelFolder(path: model)) }
    }
  }

  @Test(arguments: [
    ["--width", "30", "--heads", "4"], ["--length", "512", "--batch-tokens", "256"], ["--rate", "nan"],
    ["--dropout", "1"], ["--vocabulary", "12"], ["--masking", "spans"], ["--attention", "additive"],
    ["--kind", "lstm", "--heads", "2"], ["--kind", "skipgram", "--blocks", "2"],
    ["--kind", "bert", "--label-smoothing", "0.1"], ["--kind", "gpt3"], ["--steps", "-1"], ["--clip", "-1"],
  ]) func `options that cannot be meant are refused`(options: [String]) throws {
    try withText { folder, text in
      let kind = options[0] == "--kind" ? [] : ["--kind", "gpt"]
      let run = try AttentionProcess(["train", "--data", text, "--output", "\(folder)/model"] + kind + options)
      #expect(run.exitCode == 64, "\(run.errors)")
      #expect(!FileManager.default.fileExists(atPath: "\(folder)/model"))
    }
  }
}
