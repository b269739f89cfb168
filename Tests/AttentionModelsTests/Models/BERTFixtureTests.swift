import Attention
import AttentionModels
import AttentionTestSupport
import Foundation
import Testing

/// Small random models that transformers made, and what it computed of them in float64 (scripts/make-model-fixtures).
@Suite struct BERTFixtureTests {
  struct Fixture {
    let folder: ModelFolder
    let expected: SafetensorsFile
    let ids: [Int]
    let segments: [Int]
    let layout: SequenceLayout

    init(_ name: String) throws {
      let url = ModelFiles.fixture("bert/\(name)")
      folder = ModelFolder(path: url.path)
      expected = try SafetensorsFile(path: url.appending(path: "expected.safetensors").path)
      ids = try expected.integers(named: "ids").values
      segments = try expected.integers(named: "segments").values
      layout = SequenceLayout(lengths: try expected.integers(named: "lengths").values)
    }

    func expect(_ found: Tensor, toBe name: String, within tolerance: Double = 1e-5) throws {
      let (shape, values) = try expected.doubles(named: name)
      #expect(found.shape == shape, "\(name)")
      let distance = largestDistance(found.scalars, values)
      #expect(distance <= tolerance, "\(name) is off by \(distance)")
    }
  }

  @Test func allFixturesAreThere() {
    #expect(
      ModelFiles.folders(in: "bert") == [
        "bare", "bfloat16", "float16", "gelu", "gelu_new", "pairs", "relu", "sharded", "silu", "tensorflow", "untied",
      ])
  }

  @Test(
    "Hidden states, weights of attention, pooled rows and scores are transformers' in float64",
    arguments: ModelFiles.folders(in: "bert"))
  func equalsTransformers(_ name: String) throws {
    let fixture = try Fixture(name)
    let model = try BERT(fixture.folder)
    let (ids, layout) = (fixture.ids, fixture.layout)
    let blocks = model.encoder.blocks.count
    let place = try fixture.expected.integers(named: "attention_place").values
    let inside = model.inspect(
      ids, segments: fixture.segments, layout: layout, hiddenStates: Set(0...blocks), attentionWeights: [place[0]])
    for index in 0...blocks {
      try fixture.expect(try #require(inside.hiddenStates[index]), toBe: "hidden\(index)")
    }
    try fixture.expect(try #require(inside.attentionWeights[place[0]])[place[1]], toBe: "attention")
    let hidden = model(ids, segments: fixture.segments, layout: layout)
    try fixture.expect(hidden, toBe: "hidden\(blocks)")
    #expect((model.pooler != nil) == (fixture.expected.entry(named: "pooled") != nil))
    if model.pooler != nil { try fixture.expect(model.pooled(hidden, layout: layout), toBe: "pooled") }
    #expect((model.maskedTokenHead != nil) == (fixture.expected.entry(named: "logits") != nil))
    if model.maskedTokenHead != nil { try fixture.expect(model.maskedTokenScores(hidden), toBe: "logits") }
    #expect((model.nextSentenceHead != nil) == (fixture.expected.entry(named: "next_sentence") != nil))
    if model.nextSentenceHead != nil {
      let scores = model.nextSentenceScores(model.pooled(hidden, layout: layout))
      try fixture.expect(scores, toBe: "next_sentence")
    }
  }

  @Test("A model that was saved reads back with the same bits", arguments: ModelFiles.folders(in: "bert"))
  func savesAndLoads(_ name: String) throws {
    let fixture = try Fixture(name)
    let model = try BERT(fixture.folder)
    // To be looked at by `scripts/make-model-fixtures --check`.
    let kept = ProcessInfo.processInfo.environment["ATTENTION_TEST_SAVED_MODELS"]
    try ModelFiles.withTemporaryFolder { folder in
      let place = kept.map { URL(fileURLWithPath: $0).appending(path: "bert/\(name)") } ?? folder.appending(path: "a/b")
      let saved = ModelFolder(path: place.path)
      try model.save(to: saved)
      let read = try BERT(saved)
      var expected = model.configuration
      expected.initialDeviation = read.configuration.initialDeviation
      #expect(read.configuration == expected)
      let parameters = Dictionary(uniqueKeysWithValues: model.namedTensors.map { ($0.name, $0.tensor) })
      #expect(read.namedTensors.count == parameters.count)
      for (name, _, tensor) in read.namedTensors { #expect(tensor == parameters[name], "\(name)") }
      // Saving what was saved gives the same files.
      let again = ModelFolder(path: folder.appending(path: "c").path)
      try read.save(to: again)
      for file in ["config.json", "model.safetensors"] {
        #expect(
          try Data(contentsOf: URL(fileURLWithPath: "\(saved.path)/\(file)"))
            == Data(contentsOf: URL(fileURLWithPath: "\(again.path)/\(file)")))
      }
    }
  }
}
