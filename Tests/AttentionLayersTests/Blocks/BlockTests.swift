import Attention
import AttentionTestSupport
import Testing

@Suite struct BlockTests {
  struct Choice: Sendable, CustomTestStringConvertible {
    let placement: NormPlacement
    let norm: Normalisation.Kind
    let isGated: Bool
    var testDescription: String { "\(placement.rawValue) \(norm.rawValue)\(isGated ? " gated" : "")" }

    static let all = NormPlacement.allCases.flatMap { placement in
      Normalisation.Kind.allCases.flatMap { norm in
        [false, true].map { Choice(placement: placement, norm: norm, isGated: $0) }
      }
    }

    func configuration(dropout: Float = 0) -> BlockConfiguration {
      BlockConfiguration(
        width: 12, heads: 3, feedForwardWidth: 20, activation: .silu, isGated: isGated, normPlacement: placement,
        norm: norm, dropout: dropout, rotary: RotaryEmbedding(width: 4))
    }
  }

  private func rows(_ count: Int, seed: UInt64 = 3) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(randomNormal: [count, 12], using: &generator)
  }

  /// A GPT-like stack: a prompt, then token by token, equals all at once.
  @Test(arguments: Choice.all) func cachedStackEqualsUncached(_ choice: Choice) {
    var generator = SeededGenerator(seed: 1)
    let stack = TransformerEncoder(choice.configuration(), blockCount: 2, using: &generator)
    #expect((stack.norm != nil) == (choice.placement == .pre))
    let x = rows(9)
    let whole = stack(x, layout: SequenceLayout(lengths: [9]), mask: .causal(.start))
    var caches = stack.makeCaches(sequenceCount: 1)
    var parts = [stack(x.sliced(0..<5), layout: SequenceLayout(lengths: [5]), caches: &caches)]
    for token in 5..<9 {
      parts.append(stack(x.sliced(token..<token + 1), layout: SequenceLayout(lengths: [1]), caches: &caches))
    }
    MultiHeadAttentionTests.expectEqual(Tensor.concatenated(parts), whole)
  }

  /// Incremental decoding over a prepared memory equals the form that trains.
  @Test(arguments: Choice.all) func incrementalDecodingEqualsTraining(_ choice: Choice) {
    var generator = SeededGenerator(seed: 1)
    var configuration = choice.configuration()
    configuration.rotary = nil
    let model = EncoderDecoderStack(configuration, encoderBlocks: 1, decoderBlocks: 2, using: &generator)
    let (sourceLayout, targetLayout) = (SequenceLayout(lengths: [4, 2]), SequenceLayout(lengths: [3, 3]))
    let (source, target) = (rows(6), rows(6, seed: 5))
    let whole = model(source: source, sourceLayout: sourceLayout, target: target, targetLayout: targetLayout)
    let memory = model.encoder(source, layout: sourceLayout)
    var state = model.decoder.makeState(memory: memory, layout: sourceLayout)
    for step in 0..<3 {
      let new = Tensor.concatenated([target.sliced(step..<step + 1), target.sliced(3 + step..<4 + step)])
      let result = model.decoder(new, layout: SequenceLayout(lengths: [1, 1]), state: &state)
      MultiHeadAttentionTests.expectEqual(
        result, Tensor.concatenated([whole.sliced(step..<step + 1), whole.sliced(3 + step..<4 + step)]))
    }
  }

  /// Computing blocks again on the way back changes no gradient, with dropout too.
  @Test(arguments: Choice.all, [0, 0.4] as [Float]) func recomputedGradients(_ choice: Choice, _ dropout: Float) {
    var generator = SeededGenerator(seed: 1)
    let stack = TransformerEncoder(choice.configuration(dropout: dropout), blockCount: 2, using: &generator).tracked()
    let layout = SequenceLayout(lengths: [4, 3])
    let x = rows(7).tracked()
    let key = DropoutKey(seed: 8)
    func slopes(_ recomputing: Bool) -> [Tensor] {
      let y = stack(x, layout: layout, mask: .causal(.start), dropout: key, recomputing: recomputing)
      let parameters = stack.namedTensors.map(\.tensor)
      return gradients(of: [y], upstream: [rows(7, seed: 4)], withRespectTo: parameters + [x])
    }
    for (plain, recomputed) in zip(slopes(false), slopes(true)) {
      #expect(zip(plain.scalars, recomputed.scalars).allSatisfy { abs($0 - $1) <= 1e-5 + 1e-5 * abs($0) })
      #expect(plain.scalars.contains { $0 != 0 })
    }
  }

  /// Frozen parameters get no gradient, and the input's does not depend on it.
  @Test func frozenBlocks() {
    var generator = SeededGenerator(seed: 1)
    let block = EncoderBlock(Choice.all[0].configuration(), using: &generator)
    let layout = SequenceLayout(lengths: [5])
    let x = rows(5).tracked()
    let frozen = gradients(of: block(x, layout: layout).squared().sum(), withRespectTo: [x])[0]
    let trained = gradients(of: block.tracked()(x, layout: layout).squared().sum(), withRespectTo: [x])[0]
    #expect(zip(frozen.scalars, trained.scalars).allSatisfy { abs($0 - $1) <= 1e-5 + 1e-5 * abs($0) })
  }

  @Test func cachesFitTheirStack() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var generator = SeededGenerator(seed: 1)
      let stack = TransformerEncoder(BlockConfiguration(width: 4, heads: 1), blockCount: 2, using: &generator)
      var caches = [stack.blocks[0].attention.makeCache(sequenceCount: 1)]
      _ = stack(Tensor(zeros: [1, 4]), layout: SequenceLayout(lengths: [1]), caches: &caches)
    }
    #expect(message(result).contains("1 caches for 2 blocks"))
  }
}
