import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// Gradients of attention against float64.
@Suite struct GradientReferenceTests {
  /// Past the edges of blocks, tiles and parts: the reference is slow.
  private static let large: [AttentionCase] = [
    AttentionCase(
      name: "two parts, causal", batch: 1, heads: 1, keyValueHeads: 1, queries: 40, keys: 2070, mask: .causal(.end)),
    AttentionCase(
      name: "several blocks and tiles, causal", batch: 1, heads: 1, keyValueHeads: 1, queries: 290, keys: 270,
      keyWidth: 20, valueWidth: 9, mask: .causal(.start)),
    AttentionCase(
      name: "several tiles of a group", batch: 1, heads: 3, keyValueHeads: 1, queries: 140, keys: 130,
      mask: .window(left: 70, right: 3)),
  ]

  /// Large scores have gradients that float32 itself misses: there the path that rounds least is the measure.
  @Test(arguments: AttentionCase.all.filter { $0.batch * $0.heads * $0.queries * $0.keys < 60_000 } + large)
  func agreesWithFloat64(_ test: AttentionCase) {
    let call = GradientCall(test)
    let expected = call.reference
    let naive = call.gradients(.naive)
    for path in [AttentionPath.naive, .blas, .fused] {
      let found = path == .naive ? naive : call.gradients(path)
      let tolerated = test.magnitude > 2 ? 2 * largestError(naive, expected) + 1e-5 : 0
      #expect(excess(found, expected) <= tolerated, "\(path)")
    }
  }

  /// The reference itself, against differences of its own forward pass.
  @Test func referenceAgreesWithDifferences() {
    var generator = SeededGenerator(seed: 3)
    let query = Tensor(randomNormal: [1, 4, 3, 5], using: &generator)
    let key = Tensor(randomNormal: [1, 2, 6, 5], using: &generator)
    let value = Tensor(randomNormal: [1, 2, 6, 4], using: &generator)
    let bias = Tensor(randomNormal: [4, 1, 6], using: &generator)
    let call = GradientCall(
      query: query, key: key, value: value, mask: .causal(.end) & .bias(bias), options: .init(softcap: 3))
    func loss(_ inputs: [Tensor]) -> Double {
      let reference = ReferenceAttention(
        query: inputs[0], key: inputs[1], value: inputs[2], mask: .causal(.end) & .bias(inputs[3]),
        options: .init(softcap: 3))
      var sum = 0.0
      for (index, row) in reference.allRows.flatMap({ $0.flatMap { $0 } }).enumerated() {
        for (column, x) in row.output.enumerated() { sum += x * Double(call.upstream.scalars[index * 4 + column]) }
        sum += row.logSumExp * Double(call.logSumExpUpstream!.scalars[index])
      }
      return sum
    }
    let inputs = [query, key, value, bias]
    let step: Float = 0x1p-8
    for (input, expected) in call.reference.enumerated() {
      for index in expected.indices {
        var (higher, lower) = (inputs, inputs)
        higher[input].withUnsafeMutableBufferPointer { $0[index] += step }
        lower[input].withUnsafeMutableBufferPointer { $0[index] -= step }
        let distance = Double(higher[input].scalars[index]) - Double(lower[input].scalars[index])
        let slope = (loss(higher) - loss(lower)) / distance
        #expect(abs(slope - expected[index]) < 2e-4 + 2e-4 * abs(slope), "input \(input), \(index)")
      }
    }
  }
}
