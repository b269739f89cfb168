import Attention
import AttentionTestSupport
import Testing

/// Many callers of gradients at once, and calls that are no use of dropout.
@Suite(.exclusiveThreadCount) struct GradientCallerTests {
  /// Each with a problem of its own, alone first.
  @Test(arguments: [8, 32]) func concurrentCallersGetTheSameBits(callers: Int) async {
    Engine.setThreadCount(4)
    let calls = (0..<callers).map { index in
      var generator = SeededGenerator(seed: UInt64(index))
      let (queries, keys) = (index % 3 == 0 ? 150 : 20 + index, 40 + 13 * index)
      let query = Tensor(randomNormal: [2, 4, queries, 16], using: &generator)
      let key = Tensor(randomNormal: [2, 2, keys, 16], using: &generator)
      let value = Tensor(randomNormal: [2, 2, keys, 9], using: &generator)
      let bias = Tensor(randomNormal: [4, 1, keys], using: &generator)
      return GradientCall(
        query: query, key: key, value: value, mask: index % 2 == 0 ? .causal(.end) & .bias(bias) : .none,
        options: .init(dropout: index % 4 == 1 ? AttentionDropout(probability: 0.2, seed: 3) : nil))
    }
    let expected = calls.map { $0.gradients(.fused) }
    let differing = await withTaskGroup(of: Int?.self) { group in
      for (index, call) in calls.enumerated() {
        group.addTask {
          for _ in 0..<3 where !hasEqualBits(call.gradients(.fused), expected[index]) { return index }
          return nil
        }
      }
      return await group.reduce(into: [Int]()) { known, index in if let index { known.append(index) } }
    }
    #expect(differing.isEmpty)
  }

  /// One graph, asked by many at once.
  @Test func oneGraphServesManyCallers() async {
    var generator = SeededGenerator(seed: 5)
    let leaf = Tensor(randomNormal: [1, 4, 90, 16], using: &generator).tracked()
    let upstream = Tensor(randomNormal: [1, 4, 90, 16], using: &generator)
    let output = Self.attending(to: leaf)
    let expected = gradients(of: [output], upstream: [upstream], withRespectTo: [leaf])[0]
    let same = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<16 {
        group.addTask {
          gradients(of: [output], upstream: [upstream], withRespectTo: [leaf])[0].hasBitsOrNaN(of: expected)
        }
      }
      return await group.reduce(true) { $0 && $1 }
    }
    #expect(same)
  }

  /// Not the asynchronous function.
  private static func attending(to x: Tensor) -> Tensor {
    scaledDotProductAttention(query: x, key: x, value: x, mask: .causal(.start))
  }

  // MARK: Dropout

  @Test func probabilityBelowZero() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionDropout(probability: -0.1, seed: 0)
    }
    #expect(message(result).contains("a probability of -0.1 does not lie in 0..<1"))
  }

  @Test func probabilityOfOne() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionDropout(probability: 1, seed: 0)
    }
    #expect(message(result).contains("a probability of 1.0 does not lie in 0..<1"))
  }

  @Test func probabilityThatIsNoNumber() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionDropout(probability: .nan, seed: 0)
    }
    #expect(message(result).contains("a probability of nan does not lie in 0..<1"))
  }

  @Test func dropoutOverACache() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      Self.attendToACache(dropping: AttentionDropout(probability: 0.5, seed: 1))
    }
    #expect(message(result).contains("over a cache, no weights are dropped"))
  }

  private static func attendToACache(dropping dropout: AttentionDropout) {
    var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 1, keyWidth: 8, valueWidth: 8)
    let (x, layout) = (Tensor(repeating: 1, shape: [3, 8]), SequenceLayout(lengths: [3]))
    cache.append(key: x, value: x, layout: layout)
    _ = scaledDotProductAttention(
      query: x, layout: layout, cache: cache, heads: 1, options: .init(dropout: dropout))
  }

  /// The largest probability below 1 is one: what stays is still finite.
  @Test func probabilityNearOne() {
    let x = Tensor(repeating: 1, shape: [1, 1, 4, 4])
    let options = AttentionOptions(dropout: AttentionDropout(probability: Float(1).nextDown, seed: 2))
    let found = GradientCall(query: x, key: x, value: x, options: options).gradients(.fused)
    #expect(found.allSatisfy { $0!.scalars.allSatisfy(\.isFinite) })
    let none = AttentionOptions(dropout: AttentionDropout(probability: 0, seed: 2))
    #expect(
      hasEqualBits(
        GradientCall(query: x, key: x, value: x, options: none).gradients(.fused),
        GradientCall(query: x, key: x, value: x).gradients(.fused)))
  }
}
