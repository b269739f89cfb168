import Attention
import AttentionTestSupport
import Testing

/// What recurrent layers promise beyond PyTorch's numbers.
@Suite struct RecurrentTests {
  /// The layers, each as a function of a batch and its initial states.
  enum Kind: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case tanh, relu, lstm, gru, resetting
    var testDescription: String { rawValue }

    func run(
      _ x: Tensor, _ layout: SequenceLayout, hidden: Int = 19, layers: Int = 1, isBidirectional: Bool = true,
      initial: Tensor? = nil
    ) -> (output: Tensor, state: Tensor) {
      var generator = SeededGenerator(seed: 5)
      let inputs = x.shape[1]
      switch self {
      case .tanh, .relu:
        return RNN(
          inputWidth: inputs, hiddenWidth: hidden, activation: self == .tanh ? .tanh : .relu, layers: layers,
          isBidirectional: isBidirectional, using: &generator)(x, layout: layout, initial: initial)
      case .lstm:
        let layer = LSTM(
          inputWidth: inputs, hiddenWidth: hidden, layers: layers, isBidirectional: isBidirectional, using: &generator)
        let (output, state) = layer(
          x, layout: layout, initial: initial.map { LSTMState(hidden: $0, cell: $0 * 0.5) })
        return (output, state.hidden + state.cell)
      case .gru, .resetting:
        return GRU(
          inputWidth: inputs, hiddenWidth: hidden, layers: layers, isBidirectional: isBidirectional,
          resetsAfterProduct: self == .gru, using: &generator)(x, layout: layout, initial: initial)
      }
    }
  }

  static func normal(_ shape: [Int], seed: UInt64) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(randomNormal: shape, using: &generator)
  }

  /// The input, and the initial states of a layer in both directions.
  static func batch(_ lengths: [Int], width: Int = 11, hidden: Int = 19) -> (x: Tensor, h: Tensor, SequenceLayout) {
    let layout = SequenceLayout(lengths: lengths)
    return (
      normal([layout.tokenCount, width], seed: 1), normal([2, lengths.count, hidden], seed: 2), layout
    )
  }

  static func difference(_ a: Tensor, _ b: Tensor) -> Float {
    a.shape == b.shape ? zip(a.scalars, b.scalars).reduce(0) { max($0, abs($1.0 - $1.1)) } : .infinity
  }

  /// Outputs, final states, and the gradients of the input and the initial states.
  static func everything(_ kind: Kind, _ x: Tensor, _ layout: SequenceLayout, _ h: Tensor) -> [Tensor] {
    let (x, h) = (x.tracked(), h.tracked())
    let result = kind.run(x, layout, initial: h)
    let loss = result.output.squared().sum() + result.state.squared().sum()
    return [result.output.detached(), result.state.detached()] + gradients(of: loss, withRespectTo: [x, h])
  }

  @Test(arguments: Kind.allCases) func aBatchIsItsSequencesAlone(_ kind: Kind) {
    let lengths = [3, 0, 7, 1, 7, 4]
    let (x, h, layout) = Self.batch(lengths)
    let together = Self.everything(kind, x, layout, h)
    for (index, length) in lengths.enumerated() {
      let rows = layout.range(of: index)
      let alone = Self.everything(
        kind, x.sliced(rows), SequenceLayout(lengths: [length]), h.sliced(index..<index + 1, along: 1))
      for (part, (all, one)) in zip(together, alone).enumerated() {
        let own = part == 0 || part == 2 ? all.sliced(rows) : all.sliced(index..<index + 1, along: 1)
        #expect(Self.difference(own, one) <= 2e-5, "\(index), \(part)")
      }
    }
  }

  @Test(arguments: Kind.allCases) func aSequenceOfNothingKeepsItsState(_ kind: Kind) {
    let (x, h, layout) = Self.batch([0, 2, 0])
    let found = Self.everything(kind, x, layout, h)
    let factor: Float = kind == .lstm ? 1.5 : 1
    for index in [0, 2] {
      let (state, slope) = (found[1].sliced(index..<index + 1, along: 1), found[3].sliced(index..<index + 1, along: 1))
      let before = h.sliced(index..<index + 1, along: 1)
      #expect(Self.difference(state, before * factor) == 0)
      #expect(Self.difference(slope, before * (2 * factor * factor)) <= 1e-5)
    }
    // Nothing at all, too.
    let empty = SequenceLayout(lengths: [0, 0])
    let all = Self.everything(kind, Tensor(zeros: [0, 11]), empty, h.sliced(0..<2, along: 1))
    #expect(all[0].shape == [0, 38] && Self.difference(all[1], h.sliced(0..<2, along: 1) * factor) == 0)
    #expect(kind.run(Tensor(zeros: [0, 11]), SequenceLayout(lengths: [])).output.shape == [0, 38])
  }

  @Test(arguments: Kind.allCases) func aNaNStaysInItsSequence(_ kind: Kind) {
    let (x, h, layout) = Self.batch([4, 6, 5])
    let clean = Self.everything(kind, x, layout, h)
    var spoilt = x
    spoilt[4 + 2, 3] = .nan
    let found = Self.everything(kind, spoilt, layout, h)
    for index in [0, 2] {
      for (part, (a, b)) in zip(clean, found).enumerated() {
        let isRows = part == 0 || part == 2
        let range = isRows ? layout.range(of: index) : index..<index + 1
        #expect(Self.difference(a.sliced(range, along: isRows ? 0 : 1), b.sliced(range, along: isRows ? 0 : 1)) == 0)
      }
    }
    // Forward in time it spreads, and not back.
    let rows = found[0].sliced(layout.range(of: 1))
    let isFinite = (0..<6).map { rows.sliced($0..<$0 + 1).sliced(0..<19, along: 1).isFinite }
    #expect(isFinite == [true, true, false, false, false, false])
  }

  @Test(arguments: Kind.allCases) func gradientsAreThoseOfCentralDifferences(_ kind: Kind) {
    let layout = SequenceLayout(lengths: [2, 4])
    let (x, h) = (Self.normal([6, 3], seed: 3), Self.normal([4, 2, 5], seed: 4))
    let direction = Self.normal([6, 3], seed: 6)
    func loss(_ x: Tensor) -> Tensor {
      let result = kind.run(x, layout, hidden: 5, layers: 2, initial: h)
      return result.output.squared().sum() + result.state.sum()
    }
    let tracked = x.tracked()
    let slope = gradients(of: loss(tracked), withRespectTo: [tracked])[0]
    let step: Float = 1e-2
    let measured = (loss(x + direction * step).scalars[0] - loss(x - direction * step).scalars[0]) / (2 * step)
    let expected = zip(slope.scalars, direction.scalars).reduce(0) { $0 + $1.0 * $1.1 }
    // A relu's corner may lie between.
    #expect(abs(measured - expected) <= (kind == .relu ? 0.05 : 0.01) * max(1, abs(expected)))
  }

  @Test(arguments: Kind.allCases) func longSequences(_ kind: Kind) {
    let (x, h, layout) = Self.batch([2000, 1, 1500])
    let found = Self.everything(kind, x, layout, h)
    let isFinite = found.map(\.isFinite)
    #expect(!isFinite.contains(false))
  }

  @Test func dropoutStandsBetweenLayers() {
    var generator = SeededGenerator(seed: 8)
    let (x, _, layout) = Self.batch([5, 3])
    let one = GRU(inputWidth: 11, hiddenWidth: 7, dropoutProbability: 0.5, using: &generator)
    let two = GRU(inputWidth: 11, hiddenWidth: 7, layers: 2, dropoutProbability: 0.5, using: &generator)
    let key = DropoutKey(seed: 3)
    #expect(one(x, layout: layout, dropout: key).output == one(x, layout: layout).output)
    #expect(two(x, layout: layout, dropout: key).output == two(x, layout: layout, dropout: key).output)
    #expect(two(x, layout: layout, dropout: key).output != two(x, layout: layout).output)
    #expect(two(x, layout: layout).output != two(x, layout: layout, dropout: DropoutKey(seed: 4)).output)
  }

  @Test func initialValuesArePyTorchs() {
    var generator = SeededGenerator(seed: 8)
    let layer = LSTM(inputWidth: 400, hiddenWidth: 16, layers: 2, isBidirectional: true, using: &generator)
    #expect(layer.namedTensors.count == 16)
    for (name, _, tensor) in layer.namedTensors {
      let largest = tensor.scalars.reduce(0) { max($0, abs($1)) }
      #expect(largest <= 0.25 && largest > 0.2, "\(name)")
    }
    let names = layer.namedTensors.map(\.name)
    #expect(names.contains("weight_hh_l1_reverse"))
  }
}

