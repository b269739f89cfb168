import Attention
import AttentionTestSupport
import Testing

/// Queries, keys and values side by side give the bits of the separate tensors.
@Suite struct FusedProjectionTests {
  /// The columns of several tensors, side by side.
  private static func beside(_ parts: [Tensor]) -> Tensor {
    let tokens = parts[0].shape[0]
    var rows: [Float] = []
    for token in 0..<tokens {
      for part in parts {
        let width = part.shape[1]
        rows += part.scalars[token * width..<(token + 1) * width]
      }
    }
    return Tensor(rows, shape: [tokens, parts.reduce(0) { $0 + $1.shape[1] }])
  }

  @Test(arguments: AttentionPath.allCases, [(4, 4, 20), (6, 2, 32), (3, 1, 1)])
  func selfAttention(_ path: AttentionPath, _ heads: (Int, Int, Int)) throws {
    let (heads, keyValueHeads, width) = heads
    var generator = SeededGenerator(seed: 8)
    let layout = SequenceLayout(lengths: [5, 0, 130, 1, 33])
    let query = Tensor(randomNormal: [layout.tokenCount, heads * width], using: &generator)
    let key = Tensor(randomNormal: [layout.tokenCount, keyValueHeads * width], using: &generator)
    let value = Tensor(randomNormal: [layout.tokenCount, keyValueHeads * width], using: &generator)
    let mask = AttentionMask.causal(.start) & .window(left: 40, right: nil)
    let separate = scaledDotProductAttention(
      query: query, key: key, value: value, layout: layout, heads: heads, keyValueHeads: keyValueHeads, mask: mask,
      options: .init(path: path), returning: [.logSumExp, .weights])
    let fused = scaledDotProductAttention(
      queryKeyValue: Self.beside([query, key, value]), layout: layout, heads: heads, keyValueHeads: keyValueHeads,
      mask: mask, options: .init(path: path), returning: [.logSumExp, .weights])
    #expect(fused.output.hasBits(of: separate.output))
    #expect(fused.logSumExp!.hasBits(of: separate.logSumExp!))
    for (one, other) in zip(try #require(fused.weights), try #require(separate.weights)) {
      #expect(one.hasBits(of: other))
    }
  }

  @Test func overACache() async {
    let tokens = KeyValueCacheTests.Tokens(150)
    let projected = Self.beside([tokens.query, tokens.key, tokens.value])
    var (separate, fused) = (tokens.cache(), tokens.cache())
    for range in [0..<1, 1..<97, 97..<150] {
      let layout = SequenceLayout(lengths: [range.count])
      tokens.append(range, to: &separate)
      await fused.append(queryKeyValue: projected.rows(range), layout: layout, heads: tokens.heads)
      let expected = tokens.attend(range, over: separate)
      let output = { [fused] in
        scaledDotProductAttention(
          queryKeyValue: projected.rows(range), layout: layout, cache: fused, heads: tokens.heads
        ).output
      }()
      #expect(output.hasBits(of: expected))
      let awaited = await scaledDotProductAttention(
        queryKeyValue: projected.rows(range), layout: layout, cache: fused, heads: tokens.heads)
      #expect(awaited.output.hasBits(of: expected))
    }
    #expect(fused.rows(ofSequence: 0).key.hasBits(of: separate.rows(ofSequence: 0).key))
    #expect(fused.rows(ofSequence: 0).value.hasBits(of: separate.rows(ofSequence: 0).value))
  }

  @Test func misuse() async {
    let columns = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = scaledDotProductAttention(
        queryKeyValue: Tensor(zeros: [3, 25]), layout: SequenceLayout(lengths: [3]), heads: 4, keyValueHeads: 2)
    }
    #expect(message(columns).contains("[3, 25], lengths [3] are not [tokens, (Hq + 2 · Hkv) · d]"))
    let appended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      cache.append(queryKeyValue: Tensor(zeros: [3, 31]), layout: SequenceLayout(lengths: [3]), heads: 4)
    }
    #expect(message(appended).contains("[3, 31] with 4 heads"))
    let attended = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      _ = scaledDotProductAttention(
        queryKeyValue: Tensor(zeros: [3, 31]), layout: SequenceLayout(lengths: [3]), cache: cache, heads: 4)
    }
    #expect(message(attended).contains("are not [3, 32]"))
  }
}
