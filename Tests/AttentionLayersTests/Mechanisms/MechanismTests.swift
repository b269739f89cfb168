import Attention
import AttentionLayers
import AttentionTestSupport
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct MechanismTests {
  static func close(_ a: Tensor, _ b: Tensor, within bound: Float = 2e-6) -> Bool {
    a.shape == b.shape && zip(a.scalars, b.scalars).allSatisfy { abs($0 - $1) <= bound * max(1, abs($1)) }
  }

  static func names(_ layer: some Layer) -> [String] { layer.namedTensors.map { "\($0.name) \($0.tensor.shape)" } }

  @Test func parameters() {
    var generator = SeededGenerator(seed: 1)
    let additive = AdditiveAttention(queryWidth: 3, sourceWidth: 5, width: 7, using: &generator)
    #expect(Self.names(additive) == ["query.weight [7, 3]", "source.weight [7, 5]", "v [7]"])
    #expect(additive.parameterCount == 63)
    let dot = AlignmentScore(.dot, queryWidth: 4, sourceWidth: 4, using: &generator)
    #expect(Self.names(LuongAttention(score: dot)).isEmpty)
    let general = AlignmentScore(.general, queryWidth: 3, sourceWidth: 5, using: &generator)
    #expect(Self.names(LuongAttention(score: general)) == ["score.weight [3, 5]"])
    let local = LocalAttention(.predictive, score: general, reach: 2, width: 6, using: &generator)
    #expect(Self.names(local) == ["score.weight [3, 5]", "position.weight [6, 3]", "v [6]"])
    #expect(local.hasGaussian)
    let monotonic = LocalAttention(.monotonic, score: dot, reach: 2, using: &generator)
    #expect(Self.names(monotonic).isEmpty && !monotonic.hasGaussian)
    // Initial values as PyTorch's: ±1/√inputs.
    let largest = additive.namedTensors.map { $0.tensor.scalars.map { abs($0) }.max()! }
    #expect(largest[0] <= 0.57736 && largest[1] <= 0.44722 && largest[2] <= 0.37797)
    var again = SeededGenerator(seed: 1)
    let twin = AdditiveAttention(queryWidth: 3, sourceWidth: 5, width: 7, using: &again)
    let isEqual = zip(additive.namedTensors, twin.namedTensors).allSatisfy { $0.tensor == $1.tensor }
    #expect(isEqual)
  }

  /// A decoder that takes one step at a time over a source prepared once gets what all steps at once get.
  @Test func stepByStep() {
    var generator = SeededGenerator(seed: 4)
    let layer = AdditiveAttention(queryWidth: 6, sourceWidth: 5, width: 33, using: &generator)
    let query = Tensor(randomNormal: [2, 4, 6], using: &generator)
    let encoded = Tensor(randomNormal: [2, 9, 5], using: &generator)
    let source = layer.prepared(encoded)
    let whole = layer(query: query, source: source, mask: .keyLengths([9, 3]))
    for step in 0..<4 {
      let state = query.sliced(step..<step + 1, along: 1)
      let result = layer(query: state, source: source, mask: .keyLengths([9, 3]))
      #expect(Self.close(result.context, whole.context.sliced(step..<step + 1, along: 1)))
      let unprepared = layer(query: state, source: layer.prepared(encoded), mask: .keyLengths([9, 3]))
      #expect(result.context == unprepared.context && result.weights == unprepared.weights)
    }
  }

  /// A decoder's step is its position for local-m.
  @Test func stepByStepAtPositions() {
    var generator = SeededGenerator(seed: 4)
    let score = AlignmentScore(.general, queryWidth: 6, sourceWidth: 5, using: &generator)
    let query = Tensor(randomNormal: [2, 7, 6], using: &generator)
    for hasGaussian in [true, false] {
      let layer = LocalAttention(
        .monotonic, score: score, reach: 2, hasGaussian: hasGaussian, using: &generator)
      let source = layer.prepared(Tensor(randomNormal: [2, 9, 5], using: &generator))
      let whole = layer(query: query, source: source)
      for step in 0..<7 {
        let result = layer(
          query: query.sliced(step..<step + 1, along: 1), source: source, positions: [step, step])
        #expect(Self.close(result.context, whole.context.sliced(step..<step + 1, along: 1)))
      }
    }
  }

  /// Padded with NaN, ragged, and each sequence alone.
  @Test(arguments: AlignmentScore.Kind.allCases) func paddedRaggedAndAlone(_ kind: AlignmentScore.Kind) {
    var generator = SeededGenerator(seed: 6)
    let score = AlignmentScore(kind, queryWidth: 6, sourceWidth: 6, width: 5, using: &generator)
    let layers: [(AlignmentCall) -> AlignedContext] = [
      { $0.run(LuongAttention(score: score)) },
      {
        var generator = SeededGenerator(seed: 7)
        return $0.run(LocalAttention(.predictive, score: score, reach: 2, using: &generator))
      },
      {
        var generator = SeededGenerator(seed: 7)
        return $0.run(LocalAttention(.monotonic, score: score, reach: 1, using: &generator))
      },
    ]
    let (queries, keys) = (SequenceLayout(lengths: [4, 4, 4]), SequenceLayout(lengths: [8, 3, 5]))
    let query = Tensor(randomNormal: [12, 6], using: &generator)
    let source = Tensor(randomNormal: [16, 6], using: &generator)
    var padded = Tensor(repeating: .nan, shape: [3, 8, 6])
    for sequence in 0..<3 {
      for (position, row) in keys.range(of: sequence).enumerated() {
        for column in 0..<6 { padded[sequence, position, column] = source[row, column] }
      }
    }
    for layer in layers {
      let ragged = layer(AlignmentCall(query: query, source: source, layouts: (queries, keys)))
      let batched = layer(
        AlignmentCall(query: query.reshaped(to: [3, 4, 6]), source: padded, mask: .keyLengths(keys.lengths)))
      #expect(Self.close(batched.context.reshaped(to: [12, 6]), ragged.context))
      for sequence in 0..<3 {
        let rows = queries.range(of: sequence)
        let alone = layer(
          AlignmentCall(
            query: query.sliced(rows).reshaped(to: [1, 4, 6]),
            source: source.sliced(keys.range(of: sequence)).reshaped(to: [1, keys.lengths[sequence], 6])))
        #expect(Self.close(alone.context.reshaped(to: [4, 6]), ragged.context.sliced(rows)))
        #expect(Self.close(alone.weights(ofSequence: 0), ragged.weights(ofSequence: sequence)))
        let inPadding = batched.weights(ofSequence: sequence).sliced(keys.lengths[sequence]..<8, along: 1)
        #expect(inPadding == Tensor(zeros: inPadding.shape))
      }
    }
  }

  /// Luong's products are dot-product attention with a scale of 1.
  @Test func dotIsScaledDotProductAttention() {
    var generator = SeededGenerator(seed: 6)
    let layer = LuongAttention(score: AlignmentScore(.dot, queryWidth: 6, sourceWidth: 6, using: &generator))
    let query = Tensor(randomNormal: [2, 5, 6], using: &generator)
    let source = Tensor(randomNormal: [2, 70, 6], using: &generator)
    let mask = AttentionMask.causal(.end) & .keyLengths([70, 40])
    let expected = scaledDotProductAttention(
      query: query.reshaped(to: [2, 1, 5, 6]), key: source.reshaped(to: [2, 1, 70, 6]),
      value: source.reshaped(to: [2, 1, 70, 6]), mask: mask, options: .init(scale: 1), returning: .weights)
    for returningWeights in [true, false] {
      let result = layer(
        query: query, source: layer.prepared(source), mask: mask, returningWeights: returningWeights)
      #expect(Self.close(result.context, expected.output.reshaped(to: [2, 5, 6]), within: 5e-6))
      if let weights = result.weights {
        #expect(Self.close(weights, expected.weights!.reshaped(to: [2, 5, 70]), within: 5e-6))
      }
    }
  }

  /// local-p in float64, from the parameters, by the paper's formulas.
  @Test func weightsOfLocalP() throws {
    var generator = SeededGenerator(seed: 12)
    let score = AlignmentScore(.general, queryWidth: 4, sourceWidth: 3, using: &generator)
    let layer = LocalAttention(.predictive, score: score, reach: 3, width: 5, using: &generator)
    let (queries, keys) = (6, 20)
    let query = Tensor(randomNormal: [1, queries, 4], standardDeviation: 2, using: &generator)
    let source = Tensor(randomNormal: [1, keys, 3], using: &generator)
    let weights = try #require(layer(query: query, source: layer.prepared(source)).weights)
    let parameters = Dictionary(uniqueKeysWithValues: layer.namedTensors.map { ($0.name, $0.tensor) })
    let (general, position, v) = (parameters["score.weight"]!, parameters["position.weight"]!, parameters["v"]!)
    for row in 0..<queries {
      let state = (0..<4).map { Double(query[0, row, $0]) }
      let inner = (0..<5).reduce(0.0) { sum, unit in
        sum + Double(v[unit]) * tanh((0..<4).reduce(0.0) { $0 + Double(position[unit, $1]) * state[$1] })
      }
      let centre = Double(keys) / (1 + exp(-inner))
      let window = (0..<keys).filter { abs(Double($0) - centre) <= 3 }
      let exponentials = window.map { key in
        exp(
          (0..<4).reduce(0.0) { sum, unit in
            sum + state[unit] * (0..<3).reduce(0.0) { $0 + Double(general[unit, $1]) * Double(source[0, key, $1]) }
          })
      }
      let total = exponentials.reduce(0, +)
      var sum = 0.0
      for key in 0..<keys {
        var expected = 0.0
        if let place = window.firstIndex(of: key) {
          let distance = Double(key) - centre
          expected = exponentials[place] / total * exp(-distance * distance / (2 * 1.5 * 1.5))
        }
        #expect(abs(Double(weights[0, row, key]) - expected) < 3e-6)
        sum += expected
      }
      #expect(sum < 1)
    }
  }

  @Test func untrackedCallsKeepNothing() {
    var generator = SeededGenerator(seed: 1)
    let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 5, width: 7, using: &generator)
    let x = Tensor(randomNormal: [1, 2, 3], using: &generator)
    let source = Tensor(randomNormal: [1, 4, 5], using: &generator)
    #expect(!layer(query: x, source: layer.prepared(source)).context.isTracked)
    let tracked = layer.tracked()
    let result = tracked(query: x, source: tracked.prepared(source))
    #expect(result.context.isTracked && result.weights!.isTracked && result.weights(ofSequence: 0).isTracked)
  }
}

/// A call that any layer can make.
struct AlignmentCall {
  let query: Tensor
  let source: Tensor
  var layouts: (SequenceLayout, SequenceLayout)?
  var mask = AttentionMask.none

  func run(_ layer: LuongAttention) -> AlignedContext {
    layer(query: query, layout: layouts?.0, source: layer.prepared(source, layout: layouts?.1), mask: mask)
  }

  func run(_ layer: LocalAttention) -> AlignedContext {
    layer(query: query, layout: layouts?.0, source: layer.prepared(source, layout: layouts?.1), mask: mask)
  }
}