/// Threads and callers change no bit.
@Suite(.exclusiveThreadCount) struct RecurrentDeterminismTests {
  private static func bits(_ tensors: [Tensor]) -> [UInt32] { tensors.flatMap { $0.scalars.map(\.bitPattern) } }

  @Test(arguments: RecurrentTests.Kind.allCases) func threadCountsAgree(_ kind: RecurrentTests.Kind) {
    // Wide enough for several tasks in a step.
    let (x, h, layout) = RecurrentTests.batch([9, 4, 12, 12, 7, 9, 9, 10, 11, 5], width: 40, hidden: 19)
    let count = Engine.threadCount.count
    var results: [[UInt32]] = []
    for threads in [1, 2, 3, 8] {
      Engine.setThreadCount(threads)
      let wide = kind.run(x, layout, hidden: 131, isBidirectional: false)
      results.append(Self.bits(RecurrentTests.everything(kind, x, layout, h) + [wide.output, wide.state]))
    }
    Engine.setThreadCount(count)
    #expect(results.allSatisfy { $0 == results[0] })
  }

  @Test(arguments: RecurrentTests.Kind.allCases) func manyCallersAgree(_ kind: RecurrentTests.Kind) async {
    let (x, h, layout) = RecurrentTests.batch([5, 3, 8])
    let alone = Self.bits(RecurrentTests.everything(kind, x, layout, h))
    await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<32 { group.addTask { Self.bits(RecurrentTests.everything(kind, x, layout, h)) == alone } }
      for await isSame in group { #expect(isSame) }
    }
  }
}

