import Attention
import AttentionTestSupport
import Testing

/// A wrong shape in code ends the process, and the message shows the shapes.
@Suite struct MisuseTests {
  @Test func differingKeyWidths() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = scaledDotProductAttention(
        query: Tensor(zeros: [1, 2, 3, 8]), key: Tensor(zeros: [1, 2, 5, 9]), value: Tensor(zeros: [1, 2, 5, 7]))
    }
    for shape in ["[1, 2, 3, 8]", "[1, 2, 5, 9]", "[1, 2, 5, 7]"] {
      #expect(message(result).contains(shape))
    }
  }

  @Test func wrongRank() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = scaledDotProductAttention(
        query: Tensor(zeros: [2, 3, 8]), key: Tensor(zeros: [1, 2, 5, 8]), value: Tensor(zeros: [1, 2, 5, 7]))
    }
    #expect(message(result).contains("[2, 3, 8]"))
  }

  @Test func differingBatches() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = scaledDotProductAttention(
        query: Tensor(zeros: [2, 2, 3, 8]), key: Tensor(zeros: [1, 2, 5, 8]), value: Tensor(zeros: [1, 2, 5, 7]))
    }
    #expect(message(result).contains("[2, 2, 3, 8]"))
  }

  @Test func headsThatDoNotDivide() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = scaledDotProductAttention(
        query: Tensor(zeros: [1, 3, 3, 8]), key: Tensor(zeros: [1, 2, 5, 8]), value: Tensor(zeros: [1, 2, 5, 7]))
    }
    #expect(message(result).contains("3 query heads"))
    #expect(message(result).contains("[1, 2, 5, 8]"))
  }

  @Test func noKeyWidth() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = scaledDotProductAttention(
        query: Tensor(zeros: [1, 2, 3, 0]), key: Tensor(zeros: [1, 2, 5, 0]), value: Tensor(zeros: [1, 2, 5, 7]))
    }
    #expect(message(result).contains("[1, 2, 3, 0]"))
  }

  @Test func slopesThatAreNotFinite() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionMask.linearBias(slopes: [1, .infinity], alignment: .start)
    }
    #expect(message(result).contains("[1.0, inf]"))
  }

  @Test func maskOfRankFive() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = scaledDotProductAttention(
        query: x, key: x, value: x, mask: .bias(Tensor(zeros: [1, 1, 1, 3, 3])))
    }
    #expect(message(result).contains("[1, 1, 1, 3, 3]"))
    #expect(message(result).contains("[1, 2, 3, 3]"))
  }

  @Test func maskThatDoesNotBroadcast() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = scaledDotProductAttention(
        query: x, key: x, value: x, mask: .allowed(BooleanTensor([true, true], shape: [2])))
    }
    #expect(message(result).contains("allowed [2]"))
  }

  @Test func keyLengthsPastTheKeys() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = scaledDotProductAttention(query: x, key: x, value: x, mask: .keyLengths([4]))
    }
    #expect(message(result).contains("[4]"))
  }

  @Test func documentsOfAnotherLength() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = scaledDotProductAttention(query: x, key: x, value: x, mask: .documents([[1, 2]]))
    }
    #expect(message(result).contains("[2]"))
  }

  @Test func slopesOfOtherHeads() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = scaledDotProductAttention(query: x, key: x, value: x, mask: .linearBias(slopes: [1], alignment: .end))
    }
    #expect(message(result).contains("1 linear-bias slopes for 2 query heads"))
  }

  @Test func layoutOfOtherTokens() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [7, 16])
      _ = scaledDotProductAttention(
        query: x, key: x, value: x, layout: SequenceLayout(lengths: [3, 5]), heads: 2)
    }
    #expect(message(result).contains("[7, 16]"))
    #expect(message(result).contains("[3, 5]"))
  }

  @Test func softcapOfZero() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionOptions(softcap: 0)
    }
    #expect(message(result).contains("softcap"))
  }

  @Test func softcapWithoutAReciprocal() async {
    await #expect(processExitsWith: .failure) { _ = AttentionOptions(softcap: .leastNonzeroMagnitude) }
    await #expect(processExitsWith: .failure) { _ = AttentionOptions(softcap: 0x1p127) }
  }

  @Test func scaleThatIsNotFinite() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionOptions(scale: .nan)
    }
    #expect(message(result).contains("scale"))
  }
}
