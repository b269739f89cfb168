import Attention
import AttentionTestSupport
import Testing

/// The decoder's GRU. Its arithmetic is compared with PyTorch's by the tests of `RecurrentEncoderDecoder`.
@Suite struct AttentiveGRUTests {
  static func layer() -> AttentiveGRU {
    var generator = SeededGenerator(seed: 3)
    return AttentiveGRU(inputWidth: 3, sourceWidth: 4, hiddenWidth: 5, attentionWidth: 6, using: &generator)
  }

  @Test("Its parameters have a GRU cell's names, and the attention's")
  func names() {
    let found = Self.layer().namedTensors.map { "\($0.name) \($0.tensor.shape)" }
    #expect(
      found == [
        "attention.query.weight [6, 5]", "attention.source.weight [6, 4]", "attention.v [6]", "weight_ih [15, 7]",
        "weight_hh [15, 5]", "bias_ih [15]", "bias_hh [15]",
      ])
  }

  @Test("A step is a GRU cell that reads the token and the context of the state before")
  func step() {
    let layer = Self.layer()
    var generator = SeededGenerator(seed: 9)
    let (sources, targets) = (SequenceLayout(lengths: [3, 0, 2, 1]), SequenceLayout(lengths: [2, 1, 0, 4]))
    let source = Tensor(randomNormal: [6, 4], using: &generator)
    let x = Tensor(randomNormal: [7, 3], using: &generator)
    let initial = Tensor(randomNormal: [4, 5], using: &generator)
    let output = layer(
      x, layout: targets, source: layer.attention.prepared(source, layout: sources), initial: initial,
      returningWeights: true)
    #expect(output.states.shape == [7, 5] && output.contexts.shape == [7, 4] && output.final.shape == [4, 5])
    var cell = GRUCell(inputWidth: 7, hiddenWidth: 5, using: &generator)
    let own = Dictionary(uniqueKeysWithValues: layer.namedTensors.map { ($0.name, $0.tensor) })
    cell.visitParameters { name, _, tensor in tensor = own[name]! }
    for sequence in 0..<4 {
      let memory = source.sliced(sources.range(of: sequence))
      let prepared = layer.attention.prepared(memory, layout: SequenceLayout(lengths: [memory.shape[0]]))
      var state = initial.sliced(sequence..<sequence + 1)
      for token in targets.range(of: sequence) {
        let aligned = layer.attention(query: state, layout: SequenceLayout(lengths: [1]), source: prepared)
        state = cell(.concatenated([x.sliced(token..<token + 1), aligned.context], along: 1), state: state)
        func isNear(_ left: Tensor, _ right: Tensor) -> Bool {
          zip(left.scalars, right.scalars).allSatisfy { abs($0 - $1) < 1e-5 }
        }
        #expect(isNear(output.states.sliced(token..<token + 1), state))
        #expect(isNear(output.contexts.sliced(token..<token + 1), aligned.context))
        let step = token - targets.offsets[sequence]
        let weights = output.weights?[sequence]
        #expect(weights?.shape == [targets.lengths[sequence], memory.shape[0]])
        #expect(weights.map { isNear($0.sliced(step..<step + 1), aligned.weights(ofSequence: 0)) } == true)
      }
      #expect(
        zip(output.final.sliced(sequence..<sequence + 1).scalars, state.scalars).allSatisfy { abs($0 - $1) < 1e-5 })
    }
  }

  @Test("Shapes that do not fit end the program with a message that shows them")
  func misuse() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let layer = AttentiveGRUTests.layer()
      let source = layer.attention.prepared(Tensor(zeros: [3, 4]), layout: SequenceLayout(lengths: [3]))
      _ = layer(
        Tensor(zeros: [2, 3]), layout: SequenceLayout(lengths: [2]), source: source, initial: Tensor(zeros: [2, 5]))
    }
    #expect(message(result).contains("AttentiveGRU: tokens [2, 3] in 1 sequences, states [2, 5]"))
  }
}
