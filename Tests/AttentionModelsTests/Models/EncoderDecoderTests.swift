import Attention
import AttentionModels
import Foundation
import Testing

/// What PyTorch computed around `nn.Transformer`: see `scripts/make-encoder-decoder-fixtures`.
struct EncoderDecoderFixture: Decodable {
  let sources: [[Int]]
  let targets: [[Int]]
  let greedy: [[Int]]

  var sourceLayout: SequenceLayout { SequenceLayout(lengths: sources.map(\.count)) }
  var targetLayout: SequenceLayout { SequenceLayout(lengths: targets.map(\.count)) }

  static func read(_ name: String) throws -> EncoderDecoderFixture {
    try JSONDecoder().decode(
      EncoderDecoderFixture.self, from: Data(contentsOf: fixtureFolder("encoder-decoder/\(name)/expected.json")))
  }

  static func model(_ name: String) throws -> EncoderDecoder {
    try EncoderDecoder(fixtureFolder("encoder-decoder/\(name)").modelFolder)
  }

  func scores(_ model: EncoderDecoder) -> Tensor {
    model.scores(
      model(
        source: sources.flatMap { $0 }, sourceLayout: sourceLayout, target: targets.flatMap { $0 },
        targetLayout: targetLayout))
  }
}

@Suite struct EncoderDecoderTests {
  @Test("All cases are there") func count() throws {
    #expect(try fixtureNames("encoder-decoder").count == 4)
  }

  @Test("Scores are PyTorch's in float64, within 1e-5", arguments: try fixtureNames("encoder-decoder"))
  func scores(name: String) throws {
    let found = try EncoderDecoderFixture.read(name).scores(try EncoderDecoderFixture.model(name))
    let path = fixtureFolder("encoder-decoder/\(name)/expected.safetensors").path(percentEncoded: false)
    let expected = try SafetensorsFile(path: path).doubles(named: "scores")
    #expect(found.shape == expected.shape)
    let error = zip(found.scalars, expected.values).map { abs(Double($0) - $1) }.max() ?? .infinity
    #expect(error <= 1e-5, "\(error)")
  }

  @Test("Greedy targets are PyTorch's, token by token", arguments: try fixtureNames("encoder-decoder"))
  func greedy(name: String) async throws {
    let fixture = try EncoderDecoderFixture.read(name)
    let model = try EncoderDecoderFixture.model(name)
    let end = try #require(model.configuration.endID)
    let expected = fixture.greedy.map { $0.last == end ? $0.dropLast() : $0 }
    let options = GenerationOptions(maximumNewTokens: 40)
    #expect(try await model.generate(after: fixture.sources, options: options) == expected)
    for (source, target) in zip(fixture.sources, expected) {
      #expect(try await model.generate(after: [source], options: options) == [target])
    }
  }

  @Test("Step by step, rows are those of the whole target", arguments: [[1], [3, 1, 9], [13, 13]])
  func incrementalIsWhole(chunks: [Int]) throws {
    let fixture = try EncoderDecoderFixture.read("shared-tied")
    let model = try EncoderDecoderFixture.model("shared-tied")
    // The first and the last target at once, the second between them with nothing to read.
    let sources = SequenceLayout(lengths: [7, 1, 19])
    var state = model.makeState(source: fixture.sources.flatMap { $0 }, layout: sources)
    let (target, layout) = (fixture.targets[2], SequenceLayout(lengths: [0, 0, 26]))
    let whole = model(
      source: fixture.sources.flatMap { $0 }, sourceLayout: sources, target: target, targetLayout: layout)
    let expected = model.scores(whole)
    var (first, turn) = (0, 0)
    while first < target.count {
      let count = min(chunks[turn % chunks.count], target.count - first)
      let found = model.scores(
        after: Array(target[first..<first + count]), layout: SequenceLayout(lengths: [0, 0, count]), state: &state)
      first += count
      turn += 1
      #expect(agree(found, expected.sliced(first - 1..<first)))
    }
    #expect(state.lengths == [0, 0, 26])
  }

  @Test("A pair's rows do not depend on its batch mates", arguments: try fixtureNames("encoder-decoder"))
  func batchIsAlone(name: String) throws {
    let fixture = try EncoderDecoderFixture.read(name)
    let model = try EncoderDecoderFixture.model(name)
    let together = fixture.scores(model)
    for (index, (source, target)) in zip(fixture.sources, fixture.targets).enumerated() {
      let alone = model.scores(
        model(
          source: source, sourceLayout: SequenceLayout(lengths: [source.count]), target: target,
          targetLayout: SequenceLayout(lengths: [target.count])))
      #expect(agree(alone, together.sliced(fixture.targetLayout.range(of: index))))
    }
  }

