import Attention
import AttentionModels
import Foundation
import Testing

/// What PyTorch computed: see `scripts/make-recurrent-fixtures`.
struct RecurrentLanguageModelFixture: Decodable {
  let ids: [[Int]]
  let prompts: [[Int]]
  let greedy: [[Int]]

  var layout: SequenceLayout { SequenceLayout(lengths: ids.map(\.count)) }

  static func read(_ name: String) throws -> RecurrentLanguageModelFixture {
    try JSONDecoder().decode(
      RecurrentLanguageModelFixture.self,
      from: Data(contentsOf: fixtureFolder("recurrent-lm/\(name)/expected.json")))
  }

  static func model(_ name: String) throws -> RecurrentLanguageModel {
    try RecurrentLanguageModel(fixtureFolder("recurrent-lm/\(name)").modelFolder)
  }

  static func expected(_ name: String) throws -> SafetensorsFile {
    try SafetensorsFile(path: fixtureFolder("recurrent-lm/\(name)/expected.safetensors").path(percentEncoded: false))
  }

  func logits(_ model: RecurrentLanguageModel) -> Tensor {
    model.scores(model.hidden(ids.flatMap { $0 }, layout: layout, dropout: nil))
  }
}

@Suite struct RecurrentLanguageModelTests {
  @Test("All cases are there") func count() throws {
    #expect(try fixtureNames("recurrent-lm").count == 6)
  }

  @Test("Logits are PyTorch's in float64, within 1e-5", arguments: try fixtureNames("recurrent-lm"))
  func logits(name: String) throws {
    let fixture = try RecurrentLanguageModelFixture.read(name)
    let found = fixture.logits(try RecurrentLanguageModelFixture.model(name))
    let expected = try RecurrentLanguageModelFixture.expected(name).doubles(named: "logits")
    #expect(excess(found, expected, relative: 5e-6) <= 0)
  }

  @Test("Gradients of every parameter are PyTorch's in float64", arguments: try fixtureNames("recurrent-lm"))
  func gradientsAgree(name: String) throws {
    let fixture = try RecurrentLanguageModelFixture.read(name)
    let expected = try RecurrentLanguageModelFixture.expected(name)
    let model = try RecurrentLanguageModelFixture.model(name).tracked()
    let hidden = model.hidden(fixture.ids.flatMap { $0 }, layout: fixture.layout, dropout: nil)
    let labels = fixture.ids.flatMap { $0.dropFirst() + [-100] }
    let loss = model.crossEntropy(ofHidden: hidden, labels: labels)
    #expect(excess(loss.reshaped(to: [1]), try expected.doubles(named: "loss")) <= 0)
    let slopes = gradients(of: loss, withRespectTo: model)
    #expect(slopes.names.count == expected.entries.count { $0.name.hasPrefix("gradient/") })
    for (name, slope) in zip(slopes.names, slopes.tensors) {
      let wanted = try expected.doubles(named: "gradient/\(name)")
      #expect(excess(slope, wanted) <= 0, "\(name): \(excess(slope, wanted))")
    }
  }

