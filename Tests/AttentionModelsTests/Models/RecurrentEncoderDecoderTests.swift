import Attention
import AttentionModels
import Foundation
import Testing

/// What PyTorch computed: see `scripts/make-recurrent-fixtures`.
struct RecurrentEncoderDecoderFixture: Decodable {
  let sources: [[Int]]
  let targets: [[Int]]
  let greedy: [[Int]]

  var sourceLayout: SequenceLayout { SequenceLayout(lengths: sources.map(\.count)) }
  var targetLayout: SequenceLayout { SequenceLayout(lengths: targets.map(\.count)) }

  static func read(_ name: String) throws -> RecurrentEncoderDecoderFixture {
    try JSONDecoder().decode(
      RecurrentEncoderDecoderFixture.self,
      from: Data(contentsOf: fixtureFolder("recurrent-encoder-decoder/\(name)/expected.json")))
  }

  static func model(_ name: String) throws -> RecurrentEncoderDecoder {
    try RecurrentEncoderDecoder(fixtureFolder("recurrent-encoder-decoder/\(name)").modelFolder)
  }

  static func expected(_ name: String) throws -> SafetensorsFile {
    try SafetensorsFile(
      path: fixtureFolder("recurrent-encoder-decoder/\(name)/expected.safetensors").path(percentEncoded: false))
  }

  func hidden(_ model: RecurrentEncoderDecoder) -> Tensor {
    model.hidden(
      source: sources.flatMap { $0 }, sourceLayout: sourceLayout, target: targets.flatMap { $0 },
      targetLayout: targetLayout, dropout: nil)
  }

  func scores(_ model: RecurrentEncoderDecoder) -> Tensor { model.scores(hidden(model)) }
}

@Suite struct RecurrentEncoderDecoderTests {
  @Test("All cases are there") func count() throws {
    #expect(try fixtureNames("recurrent-encoder-decoder").count == 3)
  }

  @Test(
    "Scores and alignments are PyTorch's in float64, within 1e-5",
    arguments: try fixtureNames("recurrent-encoder-decoder"))
  func scores(name: String) throws {
    let fixture = try RecurrentEncoderDecoderFixture.read(name)
    let model = try RecurrentEncoderDecoderFixture.model(name)
    let expected = try RecurrentEncoderDecoderFixture.expected(name)
    #expect(excess(fixture.scores(model), try expected.doubles(named: "scores"), relative: 5e-6) <= 0)
    for (index, (source, target)) in zip(fixture.sources, fixture.targets).enumerated() {
      let weights = model.alignment(source: source, target: Array(target.dropFirst()))
      #expect(excess(weights, try expected.doubles(named: "alignment\(index)"), relative: 0) <= 0)
    }
  }

  @Test(
    "Gradients of every parameter are PyTorch's in float64", arguments: try fixtureNames("recurrent-encoder-decoder"))
  func gradientsAgree(name: String) throws {
    let fixture = try RecurrentEncoderDecoderFixture.read(name)
    let expected = try RecurrentEncoderDecoderFixture.expected(name)
    let model = try RecurrentEncoderDecoderFixture.model(name).tracked()
    let end = try #require(model.configuration.endID)
    let labels = fixture.targets.flatMap { $0.dropFirst() + [end] }
    let loss = model.crossEntropy(ofHidden: fixture.hidden(model), labels: labels)
    #expect(excess(loss.reshaped(to: [1]), try expected.doubles(named: "loss")) <= 0)
    let slopes = gradients(of: loss, withRespectTo: model)
    #expect(slopes.names.count == expected.entries.count { $0.name.hasPrefix("gradient/") })
    for (name, slope) in zip(slopes.names, slopes.tensors) {
      let wanted = try expected.doubles(named: "gradient/\(name)")
      #expect(excess(slope, wanted) <= 0, "\(name): \(excess(slope, wanted))")
    }
    // The same as a mean, from pairs without begin and end.
    let mean = model.loss(source: fixture.sources, target: fixture.targets.map { Array($0.dropFirst()) })
    #expect(abs(mean.scalars[0] - loss.scalars[0] / Float(labels.count)) <= 1e-5)
  }

