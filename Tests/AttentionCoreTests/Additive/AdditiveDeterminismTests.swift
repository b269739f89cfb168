import Attention
import AttentionTestSupport
import Testing

/// Additive and local attention, results and gradients: equal bits whatever the thread count, and whoever else calls.
@Suite(.serialized, .exclusiveThreadCount) struct AdditiveDeterminismTests {
  struct Results: Sendable, Equatable {
    let tensors: [Tensor]
  }

  static func run(_ seed: UInt64) -> Results {
    let testCase = PairwiseCase([40, 3, 0, 17], [50, 9, 4, 70], width: 130, valueWidth: 33, seed: seed)
    let centres = Tensor((0..<60).map { Float($0) * 0.7 }, shape: [60])
    let inputs = [testCase.query, testCase.key, testCase.value, testCase.v, centres].map { $0.tracked() }
    let results = [
      additiveAttention(
        query: inputs[0], key: inputs[1], value: inputs[2], v: inputs[3], layout: testCase.layout,
        keyLayout: testCase.keyLayout, mask: .causal(.end), returningWeights: true),
      localAttention(
        query: inputs[0], key: inputs[1], value: inputs[2], centres: inputs[4], reach: 9, layout: testCase.layout,
        keyLayout: testCase.keyLayout, returningWeights: true),
    ].flatMap { [$0.context, $0.weights!] }
    var generator = SeededGenerator(seed: 3)
    let upstream = results.map { Tensor(randomNormal: $0.shape, using: &generator) }
    return Results(
      tensors: results.map { $0.detached() } + gradients(of: results, upstream: upstream, withRespectTo: inputs))
  }

  @Test func threadCountChangesNoBit() {
    Engine.setThreadCount(1)
    let expected = Self.run(1)
    for count in [2, 3, 8] {
      Engine.setThreadCount(count)
      #expect(Self.run(1) == expected, "\(count) threads")
    }
  }

  @Test func concurrentCallersChangeNoBit() async {
    let expected = (1...4).map { Self.run(UInt64($0)) }
    let wrong = await withTaskGroup(of: Int.self) { group in
      for caller in 0..<12 {
        group.addTask { await onThread { Self.run(UInt64(caller % 4 + 1)) == expected[caller % 4] ? 0 : 1 } }
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