  @Test(
    "Greedy continuations are PyTorch's, token by token, together and alone",
    arguments: try fixtureNames("recurrent-lm"))
  func greedy(name: String) throws {
    let fixture = try RecurrentLanguageModelFixture.read(name)
    let model = try RecurrentLanguageModelFixture.model(name)
    let end = try #require(model.endIDs.first)
    let expected = fixture.greedy.map { $0.last == end ? $0.dropLast() : $0 }
    func continued(_ prompts: [[Int]]) throws -> [[Int]] {
      var generation = try TokenGeneration(
        model: model, prompts: prompts, options: GenerationOptions(maximumNewTokens: 20))
      var found = prompts.map { _ in [Int]() }
      while !generation.isDone {
        for case (let prompt, .token(let id)) in try generation.step() { found[prompt].append(id) }
      }
      return found
    }
    #expect(try continued(fixture.prompts) == expected)
    for (prompt, tokens) in zip(fixture.prompts, expected) { #expect(try continued([prompt]) == [tokens]) }
  }

  @Test("What was read before makes no difference, however it was cut", arguments: try fixtureNames("recurrent-lm"))
  func cachedIsUncached(name: String) throws {
    let fixture = try RecurrentLanguageModelFixture.read(name)
    let model = try RecurrentLanguageModelFixture.model(name)
    let whole = fixture.logits(model).sliced(6..<30)
    let tokens = fixture.ids[2]
    for chunks in [[1], [5, 1, 8], [24]] {
      // The second of three sequences; the others read nothing.
      var state = model.makeState(sequenceCount: 3)
      var (first, turn) = (0, 0)
      while first < tokens.count {
        let count = min(chunks[turn % chunks.count], tokens.count - first)
        let found = model.scores(
          after: Array(tokens[first..<first + count]), layout: SequenceLayout(lengths: [0, count, 0]), state: &state)
        first += count
        turn += 1
        #expect(agree(found, whole.sliced(first - 1..<first)), "\(chunks)")
      }
      #expect(state.lengths == [0, 24, 0])
      let others = state.hidden.reshaped(to: [model.configuration.layerCount * 3, model.configuration.width])
      #expect(others.sliced(0..<1).scalars.allSatisfy { $0 == 0 })
    }
  }

  @Test("A sequence's rows do not depend on its batch mates", arguments: try fixtureNames("recurrent-lm"))
  func batchIsAlone(name: String) throws {
    let fixture = try RecurrentLanguageModelFixture.read(name)
    let model = try RecurrentLanguageModelFixture.model(name)
    let together = fixture.logits(model)
    for (index, ids) in fixture.ids.enumerated() {
      let alone = model.scores(model.hidden(ids, layout: SequenceLayout(lengths: [ids.count]), dropout: nil))
      #expect(agree(alone, together.sliced(fixture.layout.range(of: index))))
    }
  }

  @Test("States are chosen, repeated and forgotten", arguments: ["lstm", "gru", "rnn-tanh"])
  func states(name: String) throws {
    let model = try RecurrentLanguageModelFixture.model(name)
    let layout = SequenceLayout(lengths: [2, 0, 3])
    var state = model.makeState(sequenceCount: 3)
    _ = model.scores(after: [4, 5, 6, 7, 8], layout: layout, state: &state)
    var chosen = state
    chosen.select(sequences: [2, 0, 2])
    #expect(chosen.lengths == [3, 2, 3])
    let one = SequenceLayout(lengths: [1, 1, 1])
    let next = model.scores(after: [9, 9, 10], layout: one, state: &chosen)
    let whole = model.scores(
      model.hidden([6, 7, 8, 9, 4, 5, 9, 6, 7, 8, 10], layout: SequenceLayout(lengths: [4, 3, 4]), dropout: nil))
    #expect(agree(next, whole.gathered(rows: [3, 6, 10])))
    // Of a part nothing can be forgotten; of nothing and of everything it can.
    let before = state
    let ofAPart = state.truncate(sequence: 2, toLength: 2)
    #expect(!ofAPart)
    #expect(haveSameBits(state.hidden, before.hidden) && state.lengths == before.lengths)
    let ofNothing = state.truncate(sequence: 2, toLength: 3)
    #expect(ofNothing)
    #expect(haveSameBits(state.hidden, before.hidden))
    let ofEverything = state.truncate(sequence: 2, toLength: 0)
    #expect(ofEverything)
    #expect(state.lengths == [2, 0, 0])
    let again = model.scores(after: [4, 4, 4], layout: one, state: &state)
    let fresh = model.scores(
      model.hidden([4, 5, 4, 4, 4], layout: SequenceLayout(lengths: [3, 1, 1]), dropout: nil))
    #expect(agree(again, fresh.gathered(rows: [2, 3, 4])))
  }

  @Test("A prefix that a model has read is gone on from, or read again where it differs")
  func prefix() async throws {
    let model = try RecurrentLanguageModelFixture.model("gru")
    let generator = TextGenerator(model: model, tokenizer: PromptLetters())
    let options = GenerationOptions(maximumNewTokens: 6, endIDs: [])
    let prefix = try await generator.prefix("abc")
    for prompts in [["abcd", "abcx"], ["abcd", "abx", "z"]] {
      let plain = try await generator.generate(prompts, options: options)
      #expect(try await generator.generate(prompts, prefix: prefix, options: options) == plain)
    }
  }

  @Test("A saved folder loads again with the same bits", arguments: try fixtureNames("recurrent-lm"))
  func saved(name: String) throws {
    let model = try RecurrentLanguageModelFixture.model(name)
    let fixture = try RecurrentLanguageModelFixture.read(name)
    // To be looked at by `scripts/make-recurrent-fixtures --check`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    func check(_ folder: URL) throws {
      try model.save(to: folder.modelFolder)
      let again = try RecurrentLanguageModel(folder.modelFolder)
      #expect(again.configuration == model.configuration)
      #expect(haveSameBits(fixture.logits(again), fixture.logits(model)))
      for (one, other) in zip(model.namedTensors, again.namedTensors) {
        #expect(one.name == other.name && haveSameBits(one.tensor, other.tensor), "\(one.name)")
      }
    }
    if let kept {
      try check(URL(filePath: kept).appending(path: "recurrent-lm/\(name)"))
    } else {
      try withTemporaryFolder { try check($0.appending(path: name)) }
    }
  }

