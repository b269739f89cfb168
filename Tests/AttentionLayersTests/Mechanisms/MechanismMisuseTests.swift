import Attention
import AttentionLayers
import AttentionTestSupport
import Testing

@Suite struct MechanismMisuseTests {
  @Test func aDotOfUnequalWidths() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      _ = AlignmentScore(.dot, queryWidth: 3, sourceWidth: 4, using: &generator)
    }
    #expect(message(result).contains("dot of queries 3, a source 4"))
  }

  @Test func aQueryOfAnotherWidth() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 4, width: 5, using: &generator)
      _ = layer(query: Tensor(zeros: [1, 2, 4]), source: layer.prepared(Tensor(zeros: [1, 2, 4])))
    }
    #expect(message(result).contains("AdditiveAttention: a query [1, 2, 4] is not [B, Lq, 3]"))
  }

  @Test func aSourceOfAnotherWidth() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 4, width: 5, using: &generator)
      _ = layer.prepared(Tensor(zeros: [1, 2, 3]))
    }
    #expect(message(result).contains("a source [1, 2, 3] is not [B, Lk, 4]"))
  }

  @Test func aSourceOfAnotherLayout() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 4, width: 5, using: &generator)
      _ = layer.prepared(Tensor(zeros: [5, 4]), layout: SequenceLayout(lengths: [2, 2]))
    }
    #expect(message(result).contains("[5, 4]") && message(result).contains("[4, 4] of the layout"))
  }

  @Test func aSourcePreparedForOtherScores() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 3, width: 3, using: &generator)
      let other = LuongAttention(score: AlignmentScore(.dot, queryWidth: 3, sourceWidth: 3, using: &generator))
      _ = layer(query: Tensor(zeros: [1, 2, 3]), source: other.prepared(Tensor(zeros: [1, 2, 3])))
    }
    #expect(message(result).contains("prepared for dot scores"))
  }

  @Test func aRaggedQueryOverABatch() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 3, width: 3, using: &generator)
      _ = layer(
        query: Tensor(zeros: [2, 3]), layout: SequenceLayout(lengths: [2]),
        source: layer.prepared(Tensor(zeros: [1, 2, 3])))
    }
    #expect(message(result).contains("as [B, Lk, d]"))
  }

  @Test func batchesThatDiffer() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 3, width: 3, using: &generator)
      _ = layer(query: Tensor(zeros: [2, 2, 3]), source: layer.prepared(Tensor(zeros: [1, 2, 3])))
    }
    #expect(message(result).contains("AdditiveAttention") && message(result).contains("[2, 2, 3]"))
  }

  @Test func aReachOfNothing() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let score = AlignmentScore(.dot, queryWidth: 3, sourceWidth: 3, using: &generator)
      _ = LocalAttention(.monotonic, score: score, reach: 0, using: &generator)
    }
    #expect(message(result).contains("a reach of 0"))
  }

  @Test func aPredictionWithoutItsGaussian() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let score = AlignmentScore(.dot, queryWidth: 3, sourceWidth: 3, using: &generator)
      _ = LocalAttention(.predictive, score: score, reach: 2, hasGaussian: false, using: &generator)
    }
    #expect(message(result).contains("never learns where to look"))
  }

  @Test func positionsOfOtherQueries() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let score = AlignmentScore(.dot, queryWidth: 3, sourceWidth: 3, using: &generator)
      let layer = LocalAttention(.monotonic, score: score, reach: 2, using: &generator)
      let x = Tensor(zeros: [1, 2, 3])
      _ = layer(query: x, source: layer.prepared(x), positions: [0])
    }
    #expect(message(result).contains("1 positions for 2 queries"))
  }

  @Test func keyLengthsOfAnotherBatch() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let layer = AdditiveAttention(queryWidth: 3, sourceWidth: 3, width: 3, using: &generator)
      let x = Tensor(zeros: [2, 2, 3])
      _ = layer(query: x, source: layer.prepared(x), mask: .keyLengths([1]))
    }
    #expect(message(result).contains("key lengths [1] do not fit sequences of [2, 2] keys"))
  }
}
