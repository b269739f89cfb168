import Attention
import AttentionTestSupport
import Testing

/// Recurrent layers and cells against `torch.nn` in float64, over packed sequences, forward and all gradients:
/// `scripts/fixtures/recurrent.py`.
@Suite struct RecurrentFixtureTests {
  static let fixtures = (try? LayerFixture.all("recurrent")) ?? []

  @Test func allFixturesAreThere() { #expect(Self.fixtures.count == 36) }

  @Test(arguments: fixtures) func agreesWithPyTorch(_ fixture: LayerFixture) throws {
    let isCell = try fixture.bool("cell")
    try fixture.check { inputs in
      let x = try #require(inputs["x"])
      let states = (inputs["h0"], inputs["c0"])
      let parameters = inputs.filter { !["x", "h0", "c0"].contains($0.key) }
      return isCell
        ? try Self.step(fixture, x, states, parameters) : try Self.run(fixture, x, states, parameters)
    }
  }

  private static func run(
    _ fixture: LayerFixture, _ x: Tensor, _ states: (h: Tensor?, c: Tensor?), _ parameters: [String: Tensor]
  ) throws -> [String: Tensor] {
    let layout = SequenceLayout(lengths: try fixture.integers("lengths"))
    let (inputs, hidden) = (try fixture.integer("inputs"), try fixture.integer("hidden"))
    let (layers, isBidirectional) = (try fixture.integer("layers"), try fixture.bool("bidirectional"))
    let hasBias = try fixture.bool("bias")
    var generator = SeededGenerator(seed: 1)
    let kind = try fixture.string("kind")
    switch kind {
    case "lstm":
      let layer = LSTM(
        inputWidth: inputs, hiddenWidth: hidden, layers: layers, isBidirectional: isBidirectional, hasBias: hasBias,
        using: &generator)
      let initial = states.h.flatMap { h in states.c.map { LSTMState(hidden: h, cell: $0) } }
      let (output, state) = try loaded(layer, parameters)(x, layout: layout, initial: initial)
      return ["result": output, "state": state.hidden, "finalCell": state.cell]
    case "gru", "gru-reset":
      let layer = GRU(
        inputWidth: inputs, hiddenWidth: hidden, layers: layers, isBidirectional: isBidirectional, hasBias: hasBias,
        resetsAfterProduct: kind == "gru", using: &generator)
      let (output, state) = try loaded(layer, parameters)(x, layout: layout, initial: states.h)
      return ["result": output, "state": state]
    default:
      let layer = RNN(
        inputWidth: inputs, hiddenWidth: hidden, activation: kind == "rnn-relu" ? .relu : .tanh, layers: layers,
        isBidirectional: isBidirectional, hasBias: hasBias, using: &generator)
      let (output, state) = try loaded(layer, parameters)(x, layout: layout, initial: states.h)
      return ["result": output, "state": state]
    }
  }

  private static func step(
    _ fixture: LayerFixture, _ x: Tensor, _ states: (h: Tensor?, c: Tensor?), _ parameters: [String: Tensor]
  ) throws -> [String: Tensor] {
    let (inputs, hidden) = (try fixture.integer("inputs"), try fixture.integer("hidden"))
    let hasBias = try fixture.bool("bias")
    var generator = SeededGenerator(seed: 1)
    let kind = try fixture.string("kind")
    switch kind {
    case "lstm":
      let cell = LSTMCell(inputWidth: inputs, hiddenWidth: hidden, hasBias: hasBias, using: &generator)
      let state = states.h.flatMap { h in states.c.map { LSTMState(hidden: h, cell: $0) } }
      let result = try loaded(cell, parameters)(x, state: state)
      return ["state": result.hidden, "finalCell": result.cell]
    case "gru":
      let cell = GRUCell(inputWidth: inputs, hiddenWidth: hidden, hasBias: hasBias, using: &generator)
      return ["state": try loaded(cell, parameters)(x, state: states.h)]
    default:
      let cell = ElmanCell(
        inputWidth: inputs, hiddenWidth: hidden, activation: kind == "rnn-relu" ? .relu : .tanh, hasBias: hasBias,
        using: &generator)
      return ["state": try loaded(cell, parameters)(x, state: states.h)]
    }
  }

  /// The layer with the fixture's parameters, which are all of its own: by PyTorch's names, in its shapes.
  private static func loaded<Part: Layer>(_ layer: Part, _ parameters: [String: Tensor]) throws -> Part {
    var layer = layer
    var names: Set<String> = []
    layer.visitParameters { name, _, tensor in
      names.insert(name)
      guard let value = parameters[name] else { return }
      #expect(value.shape == tensor.shape, "\(name)")
      tensor = value
    }
    #expect(names == Set(parameters.keys))
    return layer
  }
}
