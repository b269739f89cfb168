import Attention
import AttentionModels
import Foundation
import Testing

@Suite struct WordVectorsTests {
  private let vectors = WordVectors(
    vocabulary: WordVocabulary(["king", "queen", "sheep", "nothing", "kings"]),
    rows: Tensor([3, 4, 0, 6, 8, 0.5, -1, 0, 2, 0, 0, 0, -3, -4, 0], shape: [5, 3]))

  @Test("A word's row, and the words whose rows have the largest cosines with it")
  func neighbours() throws {
    #expect(vectors["queen"]?.scalars == [6, 8, 0.5] && vectors["Queen"] == nil)
    let found = try #require(vectors.nearest(to: "king", count: 10))
    #expect(found.map(\.word) == ["queen", "nothing", "sheep", "kings"] && found.map(\.id) == [1, 3, 2, 4])
    // 50 / (5 · √100.25), 0 of zeros, −3 / (5 · √5) and −1.
    let cosines: [Float] = [0.998_752_3, 0, -0.268_328_2, -1]
    #expect(zip(found.map(\.cosine), cosines).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(vectors.nearest(to: "king", count: 1)?.map(\.word) == ["queen"])
    #expect(vectors.nearest(to: "prince") == nil)
    // king − sheep: the row may be anything.
    let row = try #require(vectors["king"]) - (try #require(vectors["sheep"]))
    #expect(vectors.nearest(to: row, count: 2, except: [0]).map(\.word) == ["queen", "nothing"])
    #expect(vectors.nearest(to: Tensor(zeros: [3]), count: 9).map(\.cosine) == [0, 0, 0, 0, 0])
  }

  @Test("A text is the mean of its known words; zeros of none")
  func texts() {
    let result = vectors.result(for: ["King, queen! unknown", "", "…", "sheep sheep kings"])
    #expect(result.rows.shape == [4, 3] && result.tokenCounts == [2, 0, 0, 3])
    #expect(result.isTruncated == [false, false, false, false])
    let expected: [Float] = [4.5, 6, 0.25, 0, 0, 0, 0, 0, 0, -5.0 / 3, -4.0 / 3, 4.0 / 3]
    #expect(result.rows.scalars == expected)
    #expect(vectors.embed("queen").scalars == [6, 8, 0.5])
    #expect(vectors.embed([]).shape == [0, 3])
  }

  @Test("Many texts on all threads give what each gives alone")
  func manyTexts() {
    let texts = (0..<3000).map { "king \($0) " + String(repeating: "sheep queen ", count: $0 % 7) }
    let rows = vectors.embed(texts)
    for index in stride(from: 0, to: texts.count, by: 97) {
      #expect(haveSameBits(rows.sliced(index..<index + 1).reshaped(to: [3]), vectors.embed(texts[index])))
    }
  }

  /// Calls `body` with the folder of a small model, and the model.
  private func withFolder(_ body: (URL, SkipGram) throws -> Void) throws {
    var generator = SeededGenerator(seed: 3)
    var model = SkipGram(vocabulary: WordVocabulary(["the", "café", "'s"]), width: 4, using: &generator)
    model.outputs.weight = Tensor(randomNormal: [3, 4], using: &generator)
    try withTemporaryFolder { folder in
      let target = folder.appending(path: "a/model")
      try model.save(to: target.modelFolder)
      try body(target, model)
    }
  }

  @Test("A saved folder is read as vectors, and as a model to be trained further")
  func saved() throws {
    try withFolder { folder, model in
      let read = try WordVectors(folder.modelFolder)
      #expect(read.vocabulary == model.vocabulary && haveSameBits(read.rows, model.embeddings.weight))
      let again = try SkipGram(folder.modelFolder)
      #expect(again.vocabulary == model.vocabulary)
      #expect(haveSameBits(again.embeddings.weight, model.embeddings.weight))
      #expect(haveSameBits(again.outputs.weight, model.outputs.weight))
      #expect(try folder.modelFolder.textEmbedder() is WordVectors)
    }
  }

  @Test("Initial embeddings are word2vec's, uniform on ±0.5/width, and outputs 0")
  func initialValues() {
    var generator = SeededGenerator(seed: 3)
    let vocabulary = WordVocabulary((0..<500).map { "w\($0)" })
    let model = SkipGram(vocabulary: vocabulary, width: 20, using: &generator)
    let values = model.embeddings.weight.scalars.map(Double.init)
    #expect(values.allSatisfy { abs($0) <= 0.025 })
    let square = values.reduce(0) { $0 + $1 * $1 } / Double(values.count)
    #expect(abs(square / (0.025 * 0.025 / 3) - 1) < 0.05)
    #expect(model.outputs.weight.scalars.allSatisfy { $0 == 0 })
  }

  @Test(
    "Files that contradict each other, and missing ones, are errors",
    arguments: [
      ("config.json", #"{"model_type":"skip-gram","vocab_size":4,"embedding_size":4}"#, "vocab_size is 4"),
      ("config.json", #"{"model_type":"skip-gram","vocab_size":3,"embedding_size":5}"#, "embeddings.weight"),
      ("config.json", #"{"model_type":"skip-gram","vocab_size":3}"#, "embedding_size is missing"),
      ("config.json", #"{"model_type":"skip-gram","vocab_size":-3,"embedding_size":4}"#, "vocab_size"),
      ("config.json", #"{"model_type":"cbow","vocab_size":3,"embedding_size":4}"#, "cbow"),
      ("config.json", "{", "config.json"), ("vocab.txt", "the\ncafé\n", "it has 2 words"),
      ("vocab.txt", "the\nthe\nthe\n", "twice"), ("model.safetensors", "", "model.safetensors"),
      ("model.safetensors", "\u{8}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}\u{0}{}      ", "embeddings.weight"),
    ])
  func wrongFiles(file: String, text: String, message: String) throws {
    try withFolder { folder, _ in
      let path = folder.appending(path: file)
      try Data(text.utf8).write(to: path)
      func isWanted(_ error: any Error) -> Bool { error is ModelFileError && "\(error)".contains(message) }
      #expect { _ = try WordVectors(folder.modelFolder) } throws: { isWanted($0) }
      #expect { _ = try SkipGram(folder.modelFolder) } throws: { isWanted($0) }
      try FileManager.default.removeItem(at: path)
      #expect(throws: ModelFileError.self) { try WordVectors(folder.modelFolder) }
    }
  }
}