  @Test("Greedy targets are PyTorch's, together and alone", arguments: try fixtureNames("recurrent-encoder-decoder"))
  func greedy(name: String) async throws {
    let fixture = try RecurrentEncoderDecoderFixture.read(name)
    let model = try RecurrentEncoderDecoderFixture.model(name)
    let end = try #require(model.configuration.endID)
    let expected = fixture.greedy.map { $0.last == end ? $0.dropLast() : $0 }
    let options = GenerationOptions(maximumNewTokens: 30)
    #expect(try await model.generate(after: fixture.sources, options: options) == expected)
    for (source, target) in zip(fixture.sources, expected) {
      #expect(try await model.generate(after: [source], options: options) == [target])
    }
  }

  @Test("Step by step, rows are those of the whole target", arguments: [[1], [3, 1, 9], [18]])
  func incrementalIsWhole(chunks: [Int]) throws {
    let fixture = try RecurrentEncoderDecoderFixture.read("plain")
    let model = try RecurrentEncoderDecoderFixture.model("plain")
    let whole = fixture.scores(model).sliced(fixture.targetLayout.range(of: 2))
    var state = model.makeState(source: fixture.sources.flatMap { $0 }, layout: fixture.sourceLayout)
    let target = fixture.targets[2]
    var (first, turn) = (0, 0)
    while first < target.count {
      let count = min(chunks[turn % chunks.count], target.count - first)
      let found = model.scores(
        after: Array(target[first..<first + count]), layout: SequenceLayout(lengths: [0, 0, count]), state: &state)
      first += count
      turn += 1
      #expect(agree(found, whole.sliced(first - 1..<first)))
    }
    #expect(state.lengths == [0, 0, 18])
    // The others stand where they stood.
    let others = model.scores(after: [1, 1], layout: SequenceLayout(lengths: [1, 1, 0]), state: &state)
    let begins = [fixture.targetLayout.offsets[0], fixture.targetLayout.offsets[1]]
    #expect(agree(others, fixture.scores(model).gathered(rows: begins)))
  }

  @Test("A pair's rows do not depend on its batch mates", arguments: try fixtureNames("recurrent-encoder-decoder"))
  func batchIsAlone(name: String) throws {
    let fixture = try RecurrentEncoderDecoderFixture.read(name)
    let model = try RecurrentEncoderDecoderFixture.model(name)
    let together = fixture.scores(model)
    for (index, (source, target)) in zip(fixture.sources, fixture.targets).enumerated() {
      let alone = model.scores(
        model.hidden(
          source: source, sourceLayout: SequenceLayout(lengths: [source.count]), target: target,
          targetLayout: SequenceLayout(lengths: [target.count]), dropout: nil))
      #expect(agree(alone, together.sliced(fixture.targetLayout.range(of: index))))
    }
  }

  @Test("States are chosen with their sources, repeated and forgotten")
  func states() throws {
    let fixture = try RecurrentEncoderDecoderFixture.read("wide")
    let model = try RecurrentEncoderDecoderFixture.model("wide")
    var state = model.makeState(source: fixture.sources.flatMap { $0 }, layout: fixture.sourceLayout)
    _ = model.scores(after: [1, 1, 5], layout: SequenceLayout(lengths: [1, 0, 2]), state: &state)
    state.select(sequences: [2, 2, 0])
    #expect(state.lengths == [2, 2, 1])
    let ofAPart = state.truncate(sequence: 0, toLength: 1)
    let ofNothing = state.truncate(sequence: 2, toLength: 1)
    #expect(!ofAPart && ofNothing && state.lengths == [2, 2, 1])
    let ofEverything = state.truncate(sequence: 1, toLength: 0)
    #expect(ofEverything && state.lengths == [2, 0, 1])
    let found = model.scores(after: [6, 1, 7], layout: SequenceLayout(lengths: [1, 1, 1]), state: &state)
    let (long, short) = (fixture.sources[2], fixture.sources[0])
    let whole = model.scores(
      model.hidden(
        source: long + long + short, sourceLayout: SequenceLayout(lengths: [13, 13, 7]), target: [1, 5, 6, 1, 1, 7],
        targetLayout: SequenceLayout(lengths: [3, 1, 2]), dropout: nil))
    #expect(agree(found, whole.gathered(rows: [2, 3, 5])))
  }

  @Test("A source without tokens, and a target without any, are defined")
  func emptySequences() throws {
    let model = try RecurrentEncoderDecoderFixture.model("plain").tracked()
    let rows = model.hidden(
      source: [4, 5], sourceLayout: SequenceLayout(lengths: [0, 2, 0]), target: [1, 6, 1],
      targetLayout: SequenceLayout(lengths: [2, 0, 1]), dropout: nil)
    #expect(rows.shape == [3, 14] && rows.isFinite)
    let slopes = gradients(of: rows.sum(), withRespectTo: model)
    #expect(slopes.namesOfNonFinite.isEmpty)
    // A source that nothing reads gets nothing.
    #expect(try #require(slopes["source_embedding.weight"]).scalars.allSatisfy { $0 == 0 })
    let nothing = model.hidden(
      source: [], sourceLayout: SequenceLayout(lengths: []), target: [], targetLayout: SequenceLayout(lengths: []),
      dropout: nil)
    #expect(nothing.shape == [0, 14])
  }

