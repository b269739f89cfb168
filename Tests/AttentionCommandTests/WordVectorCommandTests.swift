import Attention
import AttentionModels
import Foundation
import Testing

/// `attention embed` and `attention similar` over a folder of word vectors.
@Suite struct WordVectorCommandTests {
  /// Calls `body` with the folder of a model of five words, and a file of lines.
  private func withModel(_ lines: [String], _ body: (_ model: String, _ input: String) throws -> Void) throws {
    try withTemporaryFolder { folder in
      var generator = SeededGenerator(seed: 1)
      var model = SkipGram(
        vocabulary: WordVocabulary(["the", "cat", "dog", "ship", "king's"]), width: 3, using: &generator)
      model.embeddings.weight = Tensor([1, 0, 0, 0, 1, 0, 0, 0.9, 0.1, 0, 0, 1, 2, 2, 2], shape: [5, 3])
      let path = folder.appendingPathComponent("model").path
      try model.save(to: ModelFolder(path: path))
      let input = folder.appendingPathComponent("lines")
      try Data(lines.joined(separator: "\n").utf8).write(to: input)
      try body(path, input.path)
    }
  }

  @Test("A row for each line: the mean of its known words, zeros and a warning where there are none")
  func embed() throws {
    let lines = ["The cat", "", "King’s SHIP, unknown", "nothing known"]
    try withModel(lines) { model, input in
      let run = try AttentionProcess(["embed", "--model", model, "--input", input])
      #expect(run.exitCode == 0 && run.complaints.isEmpty, "\(run.errors)")
      let rows = try EmbedCommandTests.rows(run.output)
      #expect(rows.map(\.text) == lines)
      #expect(rows.map(\.embedding) == [[0.5, 0.5, 0], [0, 0, 0], [1, 1, 1.5], [0, 0, 0]])
      for line in [2, 4] {
        #expect(run.errors.contains("line \(line) has no word that the model knows"), "\(run.errors)")
      }
      #expect(run.errorLines.count == 2)
      let output = model + "/rows.npy"
      let file = try AttentionProcess([
        "embed", "--model", model, "--input", input, "--format", "npy", "--output", output,
      ])
      #expect(file.exitCode == 0, "\(file.errors)")
      let shape = try NumPyFile(path: output).tensor().shape
      #expect(shape == [4, 3])
    }
  }

  @Test("More lines without a known word than are named are counted")
  func manyUnknown() throws {
    try withModel([String](repeating: "what", count: 8)) { model, input in
      let run = try AttentionProcess(["embed", "--model", model, "--input", input])
      #expect(run.exitCode == 0 && run.errorLines.count == 6, "\(run.errors)")
      #expect(run.errors.contains("8 lines in all have no word that the model knows"))
    }
  }

  @Test("Lines are ranked by the cosine of their means")
  func similar() throws {
    try withModel(["ship", "what", "the dog", "dog", "cat cat"]) { model, input in
      let run = try AttentionProcess(
        ["similar", "--model", model, "--input", input, "--query", "a Cat", "--top", "3", "--threads", "1"])
      #expect(run.exitCode == 0)
      let texts = run.output.split(separator: "\n").map { $0.split(separator: "  ", maxSplits: 1)[1] }
      #expect(texts == ["cat cat", "dog", "the dog"], "\(run.output)")
      let unknown = try AttentionProcess(["similar", "--model", model, "--input", input, "--query", "what"])
      #expect(unknown.exitCode == 0 && unknown.errors.contains("the query has no word"))
    }
  }

  @Test("What such a folder cannot do, and damaged ones, end with one line and an exit code")
  func errors() throws {
    try withModel(["cat"]) { model, input in
      let arguments = ["embed", "--model", model, "--input", input]
      let limited = try AttentionProcess(arguments + ["--max-length", "5"])
      #expect(limited.exitCode == 64 && limited.errors.contains("texts of any length"), "\(limited.errors)")
      try Data("the\ncat\n".utf8).write(to: URL(filePath: model + "/vocab.txt"))
      let damaged = try AttentionProcess(arguments)
      #expect(
        damaged.exitCode == 65 && damaged.errorLines.count == 1 && damaged.errors.contains("vocab.txt"),
        "\(damaged.errors)")
      try FileManager.default.removeItem(atPath: model + "/vocab.txt")
      let missing = try AttentionProcess(arguments)
      #expect(
        missing.exitCode == 66 && missing.errorLines.count == 1 && missing.errors.contains("vocab.txt"),
        "\(missing.errors)")
    }
  }
}
