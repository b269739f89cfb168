import Attention
import AttentionTestSupport
import Testing

@Suite struct MultiHeadAttentionTests {
  static func make(
    width: Int = 16, heads: Int = 4, keyValueHeads: Int? = nil, memoryWidth: Int? = nil, rotary: RotaryEmbedding? = nil
  ) -> MultiHeadAttention {
    var generator = SeededGenerator(seed: 7)
    var layer = MultiHeadAttention(
      width: width, heads: heads, keyValueHeads: keyValueHeads, memoryWidth: memoryWidth, rotary: rotary,
      using: &generator)
    layer.projectionBias = layer.projectionBias.map { Tensor(randomNormal: $0.shape, using: &generator) }
    return layer
  }

  static func rows(_ count: Int, _ width: Int = 16, seed: UInt64 = 9) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(randomNormal: [count, width], using: &generator)
  }

  /// Where a product's rows keep their bits, results do; elsewhere they agree within the tolerance.
  static func expectEqual(_ a: Tensor, _ b: Tensor, _ comment: Comment? = nil) {
    #expect(a.shape == b.shape, comment)
    if OpenBLAS.hasSmallMatrixKernels {
      #expect(zip(a.scalars, b.scalars).allSatisfy { $0.bitPattern == $1.bitPattern }, comment)
    } else {
      #expect(zip(a.scalars, b.scalars).allSatisfy { abs($0 - $1) <= 1e-5 + 1e-5 * abs($1) }, comment)
    }
  }

  /// N sequences at once equal N alone, with lengths of 0 and 1 among them.
  @Test(arguments: [4, 2, 1]) func aloneEqualsTogether(_ keyValueHeads: Int) {
    let layer = Self.make(keyValueHeads: keyValueHeads)
    let layout = SequenceLayout(lengths: [5, 0, 1, 33])
    let x = Self.rows(layout.tokenCount)
    let together = layer(x, layout: layout, mask: .causal(.start))
    for sequence in 0..<layout.sequenceCount {
      let range = layout.range(of: sequence)
      let alone = layer(
        x.sliced(range), layout: SequenceLayout(lengths: [range.count]), mask: .causal(.start))
      Self.expectEqual(alone, together.sliced(range), "sequence \(sequence)")
    }
  }

  /// `[B, L, width]` with a padding mask equals the ragged batch.
  @Test func paddedEqualsRagged() {
    let layer = Self.make()
    let lengths = [3, 6]
    let x = Self.rows(12)
    let padded = layer(x.reshaped(to: [2, 6, 16]), mask: .keyLengths(lengths)).reshaped(to: [12, 16])
    let ragged = layer(
      Tensor.concatenated([x.sliced(0..<3), x.sliced(6..<12)]), layout: SequenceLayout(lengths: lengths))
    Self.expectEqual(Tensor.concatenated([padded.sliced(0..<3), padded.sliced(6..<12)]), ragged)
  }

  /// Changing a later token leaves a causal layer's earlier rows bit for bit.
  @Test func causalRowsDoNotSeeLaterOnes() {
    let layer = Self.make()
    let layout = SequenceLayout(lengths: [9])
    var x = Self.rows(9)
    let before = layer(x, layout: layout, mask: .causal(.start))
    let open = layer(x, layout: layout)
    for column in 0..<16 { x[6, column] += 1 }
    let after = layer(x, layout: layout, mask: .causal(.start))
    #expect(after.sliced(0..<6) == before.sliced(0..<6) && after.sliced(6..<9) != before.sliced(6..<9))
    let changed = layer(x, layout: layout)
    #expect((0..<9).allSatisfy { open.sliced($0..<$0 + 1) != changed.sliced($0..<$0 + 1) })
  }

  /// One token at a time, and in chunks, over a cache: the whole, rotary positions included.
  @Test(arguments: [nil, RotaryEmbedding(width: 4, pairing: .halves)]) func cachedEqualsUncached(
    _ rotary: RotaryEmbedding?
  ) {
    let layer = Self.make(keyValueHeads: 2, rotary: rotary)
    let lengths = [7, 4]
    let layout = SequenceLayout(lengths: lengths)
    let x = Self.rows(11)
    let whole = layer(x, layout: layout, mask: .causal(.start))
    var cache = layer.makeCache(sequenceCount: 2)
    var parts: [[Tensor]] = [[], []]
    for step in [(3, 1), (0, 2), (4, 1)] {
      let first = cache.lengths
      let now = SequenceLayout(lengths: [step.0, step.1])
      let new = Tensor.concatenated([
        x.sliced(first[0]..<first[0] + step.0), x.sliced(7 + first[1]..<7 + first[1] + step.1),
      ])
      let result = layer(new, layout: now, cache: &cache)
      for sequence in 0..<2 { parts[sequence].append(result.sliced(now.range(of: sequence))) }
    }
    #expect(cache.lengths == lengths)
    Self.expectEqual(Tensor.concatenated(parts[0] + parts[1]), whole)
  }

  /// A memory that was prepared once gives what it gives each time.
  @Test(arguments: [nil, 6]) func preparedMemory(_ memoryWidth: Int?) {
    let layer = Self.make(memoryWidth: memoryWidth)
    let (layout, memoryLayout) = (SequenceLayout(lengths: [2, 3]), SequenceLayout(lengths: [4, 0]))
    let (x, memory) = (Self.rows(5), Self.rows(4, memoryWidth ?? 16, seed: 1))
    let direct = layer(x, layout: layout, memory: memory, memoryLayout: memoryLayout)
    let prepared = layer(x, layout: layout, prepared: layer.prepared(memory: memory, layout: memoryLayout))
    Self.expectEqual(prepared, direct)
    // Nothing to attend to: the output map of zeros.
    #expect(direct.sliced(2..<5) == layer.outputProjection(Tensor(zeros: [3, 16])))
  }

  @Test func weightsOnRequest() {
    let layer = Self.make()
    let layout = SequenceLayout(lengths: [3, 5])
    let x = Self.rows(8)
    let (output, weights) = layer.withWeights(x, layout: layout, mask: .causal(.start))
    #expect(output == layer(x, layout: layout, mask: .causal(.start)))
    #expect(weights.map(\.shape) == [[4, 3, 3], [4, 5, 5]])
    for tensor in weights {
      #expect(tensor.sum(along: -1).scalars.allSatisfy { abs($0 - 1) < 1e-6 })
    }
  }

  /// 32 tasks that run one layer at once get, bit for bit, what one after the other gets; the weights are packed once.
  @Test func manyTasksShareOneLayer() async {
    let layer = Self.make(width: 64, heads: 4)
    let layout = SequenceLayout(lengths: [5, 17, 40])
    let inputs = (0..<32).map { Self.rows(62, 64, seed: UInt64($0)) }
    let together = await withTaskGroup(of: (Int, Tensor).self) { group in
      for (index, x) in inputs.enumerated() { group.addTask { (index, layer(x, layout: layout)) } }
      var results = [Int: Tensor]()
      for await (index, result) in group { results[index] = result }
      return results
    }
    for (index, x) in inputs.enumerated() { #expect(together[index] == layer(x, layout: layout)) }
  }

  @Test(.exclusiveThreadCount, arguments: [1, 2, 3, 8]) func bitsDoNotDependOnThreads(_ threads: Int) {
    let layer = Self.make(width: 64, heads: 4)
    let layout = SequenceLayout(lengths: [5, 130, 40])
    let x = Self.rows(175, 64)
    let before = layer(x, layout: layout)
    Engine.setThreadCount(threads)
    #expect(layer(x, layout: layout) == before)
  }

  @Test func droppedWeightsRepeat() {
    var generator = SeededGenerator(seed: 7)
    let layer = MultiHeadAttention(width: 16, heads: 4, dropout: 0.5, using: &generator)
    let layout = SequenceLayout(lengths: [9])
    let x = Self.rows(9)
    let key = DropoutKey(seed: 5)
    let dropped = layer(x, layout: layout, dropout: key)
    #expect(dropped == layer(x, layout: layout, dropout: key) && dropped != layer(x, layout: layout))
    #expect(dropped != layer(x, layout: layout, dropout: DropoutKey(seed: 6)))
  }

  @Test func misuse() async {
    let heads = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = MultiHeadAttentionTests.make(width: 16, heads: 3)
    }
    #expect(message(heads).contains("a width of 16 for 3 heads"))
    let rows = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = MultiHeadAttentionTests.make()(Tensor(zeros: [3, 8]), layout: SequenceLayout(lengths: [3]))
    }
    #expect(message(rows).contains("[3, 8] is not [tokens, width] = [3, 16]"))
    let memory = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = MultiHeadAttentionTests.make(memoryWidth: 6)(Tensor(zeros: [3, 16]), layout: SequenceLayout(lengths: [3]))
    }
    #expect(message(memory).contains("cannot be the memory"))
  }
}
