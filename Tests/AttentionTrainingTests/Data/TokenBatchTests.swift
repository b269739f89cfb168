import Attention
import AttentionTestSupport
import AttentionTraining
import Testing

@Suite struct TokenBatchTests {
  @Test func `holds what it was given`() {
    let batch = TokenBatch(
      ids: [1, 2, 3], labels: [2, -100, 0], segments: [0, 0, 1], layout: SequenceLayout(lengths: [1, 0, 2]))
    #expect(batch.predictionCount == 2 && batch.segments == [0, 0, 1] && batch.layout.sequenceCount == 3)
    #expect(TokenBatch.ignoredLabel == -100)
    #expect(TokenBatch(ids: [], labels: [], layout: SequenceLayout(lengths: [])).predictionCount == 0)
  }

  @Test func `what does not fit is misuse`() async {
    let counts = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TokenBatch(ids: [1, 2], labels: [2], layout: SequenceLayout(lengths: [2]))
    }
    #expect(message(counts).contains("TokenBatch: 2 ids, 1 labels and 2 segments for 2 tokens"))
    let segments = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TokenBatch(ids: [1, 2], labels: [2, 1], segments: [0], layout: SequenceLayout(lengths: [2]))
    }
    #expect(message(segments).contains("1 segments for 2 tokens"))
    let id = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TokenBatch(ids: [-1], labels: [2], layout: SequenceLayout(lengths: [1]))
    }
    #expect(message(id).contains("an id is negative"))
    let label = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = TokenBatch(ids: [1], labels: [-1], layout: SequenceLayout(lengths: [1]))
    }
    #expect(message(label).contains("a label is negative, and not -100"))
  }
}