  @Test("Changing a target's token changes nothing before it; changing the source, everything")
  func masks() throws {
    let model = try EncoderDecoderFixture.model("plain")
    func rows(_ source: [Int], _ target: [Int]) -> Tensor {
      model(
        source: source, sourceLayout: SequenceLayout(lengths: [source.count]), target: target,
        targetLayout: SequenceLayout(lengths: [target.count]))
    }
    let before = rows([5, 6, 7, 8], [1, 9, 10, 11, 12])
    let after = rows([5, 6, 7, 8], [1, 9, 10, 30, 12])
    #expect(haveSameBits(before.sliced(0..<3), after.sliced(0..<3)))
    #expect(!haveSameBits(before.sliced(3..<4), after.sliced(3..<4)))
    let other = rows([5, 6, 7, 9], [1, 9, 10, 11, 12])
    for row in 0..<5 { #expect(!haveSameBits(before.sliced(row..<row + 1), other.sliced(row..<row + 1))) }
  }

  @Test("Gradients flow to every parameter", arguments: [(true, true), (true, false), (false, true), (false, false)])
  func gradientsFlow(shares: Bool, isTied: Bool) {
    var generator = SeededGenerator(seed: 4)
    let model = EncoderDecoder(
      EncoderDecoderConfiguration(
        sourceVocabularySize: 20, width: 32, encoderBlocks: 2, decoderBlocks: 2, heads: 4, sharesEmbeddings: shares,
        isTied: isTied, dropout: 0.1, beginID: 0, endID: 1),
      using: &generator
    ).tracked()
    let loss = model.loss(
      source: [[2, 3, 4, 5], [6]], target: [[7, 8, 9], [10, 11]], dropout: DropoutKey(seed: 1))
    let slopes = gradients(of: loss, withRespectTo: model)
    #expect(slopes.names.count == model.namedTensors.count && slopes.names.count > 40)
    for (name, slope) in zip(slopes.names, slopes.tensors) {
      #expect(slope.isFinite && slope.scalars.contains { $0 != 0 }, "\(name)")
    }
  }

  @Test("It learns to turn sequences round")
  func learns() async throws {
    var generator = SeededGenerator(seed: 4)
    var model = EncoderDecoder(
      EncoderDecoderConfiguration(
        sourceVocabularySize: 8, width: 32, encoderBlocks: 1, decoderBlocks: 1, heads: 4, beginID: 0, endID: 1),
      using: &generator)
    let sources = (0..<24).map { _ in (0..<3).map { _ in Int.random(in: 2..<8, using: &generator) } }
    let targets = sources.map { Array($0.reversed()) }
    // Adam (Kingma and Ba, 1412.6980).
    var (means, squares): ([Tensor], [Tensor]) = ([], [])
    for step in 1...250 {
      let tracked = model.tracked()
      let slopes = gradients(of: tracked.loss(source: sources, target: targets), withRespectTo: tracked)
      if means.isEmpty { (means, squares) = (slopes.tensors.map { $0 * 0 }, slopes.tensors.map { $0 * 0 }) }
      var index = 0
      let (first, second) = (1 - Float(pow(0.9, Double(step))), 1 - Float(pow(0.98, Double(step))))
      model.update(by: slopes) { parameter, slope in
        defer { index += 1 }
        means[index] = 0.9 * means[index] + 0.1 * slope
        squares[index] = 0.98 * squares[index] + 0.02 * slope.squared()
        let root = (squares[index] * (1 / second)).squareRoot() + 1e-8
        return parameter - (0.004 / first) * means[index] / root
      }
    }
    #expect(try await model.generate(after: sources, options: .init(maximumNewTokens: 6)) == targets)
  }

  @Test("A saved folder loads again with the same bits", arguments: try fixtureNames("encoder-decoder"))
  func saved(name: String) throws {
    let model = try EncoderDecoderFixture.model(name)
    let fixture = try EncoderDecoderFixture.read(name)
    // To be looked at by `scripts/make-encoder-decoder-fixtures --check`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    func check(_ folder: URL) throws {
      try model.save(to: folder.modelFolder)
      let again = try EncoderDecoder(folder.modelFolder)
      #expect(again.configuration == model.configuration)
      #expect(haveSameBits(fixture.scores(again), fixture.scores(model)))
    }
    if let kept {
      try check(URL(filePath: kept).appending(path: "encoder-decoder/\(name)"))
    } else {
      try withTemporaryFolder { try check($0.appending(path: name)) }
    }
  }

  @Test(
    "A configuration that contradicts the weights or itself is an error",
    arguments: [
      (#""d_model": 32"#, #""d_model": 64"#), (#""num_heads": 4"#, #""num_heads": 3"#),
      (#""ffn_dim": 48"#, #""ffn_dim": 49"#), (#""decoder_layers": 2"#, #""decoder_layers": 3"#),
      (#""share_embeddings": false"#, #""share_embeddings": true"#),
      (#""final_norms": false"#, #""final_norms": true"#),
      (#""eos_token_id": 2"#, #""eos_token_id": 61"#), (#""source_vocab_size": 50"#, #""source_vocab_size": 5e7"#),
      (#""model_type": "attention-encoder-decoder""#, #""model_type": "gpt2""#),
    ])
  func wrongConfigurations(old: String, new: String) throws {
    try withTemporaryFolder { folder in
      let target = folder.appending(path: "model")
      try FileManager.default.copyItem(at: fixtureFolder("encoder-decoder/plain"), to: target)
      let file = target.appending(path: "config.json")
      let text = try String(contentsOf: file, encoding: .utf8)
      try #require(text.contains(old))
      try text.replacing(old, with: new).write(to: file, atomically: true, encoding: .utf8)
      #expect(throws: ModelFileError.self) { try EncoderDecoder(target.modelFolder) }
    }
  }

  @Test("A source that the model does not know is an error")
  func unknownSource() async throws {
    let model = try EncoderDecoderFixture.model("plain")
    await #expect(throws: GenerationError.unknownToken(index: 1, id: 50, vocabularySize: 50)) {
      _ = try await model.generate(after: [[1], [2, 50]])
    }
  }
}
