import Attention
import AttentionLayers
import AttentionModels
import AttentionTestSupport
import AttentionTraining
import Testing

@Suite struct NextTokensTests {
  private static func model(tied: Bool) -> GPT2 {
    var generator = SeededGenerator(seed: 5)
    return GPT2(
      GPT2Configuration(
        vocabularySize: 37, width: 16, blockCount: 1, heads: 2, maximumLength: 12, isTied: tied, initialDeviation: 0.3,
        dropout: 0.2),
      using: &generator)
  }

  private static let batch = TokenBatch(
    ids: [3, 1, 4, 1, 5, 9, 2, 6], labels: [1, 4, -100, 5, 9, 2, -100, 36], layout: SequenceLayout(lengths: [3, 5]))

  @Test func `counts what is predicted and what is read`() {
    let objective = NextTokens<GPT2>()
    #expect(objective.lossNames == ["tokens"])
    #expect(objective.itemCounts(of: Self.batch) == [6] && objective.tokenCount(of: Self.batch) == 8)
  }

  /// The fused head gives what all scores give, with gradients.
  @Test(arguments: [true, false], [0, 0.1] as [Float])
  func `the loss is the cross-entropy of the scores`(tied: Bool, smoothing: Float) {
    let model = Self.model(tied: tied).tracked()
    let key = DropoutKey(seed: 3)
    let loss = NextTokens(smoothing: smoothing).lossSums(of: model, on: Self.batch, dropout: key)[0]
    let hidden = model(Self.batch.ids, layout: Self.batch.layout, dropout: key)
    let plain = crossEntropy(
      model.scores(hidden), labels: Self.batch.labels, smoothing: smoothing, reduction: .sum)
    #expect(loss.shape == [] && abs(loss.scalars[0] - plain.scalars[0]) <= 1e-5 * plain.scalars[0])
    let found = gradients(of: loss, withRespectTo: model)
    let wanted = gradients(of: plain, withRespectTo: model)
    for (name, (gradient, expected)) in zip(found.names, zip(found.tensors, wanted.tensors)) {
      let size = expected.scalars.reduce(0) { max($0, abs($1)) }
      let error = zip(gradient.scalars, expected.scalars).reduce(0) { max($0, abs($1.0 - $1.1)) }
      #expect(error <= 1e-5 * size + 1e-6, "\(name)")
    }
  }

  /// A held-out loss is that of the labels, whatever was smoothed in training.
  @Test func `nothing is smoothed or dropped without a key`() {
    let model = Self.model(tied: true)
    let plain = NextTokens().lossSums(of: model, on: Self.batch, dropout: nil)[0]
    let smoothed = NextTokens(smoothing: 0.5).lossSums(of: model, on: Self.batch, dropout: nil)[0]
    let trained = NextTokens(smoothing: 0.5).lossSums(of: model, on: Self.batch, dropout: DropoutKey(seed: 1))[0]
    #expect(plain.scalars == smoothed.scalars && plain.scalars != trained.scalars && !plain.isTracked)
  }

  @Test func `a batch without predictions has a loss of 0 and no gradient`() {
    let model = Self.model(tied: true).tracked()
    let batch = TokenBatch(ids: [1, 2], labels: [-100, -100], layout: SequenceLayout(lengths: [2]))
    let loss = NextTokens().lossSums(of: model, on: batch, dropout: nil)[0]
    #expect(loss.scalars == [0] && gradients(of: loss, withRespectTo: model).norm == 0)
    let empty = TokenBatch(ids: [], labels: [], layout: SequenceLayout(lengths: []))
    #expect(NextTokens().lossSums(of: model, on: empty, dropout: nil)[0].scalars == [0])
    #expect(NextTokens<GPT2>().itemCounts(of: empty) == [0])
  }
}
