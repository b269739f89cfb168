import Attention
import AttentionTestSupport
import Testing

@Suite struct LocalAttentionTests {
  static let testCase = PairwiseCase([5, 0, 4], [11, 3, 6], width: 6, valueWidth: 3)
  static let centres: [Float] = [0.25, 5.5, 10.75, 4, 13.25, 0, 2.75, 5.25, -3]

  static func attend(
    isAdditive: Bool, reach: Int, hasGaussian: Bool = true, centres: [Float] = centres, mask: AttentionMask = .none
  ) -> AlignedContext {
    localAttention(
      query: testCase.query, key: testCase.key, value: testCase.value, v: isAdditive ? testCase.v : nil,
      centres: Tensor(centres, shape: [9]), reach: reach, hasGaussian: hasGaussian, layout: testCase.layout,
      keyLayout: testCase.keyLayout, mask: mask, returningWeights: true)
  }

  static func reference(isAdditive: Bool, reach: Int, hasGaussian: Bool = true) -> PairwiseReference {
    var reference = testCase.reference(isAdditive: isAdditive)
    reference.centres = centres.map(Double.init)
    reference.reach = reach
    reference.hasGaussian = hasGaussian
    return reference
  }

  @Test(arguments: [true, false], [1, 2, 3, 50]) func isItsFormula(_ isAdditive: Bool, _ reach: Int) {
    for hasGaussian in [true, false] {
      let expected = Self.reference(isAdditive: isAdditive, reach: reach, hasGaussian: hasGaussian)()
      let result = Self.attend(isAdditive: isAdditive, reach: reach, hasGaussian: hasGaussian)
      #expect(largestError(result.context, expected.context) < 3e-6)
      #expect(largestError(result.weights!, expected.weights) < 2e-6)
      for query in 0..<5 {
        let sum = (0..<11).reduce(Float(0)) { $0 + result.weights![query * 11 + $1] }
        #expect(hasGaussian ? sum < 1 : abs(sum - 1) < 1e-6 || sum == 0)
      }
    }
  }

  /// Central differences of the float64 formula, the centres' included: windows stay where they are.
  @Test(arguments: [true, false], [true, false]) func gradientsAreCentralDifferences(
    _ isAdditive: Bool, _ hasGaussian: Bool
  ) {
    let testCase = Self.testCase
    var generator = SeededGenerator(seed: 9)
    let ofContext = Tensor(randomNormal: [9, 3], using: &generator)
    let ofWeights = Tensor(randomNormal: [79], using: &generator)
    func objective(_ reference: PairwiseReference) -> Double {
      let (context, weights) = reference()
      return zip(context, ofContext.scalars).reduce(0) { $0 + $1.0 * Double($1.1) }
        + zip(weights, ofWeights.scalars).reduce(0) { $0 + $1.0 * Double($1.1) }
    }
    var moved = Self.centres
    // At a whole number plus or minus the reach, an edge lies on a key: there the formula jumps.
    for index in moved.indices where moved[index] == moved[index].rounded() { moved[index] += 0.125 }
    var inputs = [testCase.query, testCase.key, testCase.value, Tensor(moved, shape: [9])].map { $0.tracked() }
    if isAdditive { inputs.append(testCase.v.tracked()) }
    let result = localAttention(
      query: inputs[0], key: inputs[1], value: inputs[2], v: isAdditive ? inputs[4] : nil, centres: inputs[3],
      reach: 3, hasGaussian: hasGaussian, layout: testCase.layout, keyLayout: testCase.keyLayout,
      returningWeights: true)
    let found = gradients(
      of: [result.context, result.weights!], upstream: [ofContext, ofWeights], withRespectTo: inputs)
    var reference = Self.reference(isAdditive: isAdditive, reach: 3, hasGaussian: hasGaussian)
    reference.centres = moved.map(Double.init)
    func differences(_ place: WritableKeyPath<PairwiseReference, [Double]>) -> [Double] {
      reference[keyPath: place].indices.map { index in
        var (above, below) = (reference, reference)
        above[keyPath: place][index] += 1e-5
        below[keyPath: place][index] -= 1e-5
        return (objective(above) - objective(below)) / 2e-5
      }
    }
    #expect(largestError(found[0], differences(\.query)) < 1e-5)
    #expect(largestError(found[1], differences(\.key)) < 1e-5)
    #expect(largestError(found[2], differences(\.value)) < 1e-5)
    #expect(largestError(found[3], differences(\.centres!)) < 1e-5)
    if isAdditive { #expect(largestError(found[4], differences(\.v!)) < 1e-5) }
    if !hasGaussian { #expect(found[3] == Tensor(zeros: [9])) }
  }

  /// Whole positions without the Gaussian: a window mask of dot-product attention with a scale of 1.
  @Test func wholePositionsAreAWindowMask() {
    let testCase = Self.testCase
    let positions = testCase.queryLengths.flatMap { (0..<$0).map { Float($0) } }
    for mask in [AttentionMask.none, .keyLengths([3, 0, 6]), .causal(.start)] {
      let local = Self.attend(isAdditive: false, reach: 2, hasGaussian: false, centres: positions, mask: mask)
      let masked = scaledDotProductAttention(
        query: testCase.query, key: testCase.key, value: testCase.value, layout: testCase.layout,
        keyLayout: testCase.keyLayout, heads: 1, mask: mask & .window(left: 2, right: 2),
        options: .init(scale: 1), returning: .weights)
      #expect(largestError(local.context, masked.output.scalars.map(Double.init)) < 3e-6)
      for sequence in 0..<3 {
        let expected = masked.weights![sequence].scalars.map(Double.init)
        #expect(largestError(local.weights(ofSequence: sequence), expected) < 2e-6)
      }
    }
  }

  @Test func centresThatAreNowhere() {
    let far: [Float] = [.infinity, -.infinity, 1e30, -1e30, 1e9]
    for nowhere in far {
      let result = Self.attend(
        isAdditive: true, reach: 2, centres: [Float](repeating: nowhere, count: 9))
      #expect(result.context == Tensor(zeros: [9, 3]) && result.weights == Tensor(zeros: [79]))
    }
    var centres = Self.centres
    centres[1] = .nan
    let result = Self.attend(isAdditive: true, reach: 2, centres: centres)
    let isNaN = result.context.sliced(1..<2).scalars.allSatisfy { $0.isNaN }
    #expect(isNaN)
    let others = Self.attend(isAdditive: true, reach: 2)
    #expect(result.context.sliced(2..<9) == others.context.sliced(2..<9))
    #expect(result.context.sliced(0..<1) == others.context.sliced(0..<1))
  }

  /// Keys at exactly the reach belong to the window, and have the factor e⁻².
  @Test func edges() {
    let key = Tensor(zeros: [1, 9, 2])
    let value = Tensor((0..<9).map { Float($0) }, shape: [1, 9, 1])
    let result = localAttention(
      query: Tensor(zeros: [1, 1, 2]), key: key, value: value, centres: Tensor([4], shape: [1, 1]), reach: 2,
      returningWeights: true)
    let shares = result.weights!.scalars.map { $0 * 5 }
    let expected: [Float] = [0, 0, 0.1353353, 0.6065307, 1, 0.6065307, 0.1353353, 0, 0]
    let isClose = zip(shares, expected).allSatisfy { abs($0 - $1) < 1e-6 }
    #expect(isClose)
  }
}
