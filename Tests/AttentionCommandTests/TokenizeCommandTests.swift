import Foundation
import Testing

@Suite("attention tokenize")
struct TokenizeCommandTests {
  static let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "##s", "é", "\u{FFFD}"]

  /// Runs the command on these bytes, with a model of ``words``.
  static func run(
    _ bytes: [UInt8], _ options: [String] = [], model: [String: String]? = nil
  ) throws -> AttentionProcess {
    var result: AttentionProcess?
    try withTemporaryFolder { folder in
      for (name, text) in model ?? ["vocab.txt": words.joined(separator: "\n")] {
        try Data(text.utf8).write(to: folder.appendingPathComponent(name))
      }
      let input = folder.appendingPathComponent("input")
      try Data(bytes).write(to: input)
      result = try AttentionProcess(["tokenize", "--model", folder.path, "--input", input.path] + options)
    }
    return try #require(result)
  }

  struct Row: Decodable, Equatable {
    let ids: [Int]
    let tokens: [String]
    let offsets: [[Int]]
  }

  static func rows(_ text: String) throws -> [Row] {
    #expect(text.isEmpty || text.hasSuffix("\n"))
    return try text.split(separator: "\n").map { try JSONDecoder().decode(Row.self, from: Data($0.utf8)) }
  }

  @Test func aRowForEachLine() throws {
    let run = try Self.run(Array("The cats\r\n\nthe\n👍 cat".utf8))
    #expect(run.exitCode == 0 && run.complaints.isEmpty)
    #expect(
      try Self.rows(run.output) == [
        Row(
          ids: [2, 4, 5, 6, 3], tokens: ["[CLS]", "the", "cat", "##s", "[SEP]"],
          offsets: [[0, 0], [0, 3], [4, 7], [7, 8], [0, 0]]),
        Row(ids: [2, 3], tokens: ["[CLS]", "[SEP]"], offsets: [[0, 0], [0, 0]]),
        Row(ids: [2, 4, 3], tokens: ["[CLS]", "the", "[SEP]"], offsets: [[0, 0], [0, 3], [0, 0]]),
        Row(
          ids: [2, 1, 5, 3], tokens: ["[CLS]", "[UNK]", "cat", "[SEP]"], offsets: [[0, 0], [0, 1], [2, 5], [0, 0]]),
      ])
    #expect(
      run.output.hasPrefix(####"{"ids":[2,4,5,6,3],"tokens":["[CLS]","the","cat","##s","[SEP]"],"offsets":[[0,0],"####))
  }

  @Test func optionsAreFollowed() throws {
    let text = Array("the cats the cats\n".utf8)
    #expect(try Self.rows(Self.run(text, ["--no-special"]).output)[0].ids == [4, 5, 6, 4, 5, 6])
    #expect(try Self.rows(Self.run(text, ["--max-length", "4"]).output)[0].ids == [2, 4, 5, 3])
    #expect(try Self.rows(Self.run(text, ["--max-length", "2", "--no-special"]).output)[0].ids == [4, 5])
    #expect(try Self.run([]).output.isEmpty)
  }

  @Test func damagedLinesAreServedAndCounted() throws {
    let run = try Self.run([0x74, 0x68, 0x65, 0x0A, 0x63, 0x61, 0x74, 0xFF, 0x0A, 0xC3, 0x0A, 0x74, 0x68, 0x65, 0x0A])
    #expect(run.exitCode == 0 && run.complaints.isEmpty)
    #expect(try Self.rows(run.output).map(\.ids) == [[2, 4, 3], [2, 5, 3], [2, 3], [2, 4, 3]])
    let warnings = run.errorLines.filter { $0.contains("U+FFFD") }
    #expect(warnings.count == 1 && warnings[0].contains("2 lines, first line 2, hold bytes that are no UTF-8"))
  }

  @Test func manyLinesKeepTheirOrder() throws {
    let lines = (0..<20_000).map { String(repeating: "cat ", count: $0 % 37) }
    let run = try Self.run(Array((lines.joined(separator: "\n") + "\n").utf8))
    #expect(run.exitCode == 0)
    #expect(try Self.rows(run.output).map(\.ids.count) == (0..<20_000).map { $0 % 37 + 2 })
  }

  static let wrong: [([String], [String: String]?, Int32, String)] = [
    (["--max-length", "0"], nil, 64, "from 1"), (["--max-length", "x"], nil, 64, "from 1"),
    (["--max-length", "1"], nil, 64, "puts 2 tokens around each text"), (["--pair"], nil, 64, "--pair"),
    (["--input", "/nonexistent"], nil, 66, "/nonexistent"), (["--input", "/"], nil, 66, "it is a folder"),
    (["--model", "/nonexistent"], nil, 66, "no such folder"), (["--model", ""], nil, 66, "no such folder"),
    ([], [:], 66, "tokenizer.json"), ([], ["tokenizer.json": "{"], 65, "not JSON"),
    ([], ["vocab.txt": "a"], 65, "[UNK]"), ([], ["vocab.json": "{}"], 66, "merges.txt"),
  ]

  @Test(arguments: wrong)
  func whatIsWrongIsSaid(options: [String], model: [String: String]?, code: Int32, problem: String) throws {
    let run = try Self.run(Array("the\n".utf8), options, model: model)
    #expect(run.exitCode == code && !run.wasKilled && run.output.isEmpty && run.complaints.count == 1, "\(run.errors)")
    #expect(run.errors.hasPrefix("attention: ") && run.errors.contains(problem), "\(run.errors)")
  }

  @Test func theModelOfTheScriptIsTheDefault() throws {
    let process = Process()
    process.executableURL = try AttentionProcess.executable()
    process.arguments = ["tokenize"]
    process.standardInput = FileHandle.nullDevice
    process.currentDirectoryURL = URL(fileURLWithPath: "/")
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 66 && text.contains("scripts/fetch-model brings it"), "\(text)")
  }

  /// Rows come while the input goes on, and the command ends when nobody reads them.
  @Test func aReaderThatLeavesEndsIt() throws {
    try withTemporaryFolder { folder in
      try Data(Self.words.joined(separator: "\n").utf8).write(to: folder.appendingPathComponent("vocab.txt"))
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = [
        "-c", "yes 'the cat' | { \"$0\" tokenize --model \"$1\"; echo $? >&2; } | head -n 1",
        try AttentionProcess.executable().path, folder.path,
      ]
      let (output, errors) = (Pipe(), Pipe())
      process.standardOutput = output
      process.standardError = errors
      try process.run()
      let row = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(try Self.rows(row).map(\.ids) == [[2, 4, 5, 3]])
      #expect(text.split(separator: "\n").first { !$0.contains("warning") } == "0", "\(text)")
    }
  }

  @Test func theBenchmarkTellsItsSpeed() throws {
    try withTemporaryFolder { folder in
      try Data(Self.words.joined(separator: "\n").utf8).write(to: folder.appendingPathComponent("vocab.txt"))
      let input = folder.appendingPathComponent("texts")
      try Data("the cat\nthe\n".utf8).write(to: input)
      let arguments = ["bench", "tokenize", "--model", folder.path, "--input", input.path, "--repeats", "2"]
      let rows = try benchmarkReport(arguments + ["--format", "json"]).rows
      #expect(rows.count == 3 && rows.allSatisfy { $0["tokens"] as? Int == 7 && $0["texts"] as? Int == 2 })
      #expect(rows.allSatisfy { ($0["mb_per_s"] as? Double ?? 0) > 0 && $0["repeatable"] as? Bool == true })
      let table = try AttentionProcess(arguments)
      #expect(table.exitCode == 0 && table.output.contains("tokens/s"))
    }
  }
}
