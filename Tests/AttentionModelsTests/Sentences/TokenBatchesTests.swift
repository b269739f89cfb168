import Attention
import Testing

import AttentionModels

@Suite struct TokenBatchesTests {
  @Test(
    "Every sequence is in one batch, longest first, within the budget",
    arguments: [1, 7, 64, 512, 100_000], [1, 2, 3, 8])
  func partition(_ budget: Int, _ threads: Int) {
    var generator = SeededGenerator(seed: UInt64(budget * 31 + threads))
    for count in [0, 1, 2, 3, 10, 500] {
      let lengths = (0..<count).map { _ in Int.random(in: 0...200, using: &generator) }
      let batches = TokenBatches(lengths: lengths, budget: budget, threads: threads).batches
      #expect(batches.flatMap(\.self).sorted() == Array(0..<count))
      #expect(!batches.contains([]))
      for batch in batches where batch.count > 1 {
        #expect(batch.reduce(0) { $0 + lengths[$1] } <= budget)
      }
      let order = batches.flatMap(\.self).map { lengths[$0] }
      #expect(zip(order, order.dropFirst()).allSatisfy { $0 >= $1 })
    }
  }

  @Test("Much work is cut evenly over the threads, little is not cut")
  func balance() {
    #expect(TokenBatches(lengths: [12], budget: 512, threads: 2).batches == [[0]])
    #expect(TokenBatches(lengths: [12, 13], budget: 512, threads: 2).batches.count == 1)
    let two = TokenBatches(lengths: [Int](repeating: 20, count: 20), budget: 512, threads: 2).batches
    #expect(two.map(\.count) == [10, 10])
    var generator = SeededGenerator(seed: 1)
    let lengths = (0..<1000).map { _ in Int.random(in: 5...100, using: &generator) }
    let batches = TokenBatches(lengths: lengths, budget: 512, threads: 2).batches
    let tokens = batches.map { $0.reduce(0) { $0 + lengths[$1] } }
    #expect(tokens.dropLast().min() ?? 0 > 400)
  }
}
