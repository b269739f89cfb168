import Attention
import AttentionTestSupport
import Testing

@Suite struct AdditiveMisuseTests {
  @Test func widths() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = additiveAttention(
        query: Tensor(zeros: [1, 2, 3]), key: Tensor(zeros: [1, 5, 4]), value: Tensor(zeros: [1, 5, 4]),
        v: Tensor(zeros: [3]))
    }
    #expect(message(result).contains("additiveAttention: queries [2, 3] and keys [5, 4] differ in width"))
  }

  @Test func vector() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = additiveAttention(
        query: Tensor(zeros: [1, 2, 3]), key: Tensor(zeros: [1, 5, 3]), value: Tensor(zeros: [1, 5, 4]),
        v: Tensor(zeros: [3, 1]))
    }
    #expect(message(result).contains("the vector of the scores [3, 1]"))
  }

  @Test func batches() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = additiveAttention(
        query: Tensor(zeros: [1, 2, 3]), key: Tensor(zeros: [2, 5, 3]), value: Tensor(zeros: [2, 5, 4]),
        v: Tensor(zeros: [3]))
    }
    #expect(message(result).contains("[1, 2, 3]") && message(result).contains("[2, 5, 4]"))
  }

  @Test func raggedRowsWithoutLayout() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = additiveAttention(
        query: Tensor(zeros: [2, 3]), key: Tensor(zeros: [5, 3]), value: Tensor(zeros: [5, 4]), v: Tensor(zeros: [3]))
    }
    #expect(message(result).contains("ragged rows need the layout"))
  }

  @Test func layoutOfOtherRows() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = additiveAttention(
        query: Tensor(zeros: [2, 3]), key: Tensor(zeros: [5, 3]), value: Tensor(zeros: [5, 4]), v: Tensor(zeros: [3]),
        layout: SequenceLayout(lengths: [2]), keyLayout: SequenceLayout(lengths: [4]))
    }
    #expect(message(result).contains("key sequences [4]"))
  }

  @Test func trackedBias() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = additiveAttention(
        query: Tensor(zeros: [1, 2, 3]), key: Tensor(zeros: [1, 5, 3]), value: Tensor(zeros: [1, 5, 4]),
        v: Tensor(zeros: [3]), mask: .bias(Tensor(zeros: [2, 5]).tracked()))
    }
    #expect(message(result).contains("no gradient flows to a bias [2, 5]"))
  }

  @Test func centres() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = localAttention(
        query: Tensor(zeros: [1, 2, 3]), key: Tensor(zeros: [1, 5, 3]), value: Tensor(zeros: [1, 5, 4]),
        centres: Tensor(zeros: [2]), reach: 2)
    }
    #expect(message(result).contains("centres [2] for queries [1, 2, 3]"))
  }

  @Test func reach() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = localAttention(
        query: Tensor(zeros: [1, 2, 3]), key: Tensor(zeros: [1, 5, 3]), value: Tensor(zeros: [1, 5, 4]),
        centres: Tensor(zeros: [1, 2]), reach: 0)
    }
    #expect(message(result).contains("a reach of 0"))
  }

  @Test func weightsThatWereNotAskedFor() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3])
      _ = additiveAttention(query: x, key: x, value: x, v: Tensor(zeros: [3])).weights(ofSequence: 0)
    }
    #expect(message(result).contains("weights were not asked for"))
  }
}
