import Attention
import AttentionTestSupport
import Testing

@Suite struct AdditiveAttentionTests {
  /// Masks, and what they allow by their definitions.
  struct MaskCase: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let mask: AttentionMask
    let allows: @Sendable (_ sequence: Int, _ query: Int, _ key: Int) -> Bool
    var bias: @Sendable (_ query: Int, _ key: Int) -> Double = { _, _ in 0 }
  }

  static let queryLengths = [4, 0, 6, 1]
  static let keyLengths = [9, 3, 5, 0]
  private static let queryDocuments = [0, 1, 0, 2, 1, 1]
  private static let keyDocuments = [1, 0, 1, 1, 0, 3, 0, 2, 2]
  private static let held = [3, 0, 4, 0]
  private static let biases: [Float] = (0..<54).map { cell -> Float in
    cell % 7 == 3 ? -.infinity : Float(cell % 5) / 2
  }

  static let everything = MaskCase(testDescription: "none", mask: .none, allows: { _, _, _ in true })
  static let causal = MaskCase(
    testDescription: "causal from the start", mask: .causal(.start), allows: { _, query, key in key <= query })
  /// Of six queries over five keys the first sees nothing.
  static let causalToTheEnd = MaskCase(
    testDescription: "causal to the end", mask: .causal(.end),
    allows: { sequence, query, key in
      let offset = keyLengths[sequence] - queryLengths[sequence]
      return key <= query + offset
    })
  static let window = MaskCase(
    testDescription: "window and lengths", mask: .window(left: 1, right: 2) & .keyLengths(held),
    allows: { sequence, query, key in
      let isNear = key >= query - 1 && key <= query + 2
      return isNear && key < held[sequence]
    })
  static let cells = MaskCase(testDescription: "cells", mask: .predicate(isOpen), allows: { isOpen($1, $2) })
  static let documents = MaskCase(
    testDescription: "documents",
    mask: .documents(
      query: queryLengths.map { Array(queryDocuments.prefix($0)) },
      key: keyLengths.map { Array(keyDocuments.prefix($0)) }),
    allows: { _, query, key in queryDocuments[query] == keyDocuments[key] })
  static let bias = MaskCase(
    testDescription: "bias", mask: .bias(Tensor(biases, shape: [6, 9])),
    allows: { _, query, key in biases[query * 9 + key].isFinite },
    bias: { query, key in Double(biases[query * 9 + key]) })
  static let masks = [everything, causal, causalToTheEnd, window, cells, documents, bias]

  @Sendable private static func isOpen(_ query: Int, _ key: Int) -> Bool {
    let number = query * 5 + key * 3
    return number % 4 > 1 && query != 2
  }

  @Test(arguments: masks) func isItsFormula(_ mask: MaskCase) {
    let testCase = PairwiseCase(Self.queryLengths, Self.keyLengths)
    var reference = testCase.reference()
    reference.allows = mask.allows
    reference.bias = mask.bias
    let expected = reference()
    let result = testCase.attend(mask: mask.mask)
    #expect(largestError(result.context, expected.context) < 2e-6)
    #expect(largestError(result.weights!, expected.weights) < 2e-6)
    // Cells that nobody may see are 0 to the bit.
    let hiddenIsZero = zip(result.weights!.scalars, expected.weights).allSatisfy { $1 != 0 || $0 == 0 }
    #expect(hiddenIsZero)
    let alone = testCase.attend(mask: mask.mask, returningWeights: false)
    #expect(alone.context == result.context && alone.weights == nil)
  }

  /// The gradients of Σ context·U + Σ weights·W, by central differences of the float64 formula.
  @Test(arguments: masks) func gradientsAreCentralDifferences(_ mask: MaskCase) {
    let testCase = PairwiseCase(Self.queryLengths, Self.keyLengths, width: 3, valueWidth: 2)
    var generator = SeededGenerator(seed: 9)
    let ofContext = Tensor(randomNormal: [11, 2], using: &generator)
    let ofWeights = Tensor(randomNormal: [66], using: &generator)
    var reference = testCase.reference()
    reference.allows = mask.allows
    reference.bias = mask.bias
    func objective(_ reference: PairwiseReference) -> Double {
      let (context, weights) = reference()
      return zip(context, ofContext.scalars).reduce(0) { $0 + $1.0 * Double($1.1) }
        + zip(weights, ofWeights.scalars).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    func differences(_ place: WritableKeyPath<PairwiseReference, [Double]>) -> [Double] {
      reference[keyPath: place].indices.map { index in
        var (above, below) = (reference, reference)
        above[keyPath: place][index] += 1e-5
        below[keyPath: place][index] -= 1e-5
        return (objective(above) - objective(below)) / 2e-5
      }
    }
    let inputs = [testCase.query, testCase.key, testCase.value, testCase.v].map { $0.tracked() }
    let result = additiveAttention(
      query: inputs[0], key: inputs[1], value: inputs[2], v: inputs[3], layout: testCase.layout,
      keyLayout: testCase.keyLayout, mask: mask.mask, returningWeights: true)
    let found = gradients(
      of: [result.context, result.weights!], upstream: [ofContext, ofWeights], withRespectTo: inputs)
    #expect(largestError(found[0], differences(\.query)) < 5e-6)
    #expect(largestError(found[1], differences(\.key)) < 5e-6)
    #expect(largestError(found[2], differences(\.value)) < 5e-6)
    #expect(largestError(found[3], differences(\.v!)) < 5e-6)
  }

  @Test(arguments: [(1, 1, 1, 1), (3, 65, 64, 2), (2, 70, 63, 33), (33, 17, 129, 1), (40, 90, 3, 0), (5, 4, 0, 3)])
  func sizes(_ queries: Int, _ keys: Int, _ width: Int, _ valueWidth: Int) {
    let testCase = PairwiseCase([queries], [keys], width: width, valueWidth: valueWidth)
    let expected = testCase.reference()()
    let result = testCase.attend()
    #expect(result.context.shape == [queries, valueWidth])
    #expect(largestError(result.context, expected.context) < 5e-6)
    #expect(largestError(result.weights!, expected.weights) < 5e-6)
    #expect(result.weights(ofSequence: 0).shape == [queries, keys])
  }

  static let emptyLengths: [([Int], [Int])] = [([], []), ([0], [0]), ([0], [4]), ([3], [0]), ([0, 2], [3, 0])]

  @Test func nothingAtAll() {
    for lengths in Self.emptyLengths {
      let testCase = PairwiseCase(lengths.0, lengths.1)
      let inputs = [testCase.query, testCase.key, testCase.value, testCase.v].map { $0.tracked() }
      let result = additiveAttention(
        query: inputs[0], key: inputs[1], value: inputs[2], v: inputs[3], layout: testCase.layout,
        keyLayout: testCase.keyLayout, returningWeights: true)
      #expect(result.context == Tensor(zeros: [lengths.0.reduce(0, +), 5]))
      let found = gradients(
        of: [result.context], upstream: [Tensor(repeating: .nan, shape: result.context.shape)], withRespectTo: inputs)
      #expect(found == inputs.map { Tensor(zeros: $0.shape) })
    }
    for shape in [[0, 3, 4], [2, 0, 4], [2, 3, 0]] {
      let key = Tensor(zeros: [shape[0], 5, shape[2]])
      let result = additiveAttention(
        query: Tensor(zeros: shape), key: key, value: Tensor(zeros: [shape[0], 5, 6]), v: Tensor(zeros: [shape[2]]))
      if shape[0] > 0 {
        #expect(result.context.shape == [shape[0], shape[1], 6])
      } else {
        #expect(result.context.count == 0)
      }
    }
  }

  /// `[B, L, d]` with lengths, a ragged batch, and every sequence alone: the same bits, gradients included.
  @Test func paddedRaggedAndAlone() {
    let testCase = PairwiseCase([3, 3, 3], [5, 2, 4], width: 33, valueWidth: 9)
    var padded = (key: Tensor(repeating: .nan, shape: [3, 5, 33]), value: Tensor(repeating: .nan, shape: [3, 5, 9]))
    for sequence in 0..<3 {
      for (position, row) in testCase.keyLayout.range(of: sequence).enumerated() {
        for column in 0..<33 { padded.key[sequence, position, column] = testCase.key[row, column] }
        for column in 0..<9 { padded.value[sequence, position, column] = testCase.value[row, column] }
      }
    }
    let upstream = PairwiseCase([9], [1], width: 9, seed: 8).query
    func run(
      _ query: Tensor, _ key: Tensor, _ value: Tensor, _ layouts: (SequenceLayout, SequenceLayout)?,
      mask: AttentionMask = .none, upstream: Tensor
    ) -> (context: Tensor, gradients: [Tensor]) {
      let inputs = [query, key, value].map { $0.tracked() }
      let context = additiveAttention(
        query: inputs[0], key: inputs[1], value: inputs[2], v: testCase.v, layout: layouts?.0, keyLayout: layouts?.1,
        mask: mask
      ).context
      return (
        context.detached(),
        gradients(of: [context], upstream: [upstream.reshaped(to: context.shape)], withRespectTo: inputs)
      )
    }
    let ragged = run(
      testCase.query, testCase.key, testCase.value, (testCase.layout, testCase.keyLayout), upstream: upstream)
    let batched = run(
      testCase.query.reshaped(to: [3, 3, 33]), padded.key, padded.value, nil, mask: .keyLengths([5, 2, 4]),
      upstream: upstream)
    #expect(batched.context.reshaped(to: [9, 9]) == ragged.context)
    #expect(batched.gradients[0].reshaped(to: [9, 33]) == ragged.gradients[0])
    for sequence in 0..<3 {
      let (queries, keys) = (testCase.layout.range(of: sequence), testCase.keyLayout.range(of: sequence))
      let alone = run(
        testCase.query.sliced(queries), testCase.key.sliced(keys), testCase.value.sliced(keys),
        (SequenceLayout(lengths: [3]), SequenceLayout(lengths: [keys.count])), upstream: upstream.sliced(queries))
      #expect(alone.context == ragged.context.sliced(queries))
      #expect(alone.gradients[0] == ragged.gradients[0].sliced(queries))
      for (index, whole) in [(1, ragged.gradients[1]), (2, ragged.gradients[2])] {
        #expect(alone.gradients[index] == whole.sliced(keys))
        let inPadding = batched.gradients[index].sliced(sequence..<sequence + 1)
        let width = whole.shape[1]
        #expect(inPadding.reshaped(to: [5, width]).sliced(0..<keys.count) == whole.sliced(keys))
        // Padding gets 0, whatever it holds.
        #expect(inPadding.reshaped(to: [5, width]).sliced(keys.count..<5) == Tensor(zeros: [5 - keys.count, width]))
      }
    }
  }

  /// What is behind a mask changes no bit, there or on the way back; what is in sight shows.
  @Test(arguments: [Float.nan, .infinity]) func poisonBehindAMask(_ poison: Float) {
    let testCase = PairwiseCase([6], [9])
    let mask = AttentionMask.predicate { $1 != 4 || $0 == 3 }
    func run(_ value: Float) -> (context: Tensor, gradients: [Tensor]) {
      var (key, source) = (testCase.key, testCase.value)
      for column in 0..<7 { key[4, column] = value }
      for column in 0..<5 { source[4, column] = value }
      let inputs = [testCase.query, key, source, testCase.v].map { $0.tracked() }
      let context = additiveAttention(
        query: inputs[0], key: inputs[1], value: inputs[2], v: inputs[3], layout: testCase.layout,
        keyLayout: testCase.keyLayout, mask: mask
      ).context
      // Nothing flows back through the row that sees it.
      var upstream = Tensor(repeating: 1, shape: context.shape)
      for column in 0..<5 { upstream[3, column] = 0 }
      return (context.detached(), gradients(of: [context], upstream: [upstream], withRespectTo: inputs))
    }
    let (clean, poisoned) = (run(0.5), run(poison))
    for row in 0..<6 {
      let isEqual = poisoned.context.sliced(row..<row + 1) == clean.context.sliced(row..<row + 1)
      #expect(isEqual == (row != 3))
    }
    let shows = poisoned.context.sliced(3..<4).scalars.allSatisfy { !$0.isFinite }
    #expect(shows)
    for row in 0..<6 where row != 3 {
      #expect(poisoned.gradients[0].sliced(row..<row + 1) == clean.gradients[0].sliced(row..<row + 1))
    }
  }
}
