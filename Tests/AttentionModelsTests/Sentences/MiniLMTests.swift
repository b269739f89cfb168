import Attention
import AttentionModels
import AttentionTestSupport
import Foundation
import Testing

/// all-MiniLM-L6-v2, which scripts/fetch-model brings, against transformers in float64 over 228 texts
/// (scripts/make-model-fixtures).
@Suite struct MiniLMTests {
  static let encoder = Result { try SentenceEncoder(ModelFiles.miniLM) }

  static func texts() throws -> [String] {
    let text = try String(contentsOf: ModelFiles.fixture("minilm/texts.txt"), encoding: .utf8)
    // CRLF is one Character, and no end of a line here.
    var lines = text.unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    #expect(lines.last == "")
    lines.removeLast()
    return lines
  }

  static func expected() throws -> SafetensorsFile {
    try SafetensorsFile(path: ModelFiles.fixture("minilm/expected.safetensors").path)
  }

  @Test("The model is there: scripts/fetch-model brings it") func isThere() { #expect(ModelFiles.isMiniLMThere) }

  @Test("Embeddings, alone and together, sorted or not, in small batches and large")
  func embeddings() throws {
    let (encoder, texts, expected) = (try Self.encoder.get(), try Self.texts(), try Self.expected())
    #expect(texts.count == 228)
    #expect(encoder.pooling == .mean && encoder.normalizes && encoder.maximumLength == 256 && encoder.width == 384)
    let tokens = try expected.integers(named: "tokens").values
    let rows = try expected.tensor(named: "embeddings").scalars.map { Double($0) }
    for budget in [nil, 1, 100, 100_000] {
      let result = encoder.result(for: texts, options: EmbeddingOptions(tokenBudget: budget))
      #expect(result.tokenCounts == tokens)
      #expect(result.rows.shape == [texts.count, 384])
      let distance = largestDistance(result.rows.scalars, rows)
      #expect(distance <= 1e-5, "off by \(distance) with a budget of \(budget ?? 0)")
    }
    for index in stride(from: 0, to: texts.count, by: 5) {
      let row: Tensor = encoder.embed(texts[index])
      #expect(largestDistance(row.scalars, Array(rows[index * 384..<(index + 1) * 384])) <= 1e-5)
    }
  }

  @Test("Texts past the limit are cut, and the result says which")
  func truncation() throws {
    let (encoder, texts) = (try Self.encoder.get(), try Self.texts())
    let result = encoder.result(for: texts)
    let lengths = encoder.tokenizer.encode(texts).map(\.count)
    #expect(lengths.contains { $0 > 256 })
    #expect(result.isTruncated == lengths.map { $0 > 256 })
    #expect(result.tokenCounts == lengths.map { min(256, $0) })
  }

  @Test("Hidden states and the pooler's rows")
  func hiddenStates() throws {
    let (encoder, texts, expected) = (try Self.encoder.get(), try Self.texts(), try Self.expected())
    let hidden = try expected.tensor(named: "hidden").scalars.map { Double($0) }
    let pooled = try expected.tensor(named: "pooled").scalars.map { Double($0) }
    var checked = 0
    for (index, text) in texts.enumerated() {
      let inside = encoder.inspect(text, hiddenStates: Set(0...6))
      let count = inside.encoding.count
      for state in 0...6 {
        let token = (7 * index + 3 * state) % count
        let row = try #require(inside.hiddenStates[state]).sliced(token..<token + 1)
        let first = (index * 7 + state) * 384
        let distance = largestDistance(row.scalars, Array(hidden[first..<first + 384]))
        #expect(distance <= 1e-5, "state \(state) of text \(index) is off by \(distance)")
        checked += 1
      }
      let last = try #require(inside.hiddenStates[6])
      let row = encoder.model.pooled(last, layout: SequenceLayout(lengths: [count]))
      #expect(largestDistance(row.scalars, Array(pooled[index * 384..<(index + 1) * 384])) <= 1e-5)
    }
    #expect(checked == 7 * 228)
  }

  @Test("The word mouse: one vector per sense in the last layer, nearly one in all in the first")
  func mouse() throws {
    let (encoder, texts, expected) = (try Self.encoder.get(), try Self.texts(), try Self.expected())
    let lines = try expected.integers(named: "mouse_lines").values
    let places = try expected.integers(named: "mouse_tokens").values
    let cosines = try expected.doubles(named: "mouse_cosines").values
    for (layer, state) in [0, 6].enumerated() {
      let rows = zip(lines, places).map { line, place in
        let inside = encoder.inspect(texts[line], hiddenStates: [state])
        #expect(inside.tokens[place] == "mouse")
        return inside.hiddenStates[state]!.sliced(place..<place + 1).scalars.map { Double($0) }
      }
      func cosine(_ a: [Double], _ b: [Double]) -> Double {
        func dot(_ a: [Double], _ b: [Double]) -> Double { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        return dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
      }
      for one in 0..<6 {
        for other in 0..<6 {
          let found = cosine(rows[one], rows[other])
          #expect(abs(found - cosines[(layer * 6 + one) * 6 + other]) <= 1e-5)
          guard one != other else { continue }
          if state == 0 {
            #expect(found >= 0.95)
          } else if one / 2 == other / 2 {
            #expect(found >= 0.8, "one sense: \(found)")
          } else {
            #expect(found <= 0.8, "two senses: \(found)")
          }
        }
      }
    }
  }

  @Test("MiniLM that was saved reads back with the same bits")
  func saved() throws {
    let (encoder, texts) = (try Self.encoder.get(), try Self.texts())
    let expected: Tensor = encoder.embed(texts)
    // To be looked at by `scripts/check-saved-encoders`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    func check(_ folder: URL) throws {
      try encoder.save(to: folder.modelFolder)
      #expect(haveSameBits(try SentenceEncoder(folder.modelFolder).embed(texts), expected))
    }
    if let kept {
      try check(URL(filePath: kept).appending(path: "sentence-encoders/minilm"))
    } else {
      try ModelFiles.withTemporaryFolder(check)
    }
  }
}
