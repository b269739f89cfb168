import Attention
import AttentionTestSupport
import Testing

/// Layer norms inside recurrent steps, against their definition composed in PyTorch in float64, forward and all gradients:
/// `scripts/fixtures/recurrent_norm.py`.
@Suite struct StepNormTests {
  static let fixtures = (try? LayerFixture.all("recurrent_norm")) ?? []

  @Test func allFixturesAreThere() { #expect(Self.fixtures.count == 16) }

  @Test(arguments: fixtures) func agreesWithTheDefinition(_ fixture: LayerFixture) throws {
    let layout = SequenceLayout(lengths: try fixture.integers("lengths"))
    let (inputs, hidden) = (try fixture.integer("inputs"), try fixture.integer("hidden"))
    let (layers, isBidirectional) = (try fixture.integer("layers"), try fixture.bool("bidirectional"))
    let (hasBias, kind) = (try fixture.bool("bias"), try fixture.string("kind"))
    var generator = SeededGenerator(seed: 1)
    try fixture.check { tensors in
      let x = try #require(tensors["x"])
      switch kind {
      case "lstm":
        let layer = LSTM(
          inputWidth: inputs, hiddenWidth: hidden, layers: layers, isBidirectional: isBidirectional, hasBias: hasBias,
          normalisesSteps: true, using: &generator)
        let initial = tensors["h0"].flatMap { h in tensors["c0"].map { LSTMState(hidden: h, cell: $0) } }
        let (output, state) = try Self.loaded(layer, tensors)(x, layout: layout, initial: initial)
        return ["result": output, "state": state.hidden, "finalCell": state.cell]
      case "gru":
        let layer = GRU(
          inputWidth: inputs, hiddenWidth: hidden, layers: layers, isBidirectional: isBidirectional, hasBias: hasBias,
          normalisesSteps: true, using: &generator)
        let (output, state) = try Self.loaded(layer, tensors)(x, layout: layout, initial: tensors["h0"])
        return ["result": output, "state": state]
      default:
        let layer = RNN(
          inputWidth: inputs, hiddenWidth: hidden, activation: kind == "rnn-relu" ? .relu : .tanh, layers: layers,
          isBidirectional: isBidirectional, hasBias: hasBias, normalisesSteps: true, using: &generator)
        let (output, state) = try Self.loaded(layer, tensors)(x, layout: layout, initial: tensors["h0"])
        return ["result": output, "state": state]
      }
    }
  }

  /// The layer with a fixture's tensors, whose names have no dots.
  private static func loaded<Recurrent: Layer>(_ layer: Recurrent, _ tensors: [String: Tensor]) throws -> Recurrent {
    var layer = layer
    var names: Set<String> = []
    layer.visitParameters { name, _, tensor in
      let name = name.replacing(".", with: "_")
      names.insert(name)
      guard let value = tensors[name] else { return }
      #expect(value.shape == tensor.shape, "\(name)")
      tensor = value
    }
    #expect(names == Set(tensors.keys.filter { !["x", "h0", "c0"].contains($0) }))
    return layer
  }

  /// Batch mates, empty sequences and an empty batch.
  @Test func sequencesAreByThemselves() {
    var generator = SeededGenerator(seed: 3)
    let layer = LSTM(inputWidth: 4, hiddenWidth: 6, isBidirectional: true, normalisesSteps: true, using: &generator)
    let x = Tensor(randomNormal: [9, 4], using: &generator)
    let state = LSTMState(
      hidden: Tensor(randomNormal: [2, 3, 6], using: &generator),
      cell: Tensor(randomNormal: [2, 3, 6], using: &generator))
    let together = layer(x, layout: SequenceLayout(lengths: [4, 0, 5]), initial: state)
    let alone = layer(
      x.sliced(4..<9), layout: SequenceLayout(lengths: [5]),
      initial: LSTMState(hidden: state.hidden.sliced(2..<3, along: 1), cell: state.cell.sliced(2..<3, along: 1)))
    expectClose(together.output.sliced(4..<9), alone.output)
    expectClose(together.state.cell.sliced(2..<3, along: 1), alone.state.cell)
    #expect(together.state.hidden.sliced(1..<2, along: 1) == state.hidden.sliced(1..<2, along: 1))
    #expect(together.state.cell.sliced(1..<2, along: 1) == state.cell.sliced(1..<2, along: 1))
    let none = layer(Tensor(zeros: [0, 4]), layout: SequenceLayout(lengths: []))
    #expect(none.output.shape == [0, 12] && none.state.hidden.shape == [2, 0, 6])
  }

  private func expectClose(_ found: Tensor, _ expected: Tensor) {
    #expect(found.shape == expected.shape)
    #expect(zip(found.scalars, expected.scalars).allSatisfy { abs($0 - $1) <= 1e-6 })
  }

  @Test func aResetBeforeItsProductIsRefused() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = GRU(inputWidth: 2, hiddenWidth: 2, resetsAfterProduct: false, normalisesSteps: true, using: &generator)
    }
    #expect(message(result).contains("GRU: norms inside the step are defined for a GRU that resets after its product"))
  }
}