  @Test("Dropout acts in training alone, by its key")
  func dropout() {
    var generator = SeededGenerator(seed: 2)
    let model = RecurrentEncoderDecoder(
      RecurrentEncoderDecoderConfiguration(
        sourceVocabularySize: 11, embeddingWidth: 8, width: 12, dropout: 0.4, beginID: 0, endID: 1), using: &generator)
    let (source, target) = ([[2, 3, 4], [5]], [[6, 7], [8, 9, 10]])
    let plain = model.loss(source: source, target: target)
    let one = model.loss(source: source, target: target, dropout: DropoutKey(seed: 1))
    #expect(haveSameBits(one, model.loss(source: source, target: target, dropout: DropoutKey(seed: 1))))
    #expect(!haveSameBits(one, model.loss(source: source, target: target, dropout: DropoutKey(seed: 2))))
    #expect(!haveSameBits(one, plain))
    let tracked = model.tracked()
    let slopes = gradients(
      of: tracked.loss(source: source, target: target, dropout: DropoutKey(seed: 1)), withRespectTo: tracked)
    for (name, slope) in zip(slopes.names, slopes.tensors) {
      #expect(slope.isFinite && slope.scalars.contains { $0 != 0 }, "\(name)")
    }
  }

  @Test("A saved folder loads again with the same bits", arguments: try fixtureNames("recurrent-encoder-decoder"))
  func saved(name: String) throws {
    let model = try RecurrentEncoderDecoderFixture.model(name)
    let fixture = try RecurrentEncoderDecoderFixture.read(name)
    // To be looked at by `scripts/make-recurrent-fixtures --check`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    func check(_ folder: URL) throws {
      try model.save(to: folder.modelFolder)
      let again = try RecurrentEncoderDecoder(folder.modelFolder)
      #expect(again.configuration == model.configuration)
      #expect(haveSameBits(fixture.scores(again), fixture.scores(model)))
    }
    if let kept {
      try check(URL(filePath: kept).appending(path: "recurrent-encoder-decoder/\(name)"))
    } else {
      try withTemporaryFolder { try check($0.appending(path: name)) }
    }
  }

  @Test(
    "A configuration that contradicts the weights or itself is an error that names the field",
    arguments: [
      (#""hidden_size": 16"#, #""hidden_size": 17"#, "encoder.weight_ih_l0"),
      (#""embedding_size": 12"#, #""embedding_size": 13"#, "source_embedding.weight"),
      (#""attention_size": 10"#, #""attention_size": 11"#, "decoder.attention.query.weight"),
      (#""readout_size": 14"#, #""readout_size": 15"#, "readout."),
      (#""readout_size": 14, "#, "", "readout_size is missing"),
      (#""share_embeddings": false"#, #""share_embeddings": true"#, "target_vocab_size"),
      (#""tie_word_embeddings": false"#, #""tie_word_embeddings": true"#, "readout_size"),
      (#""eos_token_id": 2"#, #""eos_token_id": 29"#, "eos_token_id"),
      (#""source_vocab_size": 31"#, #""source_vocab_size": 0"#, "source_vocab_size"),
      (#""dropout": 0.0"#, #""dropout": "none""#, "dropout"),
      (#""model_type": "recurrent-encoder-decoder""#, #""model_type": "bert""#, "bert"),
    ])
  func wrongConfigurations(old: String, new: String, message: String) throws {
    try withChangedFixture("recurrent-encoder-decoder/plain", "config.json", old, new) { folder in
      #expect {
        _ = try RecurrentEncoderDecoder(folder)
      } throws: {
        $0 is ModelFileError && "\($0)".contains(message)
      }
    }
  }

  @Test("A source that the model does not know is an error")
  func unknownSource() async throws {
    let model = try RecurrentEncoderDecoderFixture.model("plain")
    await #expect(throws: GenerationError.unknownToken(index: 1, id: 31, vocabularySize: 31)) {
      _ = try await model.generate(after: [[1], [2, 31]])
    }
  }
}