  @Test("Every setting survives being saved")
  func settings() throws {
    var generator = SeededGenerator(seed: 1)
    let configurations: [RecurrentLanguageModelConfiguration] = [
      .init(vocabularySize: 9, cell: .rnn(.relu), width: 5, embeddingWidth: 3, layerCount: 1, dropout: 0.3, beginID: 8),
      .init(vocabularySize: 9, cell: .gru, width: 5, layerCount: 3, isTied: true, endIDs: [2, 4]),
    ]
    for configuration in configurations {
      let model = RecurrentLanguageModel(configuration, using: &generator)
      try withTemporaryFolder { folder in
        try model.save(to: folder.modelFolder)
        let again = try RecurrentLanguageModel(folder.modelFolder)
        #expect(again.configuration == configuration)
      }
    }
  }

  @Test("Initial values are PyTorch's: uniform on ±1/√width, embeddings normal")
  func initialValues() throws {
    var generator = SeededGenerator(seed: 5)
    for isTied in [false, true] {
      let configuration = RecurrentLanguageModelConfiguration(
        vocabularySize: 400, cell: .lstm, width: 64, layerCount: 2, isTied: isTied)
      for (name, _, tensor) in RecurrentLanguageModel(configuration, using: &generator).namedTensors {
        let values = tensor.scalars.map(Double.init)
        let deviation = (values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()
        if name == "embedding.weight" {
          #expect(abs(deviation / (isTied ? 0.1 : 1) - 1) < 0.03, "\(name)")
        } else {
          // Of a uniform variate on ±b the deviation is b/√3.
          #expect(
            values.allSatisfy { abs($0) <= 0.125 } && abs(deviation / (0.125 / 3.0.squareRoot()) - 1) < 0.08, "\(name)")
        }
      }
    }
  }