/// What does not fit is named with its shape.
@Suite struct RecurrentMisuseTests {
  @Test func anInputOfAnotherWidth() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = LSTM(inputWidth: 3, hiddenWidth: 4, using: &generator)
      _ = layer(Tensor(zeros: [5, 2]), layout: SequenceLayout(lengths: [5]))
    }
    #expect(message(result).contains("LSTM: an input [5, 2] for 5 tokens of width 3"))
  }

  @Test func statesOfAnotherBatch() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = GRU(inputWidth: 3, hiddenWidth: 4, isBidirectional: true, using: &generator)
      _ = layer(Tensor(zeros: [5, 3]), layout: SequenceLayout(lengths: [5]), initial: Tensor(zeros: [1, 1, 4]))
    }
    #expect(message(result).contains("GRU: an initial state [1, 1, 4] is not"))
    #expect(message(result).contains("[2, 1, 4]"))
  }

  @Test func widthsOfNothing() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = RNN(inputWidth: 3, hiddenWidth: 0, using: &generator)
    }
    #expect(message(result).contains("RNN: an input width of 3, a hidden width of 0 and 1 layers"))
  }

  @Test func aStateOfAnotherCell() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let cell = GRUCell(inputWidth: 3, hiddenWidth: 4, using: &generator)
      _ = cell(Tensor(zeros: [2, 3]), state: Tensor(zeros: [2, 3]))
    }
    #expect(message(result).contains("GRUCell: a state [2, 3] is not [batch, hidden] = [2, 4]"))
  }

  @Test func partsOfAStateThatDiffer() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = LSTMState(hidden: Tensor(zeros: [2, 3]), cell: Tensor(zeros: [3, 2]))
    }
    #expect(message(result).contains("[2, 3] and a cell [3, 2]"))
  }
}
