import Attention
import Foundation
import Testing

import AttentionModels

/// What transformers computed: see `scripts/make-gpt2-fixtures`.
struct GPT2Fixture: Decodable {
  struct Generation: Decodable {
    let prompt: [Int]
    let penalty: Double
    let end: Int?
    let tokens: [Int]
  }

  let ids: [[Int]]
  let generations: [Generation]

  var layout: SequenceLayout { SequenceLayout(lengths: ids.map(\.count)) }

  static func read(_ name: String) throws -> GPT2Fixture {
    try JSONDecoder().decode(
      GPT2Fixture.self, from: Data(contentsOf: fixtureFolder("gpt2/\(name)/expected.json")))
  }

  static func model(_ name: String) throws -> GPT2 { try GPT2(fixtureFolder("gpt2/\(name)").modelFolder) }
}

@Suite struct GPT2FixtureTests {
  @Test("All cases are there") func count() throws {
    #expect(try fixtureNames("gpt2").count == 19)
  }

  @Test("Logits are transformers' in float64, within 1e-5", arguments: try fixtureNames("gpt2"))
  func logits(name: String) throws {
    let fixture = try GPT2Fixture.read(name)
    let model = try GPT2Fixture.model(name)
    let found = model.scores(model(fixture.ids.flatMap { $0 }, layout: fixture.layout))
    let path = fixtureFolder("gpt2/\(name)/expected.safetensors").path(percentEncoded: false)
    let expected = try SafetensorsFile(path: path).doubles(named: "logits")
    #expect(found.shape == expected.shape)
    let error = zip(found.scalars, expected.values).map { abs(Double($0) - $1) }.max() ?? .infinity
    #expect(error <= 1e-5, "\(error)")
  }

  @Test("Greedy generation is transformers', token by token", arguments: try fixtureNames("gpt2"))
  func greedy(name: String) throws {
    let model = try GPT2Fixture.model(name)
    let generations = try GPT2Fixture.read(name).generations
    #expect(generations.count == 3)
    for expected in generations {
      let options = GenerationOptions(
        maximumNewTokens: 44, repetitionPenalty: expected.penalty, endIDs: expected.end.map { [$0] } ?? [])
      var generation = try TokenGeneration(model: model, prompts: [expected.prompt], options: options)
      var tokens: [Int] = []
      while !generation.isDone {
        for (_, event) in try generation.step() {
          switch event {
          case .token(let id): tokens.append(id)
          case .end(.endToken): tokens.append(try #require(expected.end))
          case .end(let end): #expect(end == .maximumNewTokens)
          }
        }
      }
      #expect(tokens == expected.tokens)
    }
  }

  @Test("A saved folder loads again with the same bits", arguments: try fixtureNames("gpt2"))
  func saved(name: String) throws {
    let fixture = try GPT2Fixture.read(name)
    let model = try GPT2Fixture.model(name)
    let expected = model.scores(model(fixture.ids.flatMap { $0 }, layout: fixture.layout))
    // To be looked at by `scripts/make-gpt2-fixtures --check`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    func check(_ folder: URL) throws {
      try model.save(to: folder.modelFolder)
      let again = try GPT2(folder.modelFolder)
      #expect(again.configuration == model.configuration)
      #expect(haveSameBits(again.scores(again(fixture.ids.flatMap { $0 }, layout: fixture.layout)), expected))
      for (one, other) in zip(model.namedTensors, again.namedTensors) {
        #expect(one.name == other.name && haveSameBits(one.tensor, other.tensor), "\(one.name)")
      }
    }
    if let kept {
      try check(URL(filePath: kept).appending(path: "gpt2/\(name)"))
    } else {
      try withTemporaryFolder { try check($0.appending(path: name)) }
    }
  }
}