  @Test("Dropout acts in training alone, by its key, and the way back knows it")
  func dropout() throws {
    var generator = SeededGenerator(seed: 2)
    for cell in [RecurrentLanguageModelConfiguration.Cell.lstm, .gru, .rnn(.tanh)] {
      let model = RecurrentLanguageModel(
        RecurrentLanguageModelConfiguration(vocabularySize: 11, cell: cell, width: 16, layerCount: 2, dropout: 0.4),
        using: &generator)
      let (ids, layout) = ([1, 2, 3, 4, 5], SequenceLayout(lengths: [2, 3]))
      let (one, two) = (DropoutKey(seed: 1), DropoutKey(seed: 2))
      let plain = model.hidden(ids, layout: layout, dropout: nil)
      #expect(
        haveSameBits(model.hidden(ids, layout: layout, dropout: one), model.hidden(ids, layout: layout, dropout: one)))
      #expect(
        !haveSameBits(model.hidden(ids, layout: layout, dropout: one), model.hidden(ids, layout: layout, dropout: two)))
      #expect(!haveSameBits(model.hidden(ids, layout: layout, dropout: one), plain))
      let zeros = model.hidden(ids, layout: layout, dropout: one).scalars.count { $0 == 0 }
      #expect(zeros > 10 && zeros < 60)
      // The slope along the head's weights by a small step, in the direction of the gradient.
      let tracked = model.tracked()
      let loss = tracked.crossEntropy(
        ofHidden: tracked.hidden(ids, layout: layout, dropout: one), labels: [2, 3, 4, 5, 6])
      let slopes = gradients(of: loss, withRespectTo: tracked)
      let squares = slopes.tensors.reduce(0.0) { $0 + $1.scalars.reduce(0) { $0 + Double($1) * Double($1) } }
      let step = Float(0.01 / squares.squareRoot())
      func value(_ sign: Float) -> Double {
        var moved = model
        moved.update(by: slopes) { $0 + sign * step * $1 }
        return Double(
          moved.crossEntropy(ofHidden: moved.hidden(ids, layout: layout, dropout: one), labels: [2, 3, 4, 5, 6])
            .scalars[0])
      }
      let slope = (value(1) - value(-1)) / (2 * Double(step))
      #expect(abs(slope / squares - 1) < 2e-3, "\(slope) for \(squares)")
    }
  }

  @Test(
    "A configuration that contradicts the weights or itself is an error that names the field",
    arguments: [
      (#""hidden_size": 24"#, #""hidden_size": 25"#, "rnn.weight_ih_l0"),
      (#""embedding_size": 20"#, #""embedding_size": 24"#, "embedding.weight"),
      (#""num_layers": 2"#, #""num_layers": 3"#, "rnn.weight_ih_l2"),
      (#""num_layers": 2"#, #""num_layers": 1"#, "num_layers is 1"),
      (#""num_layers": 2"#, #""num_layers": 0"#, "num_layers"),
      (#""cell": "lstm""#, #""cell": "gru""#, "rnn.weight_ih_l0"),
      (#""cell": "lstm""#, #""cell": "mamba""#, "mamba"),
      (#""cell": "lstm""#, #""cell": "rnn", "nonlinearity": "gelu""#, "gelu"),
      (#""cell": "lstm", "#, "", "cell is missing"),
      (#""vocab_size": 37"#, #""vocab_size": 5e7"#, "vocab_size"),
      (#""vocab_size": 37"#, #""vocab_size": 36"#, "embedding.weight"),
      (#""dropout": 0.0"#, #""dropout": 1"#, "dropout"),
      (#""dropout": 0.0"#, #""dropout": -0.1"#, "dropout"),
      (#""eos_token_id": 2"#, #""eos_token_id": 37"#, "eos_token_id"),
      (#""tie_word_embeddings": false"#, #""tie_word_embeddings": true"#, "embedding_size"),
      (#""model_type": "recurrent-lm""#, #""model_type": "gpt2""#, "gpt2"),
    ])
  func wrongConfigurations(old: String, new: String, message: String) throws {
    try withChangedFixture("recurrent-lm/lstm", "config.json", old, new) { folder in
      #expect {
        _ = try RecurrentLanguageModel(folder)
      } throws: {
        $0 is ModelFileError && "\($0)".contains(message)
      }
    }
  }

  @Test("Damaged and missing files are errors; a head beside tied embeddings is one, too")
  func damagedFiles() throws {
    try withTemporaryFolder { folder in
      let target = folder.appending(path: "model")
      try FileManager.default.copyItem(at: fixtureFolder("recurrent-lm/lstm-tied"), to: target)
      let path = target.appending(path: "model.safetensors")
      let bytes = try Data(contentsOf: path)
      for length in [0, 7, 100, bytes.count - 1] {
        try bytes.prefix(length).write(to: path)
        #expect(throws: ModelFileError.self) { try RecurrentLanguageModel(target.modelFolder) }
      }
      let file = try SafetensorsFile(bytes: Array(bytes), name: "f")
      var tensors = try file.entries.map {
        (name: $0.name, contents: TensorFileContents.float32(try file.tensor(named: $0.name)))
      }
      tensors.append(("head.weight", .float32(Tensor(zeros: [37, 24]))))
      try SafetensorsFile.write(tensors, to: path.path(percentEncoded: false))
      #expect {
        _ = try RecurrentLanguageModel(target.modelFolder)
      } throws: {
        "\($0)".contains("head.weight") && "\($0)".contains("tie_word_embeddings is true")
      }
      try FileManager.default.removeItem(at: path)
      #expect(throws: ModelFileError.self) { try RecurrentLanguageModel(target.modelFolder) }
      try FileManager.default.removeItem(at: target.appending(path: "config.json"))
      #expect(throws: ModelFileError.self) { try RecurrentLanguageModel(target.modelFolder) }
    }
  }
}

/// Letters a to z as the ids 3 to 28.
struct PromptLetters: Tokenizer {
  var idLimit: Int { 29 }
  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    let ids = text.utf8.filter { (97...122).contains($0) }.map { Int($0) - 94 }
    return Encoding(ids: ids, offsets: ids.map { _ in 0..<0 })
  }
  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
    String(decoding: ids.compactMap { (3...28).contains($0) ? UInt8($0 + 94) : nil }, as: UTF8.self)
  }
  func token(_ id: Int) -> String? { (3...28).contains(id) ? decode([id]) : nil }
  func id(of token: String) -> Int? { token.utf8.count == 1 ? Int(token.utf8.first!) - 94 : nil }
}

/// Calls `body` with a copy of a fixture's folder in one of whose files a text is replaced.
func withChangedFixture(
  _ name: String, _ file: String, _ old: String, _ new: String, _ body: (ModelFolder) throws -> Void
) throws {
  try withTemporaryFolder { folder in
    let target = folder.appending(path: "model")
    try FileManager.default.copyItem(at: fixtureFolder(name), to: target)
    let path = target.appending(path: file)
    let text = try String(contentsOf: path, encoding: .utf8).replacing("\n  ", with: " ")
    try #require(text.contains(old))
    try text.replacing(old, with: new).write(to: path, atomically: true, encoding: .utf8)
    try body(target.modelFolder)
  }
}
