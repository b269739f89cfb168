import Attention
import AttentionTestSupport
import Testing

/// Layers against `torch.nn` in float64, forward and all gradients: `scripts/fixtures/layers.py`.
@Suite struct LayerFixtureTests {
  static let fixtures = (try? LayerFixture.all("layers")) ?? []

  @Test func allFixturesAreThere() { #expect(Self.fixtures.count == 30) }

  /// Every layer lists exactly the parameters that PyTorch's module has, under its names and in its shapes.
  @Test(arguments: fixtures) func agreesWithPyTorch(_ fixture: LayerFixture) throws {
    try fixture.check { inputs in
      let x = try #require(inputs["x"])
      let memory = inputs["memory"]
      let parameters = inputs.filter { $0.key != "x" && $0.key != "memory" }
      return try Self.run(fixture, x, memory, parameters)
    }
  }

  private static func run(
    _ fixture: LayerFixture, _ x: Tensor, _ memory: Tensor?, _ parameters: [String: Tensor]
  ) throws -> [String: Tensor] {
    let layout = SequenceLayout(lengths: try fixture.integers("lengths"))
    let mask: AttentionMask = fixture.settings["mask"] == .string("causal") ? .causal(.start) : .none
    switch try fixture.string("layer") {
    case "attention":
      let layer = try loaded(try attention(fixture), parameters)
      let result: (output: Tensor, weights: [Tensor])
      if let memory {
        result = layer.withWeights(
          x, layout: layout, memory: memory,
          memoryLayout: SequenceLayout(lengths: try fixture.integers("memoryLengths")),
          mask: mask)
      } else {
        result = layer.withWeights(x, layout: layout, mask: mask)
      }
      let stored = fixture.roles("output").count - 1
      let weights = result.weights.prefix(stored).enumerated().map { ("weights\($0)", $1) }
      return Dictionary(uniqueKeysWithValues: [("result", result.output)] + weights)
    case "grouped":
      let layer = try loaded(try grouped(fixture), parameters)
      return ["result": layer(x, layout: layout, mask: .causal(.start))]
    case "encoderBlock":
      return [
        "result": try loaded(EncoderBlock(try block(fixture), using: &generator), parameters)(
          x, layout: layout, mask: mask)
      ]
    case "encoder":
      let encoder = TransformerEncoder(
        try block(fixture), blockCount: try fixture.integer("blocks"), hasFinalNorm: try fixture.bool("final"),
        using: &generator)
      return ["result": try loaded(encoder, parameters)(x, layout: layout, mask: mask)]
    default:
      return ["result": try runDecoder(fixture, x, try #require(memory), layout, parameters)]
    }
  }

  private static func runDecoder(
    _ fixture: LayerFixture, _ x: Tensor, _ memory: Tensor, _ layout: SequenceLayout, _ parameters: [String: Tensor]
  ) throws -> Tensor {
    let memoryLayout = SequenceLayout(lengths: try fixture.integers("memoryLengths"))
    switch try fixture.string("layer") {
    case "decoderBlock":
      let layer = try loaded(DecoderBlock(try block(fixture), using: &generator), parameters)
      return layer(x, layout: layout, memory: memory, memoryLayout: memoryLayout)
    case "decoder":
      let decoder = TransformerDecoder(
        try block(fixture), blockCount: try fixture.integer("blocks"), hasFinalNorm: try fixture.bool("final"),
        using: &generator)
      return try loaded(decoder, parameters)(x, layout: layout, memory: memory, memoryLayout: memoryLayout)
    case "encoderDecoder":
      let model = EncoderDecoderStack(
        try block(fixture), encoderBlocks: 2, decoderBlocks: 1, hasFinalNorms: true, using: &generator)
      return try loaded(model, parameters)(
        source: memory, sourceLayout: memoryLayout, target: x, targetLayout: layout)
    default: throw UnknownLayer(name: try fixture.string("layer"))
    }
  }

  struct UnknownLayer: Error { let name: String }

  private static func attention(_ fixture: LayerFixture) throws -> MultiHeadAttention {
    MultiHeadAttention(
      width: try fixture.integer("width"), heads: try fixture.integer("heads"),
      memoryWidth: try fixture.integer("memoryWidth"), hasBias: try fixture.bool("bias"), using: &generator)
  }

  private static func grouped(_ fixture: LayerFixture) throws -> MultiHeadAttention {
    let pairing = RotaryEmbedding.Pairing(rawValue: try fixture.string("pairing"))
    let turned = try fixture.integer("turned")
    return MultiHeadAttention(
      width: try fixture.integer("width"), heads: try fixture.integer("heads"),
      keyValueHeads: try fixture.integer("keyValueHeads"),
      rotary: pairing.map { RotaryEmbedding(width: turned, pairing: $0) }, using: &generator)
  }

  private static func block(_ fixture: LayerFixture) throws -> BlockConfiguration {
    let activation: Activation = fixture.settings["activation"] == .string("gelu") ? .gelu : .relu
    return BlockConfiguration(
      width: try fixture.integer("width"), heads: try fixture.integer("heads"),
      feedForwardWidth: try fixture.integer("inner"), activation: activation,
      normPlacement: try fixture.bool("pre") ? .pre : .post, hasBias: fixture.settings["bias"] != .bool(false))
  }

  /// The layer with the fixture's parameters, which stay tracked where they are.
  private static func loaded<Part: Layer>(_ layer: Part, _ parameters: [String: Tensor]) throws -> Part {
    var layer = layer
    var names: Set<String> = []
    layer.visitParameters { name, _, tensor in
      guard let value = parameters[name] else { return }
      #expect(value.shape == tensor.shape, "\(name)")
      names.insert(name)
      tensor = value
    }
    #expect(names == Set(parameters.keys))
    #expect(layer.namedTensors.count == parameters.count)
    return layer
  }

  /// What a layer is made with before the fixture's parameters take its place.
  private static var generator: SeededGenerator {
    get { SeededGenerator(seed: 1) }
    set {}
  }
}
