import Attention
import AttentionModels
import Testing

@Suite struct BERTTests {
  static func model(seed: UInt64 = 1) -> BERT {
    var generator = SeededGenerator(seed: seed)
    return BERT(
      BERTConfiguration(
        vocabularySize: 50, width: 32, blockCount: 2, heads: 4, feedForwardWidth: 48, maximumLength: 20,
        initialDeviation: 0.2), hasMaskedTokenHead: true, using: &generator)
  }

  @Test("A sequence's rows do not depend on its batch mates")
  func sequencesAreIndependent() {
    let model = Self.model()
    let lengths = [5, 1, 0, 20, 7]
    var generator = SeededGenerator(seed: 2)
    let ids = lengths.map { length in (0..<length).map { _ in Int.random(in: 0..<50, using: &generator) } }
    let together = model(ids.flatMap { $0 }, layout: SequenceLayout(lengths: lengths))
    var first = 0
    for sequence in ids {
      let alone = model(sequence, layout: SequenceLayout(lengths: [sequence.count]))
      let rows = together.sliced(first..<first + sequence.count)
      #expect(zip(alone.scalars, rows.scalars).allSatisfy { abs($0 - $1) <= 1e-5 })
      first += sequence.count
    }
    #expect(first == together.shape[0])
  }
}
