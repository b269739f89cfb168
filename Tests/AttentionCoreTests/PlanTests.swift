import Attention
import AttentionTestSupport
import Testing

@Suite(.exclusiveThreadCount) struct PlanTests {
  private static func plan(_ mask: AttentionMask, length: Int = 512, path: AttentionPath = .blas) -> AttentionPlan {
    let shape = [2, 3, length, 64]
    return AttentionPlan(
      queryShape: shape, keyShape: shape, valueShape: [2, 3, length, 32], mask: mask, options: .init(path: path))
  }

  @Test func usefulWorkCountsVisibleCells() {
    let perCell = 2.0 * (64 + 32) * 6
    #expect(Self.plan(.none).usefulOperations == perCell * 512 * 512)
    #expect(Self.plan(.causal(.start)).usefulOperations == perCell * 512 * 513 / 2)
    #expect(Self.plan(.window(left: 0, right: 0)).usefulOperations == perCell * 512)
    #expect(Self.plan(.keyLengths([0, 100])).usefulOperations == perCell / 2 * 512 * 100)
    #expect(Self.plan(.predicate { ($0 + $1).isMultiple(of: 2) }).usefulOperations == perCell * 512 * 256)
    #expect(Self.plan(.none, path: .naive).usefulOperations == perCell * 512 * 512)
  }

  @Test func executedWorkLeavesOutWhatNoRowSees() {
    #expect(Self.plan(.none).executedOperations == Self.plan(.none).usefulOperations)
    let causal = Self.plan(.causal(.start))
    #expect(causal.executedOperations >= causal.usefulOperations)
    #expect(causal.executedOperations <= 1.3 * causal.usefulOperations)
    #expect(Self.plan(.keyLengths([0, 0])).executedOperations == 0)
  }

  @Test func everySequenceSaysWhatIsDoneWithItAndWhy() {
    let (queries, keys) = (SequenceLayout(lengths: [0, 5, 7, 300]), SequenceLayout(lengths: [4, 0, 9, 300]))
    func plan(_ path: AttentionPath) -> AttentionPlan {
      AttentionPlan(
        queryShape: [312, 64], keyShape: [313, 64], valueShape: [313, 64], layout: queries, keyLayout: keys, heads: 2,
        mask: .causal(.end), options: .init(path: path))
    }
    let automatic = plan(.automatic).sequences
    #expect(automatic.map(\.path) == [.fused, .fused, .fused, .fused])
    #expect(automatic[0].reason.contains("no query") && automatic[1].reason.contains("no key"))
    #expect(automatic[2].reason == plan(.automatic).reason && automatic[2].reason != plan(.fused).reason)
    // A tile is no higher than its sequence, and all lie on one grid.
    #expect(automatic.map { $0.tileRows == nil } == [true, false, false, false])
    #expect(automatic[2].tileRows! <= 7 && automatic[3].tileRows! < 300)
    #expect(Set(automatic.map(\.blockKeys)).count == 1 && automatic[3].blockKeys!.isMultiple(of: 16))
    for path in [AttentionPath.naive, .blas] {
      #expect(plan(path).sequences.allSatisfy { $0.path == path && $0.tileRows == nil && $0.blockKeys == nil })
    }
  }

  @Test func memoryIsBounded() {
    // Blocks of rows, not the whole matrix: doubling the length at most doubles the memory.
    let short = Self.plan(.none, length: 4096)
    let long = Self.plan(.none, length: 8192)
    #expect(short.scratchBytes > 0)
    #expect(long.scratchBytes <= 2 * short.scratchBytes)
    #expect(long.scratchBytes < 8192 * 8192)
  }

  @Test func predicatesAreCountedAndKeptOnce() {
    for path in paths {
      // Beside what the same cells take that the caller holds.
      let cells = BooleanTensor((0..<512 * 512).map { $0 / 512 >= $0 % 512 }, shape: [512, 512])
      let difference =
        Self.plan(.predicate { $0 >= $1 }, path: path).scratchBytes
        - Self.plan(.allowed(cells), path: path).scratchBytes
      #expect(difference == 512 * 512)
    }
  }

  @Test func plansOfCachesAndSlices() {
    let layout = SequenceLayout(lengths: [3, 0])
    var cache = KeyValueCache(sequenceCount: 2, keyValueHeads: 2, keyWidth: 32, valueWidth: 16)
    cache.append(
      key: Tensor(zeros: [300, 64]), value: Tensor(zeros: [300, 32]), layout: SequenceLayout(lengths: [300, 0]))
    func plan(_ mask: AttentionMask = .causal(.end)) -> AttentionPlan {
      AttentionPlan(queryShape: [3, 128], layout: layout, cache: cache, heads: 4, mask: mask)
    }
    let perCell = 2.0 * (32 + 16) * 4
    #expect(plan().usefulOperations == perCell * (298 + 299 + 300))
    #expect(plan(.none).usefulOperations == perCell * 900)
    #expect(plan().path == .fused && plan().reason.contains("cache"))
    #expect(plan().sequences.map { $0.reason.contains("no query") } == [false, true])
    // Nothing is packed: more keys take no more memory than the sums of their segments, where tensors of them take panels.
    func append(_ count: Int) {
      cache.append(
        key: Tensor(zeros: [count, 64]), value: Tensor(zeros: [count, 32]), layout: SequenceLayout(lengths: [count, 0]))
    }
    append(20000)
    let before = plan().scratchBytes
    append(20000)
    let segments = 20000 / PartialAttention.grain(keyWidth: 32, valueWidth: 16) + 1
    // Each has a row of 16 sums and two statistics for three queries of two heads, rounded up; eight times as much is room.
    #expect(plan().scratchBytes - before < segments * 8 * 6 * 32 * 4)

    func slice(_ positions: Range<Int>) -> AttentionPlan {
      AttentionPlan(
        queryShape: [1, 4, 100, 32], keyShape: [1, 2, positions.count, 32], valueShape: [1, 2, positions.count, 16],
        positions: positions, keyCount: 300, mask: .causal(.end))
    }
    let fused = AttentionPlan(
      queryKeyValueShape: [300, 8 * 32], layout: SequenceLayout(lengths: [300]), heads: 4, keyValueHeads: 2,
      mask: .causal(.end))
    #expect(fused.usefulOperations == 23_116_800)  // 2 · 64 · 4 · 300 · 301 / 2
    let whole = AttentionPlan(
      queryShape: [1, 4, 100, 32], keyShape: [1, 2, 300, 32], valueShape: [1, 2, 300, 16], mask: .causal(.end))
    #expect(slice(0..<200).usefulOperations == perCell * 100 * 200)
    #expect(slice(0..<200).usefulOperations + slice(200..<300).usefulOperations == whole.usefulOperations)
    #expect(slice(0..<0).usefulOperations == 0 && slice(0..<200).reason.contains("partial"))
  }

  /// In a process of its own, where nothing else takes storage: one thread and blocks of one size leave in the cache just
  /// what they took.
  @Test func scratchIsWhatACallTakes() async {
    await #expect(processExitsWith: .success) {
      Engine.setThreadCount(1)
      let query = Tensor(repeating: 1, shape: [1, 2, 256, 40])
      let value = Tensor(repeating: .nan, shape: [1, 2, 256, 24])
      let allowed = AttentionMask.allowed(BooleanTensor((0..<256).map { $0 % 3 != 0 }, shape: [256]))
      for (name, mask) in [("whole", AttentionMask.none), ("values copied", allowed)] {
        let plan = AttentionPlan(
          queryShape: query.shape, keyShape: query.shape, valueShape: value.shape, mask: mask,
          options: .init(path: .blas))
        TensorStorage.releaseCache()
        let output = scaledDotProductAttention(
          query: query, key: query, value: value, mask: mask, options: .init(path: .blas))
        #expect(TensorStorage.cachedBytes == plan.scratchBytes, "\(name)")
        #expect(output[0, 0, 0, 0].isNaN, "\(name)")
      }
      // On the fused path the whole is rounded up, not each piece; the copy of values is one of them.
      for value in [value, Tensor(repeating: 1, shape: [1, 2, 256, 24])] {
        let plan = AttentionPlan(queryShape: query.shape, keyShape: query.shape, valueShape: value.shape)
        TensorStorage.releaseCache()
        let output = scaledDotProductAttention(query: query, key: query, value: value)
        #expect(TensorStorage.cachedBytes <= plan.scratchBytes * 5 / 4)
        #expect(TensorStorage.cachedBytes >= plan.scratchBytes / 2)
        #expect(output[0, 0, 0, 0].isNaN == value[0, 0, 0, 0].isNaN)
      }
      // Over a cache, and over a slice; with values that are copied.
      let layout = SequenceLayout(lengths: [256])
      let rows = Tensor(repeating: 1, shape: [256, 80])
      var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 40, valueWidth: 24)
      cache.append(key: rows, value: Tensor(repeating: .nan, shape: [256, 48]), layout: layout)
      let plan = AttentionPlan(queryShape: rows.shape, layout: layout, cache: cache, heads: 2)
      TensorStorage.releaseCache()
      let output = scaledDotProductAttention(query: rows, layout: layout, cache: cache, heads: 2).output
      #expect(output[0, 0].isNaN)
      #expect(TensorStorage.cachedBytes <= plan.scratchBytes * 5 / 4)
      #expect(TensorStorage.cachedBytes >= plan.scratchBytes / 2)
      let slice = AttentionPlan(
        queryShape: query.shape, keyShape: query.shape, valueShape: value.shape, positions: 256..<512, keyCount: 600)
      TensorStorage.releaseCache()
      let partial = partialAttention(query: query, key: query, value: value, positions: 256..<512, keyCount: 600)
      #expect(partial.output[0, 0, 0, 0].isNaN)
      #expect(TensorStorage.cachedBytes <= slice.scratchBytes * 5 / 4)
      #expect(TensorStorage.cachedBytes >= slice.scratchBytes / 2)
    }
  }

  /// A mask shared by heads is counted once and multiplied; one with cells for each head is not.
  @Test func usefulWorkOfDenseMasks() {
    let perCell = 2.0 * (64 + 32)
    let shared = BooleanTensor((0..<512 * 512).map { $0 % 4 == 0 }, shape: [512, 512])
    #expect(Self.plan(.allowed(shared)).usefulOperations == perCell * 6 * 512 * 128)
    // Heads that see every key, none, and the first.
    let own = BooleanTensor((0..<3 * 512).map { $0 < 512 || $0 == 1024 }, shape: [3, 1, 512])
    #expect(Self.plan(.allowed(own)).usefulOperations == perCell * 2 * 512 * 513)
  }

  @Test func negativeExtents() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AttentionPlan(queryShape: [1, 1, -3, 8], keyShape: [1, 1, 5, 8], valueShape: [1, 1, 5, 8])
    }
    #expect(message(result).contains("[1, 1, -3, 8]"))
  }

  @Test func automaticSaysWhy() {
    let plan = Self.plan(.none, path: .automatic)
    #expect(plan.path != .automatic)
    #expect(!plan.reason.isEmpty)
    #expect(Self.plan(.none, path: .naive).path == .naive)
  }

  /// The figures of ALiBi's authors (2108.12409, §3).
  @Test func slopesOfLinearBiases() {
    #expect(AttentionMask.linearBiasSlopes(heads: 8) == (1...8).map { 1 / Float(1 << $0) })
    let sixteen = AttentionMask.linearBiasSlopes(heads: 16)
    #expect(abs(sixteen[0] - 0.70710678) < 1e-7 && sixteen[1] == 0.5 && sixteen[15] == 1 / 256)
    // Twelve heads: the slopes of eight, and every other one of sixteen.
    #expect(
      AttentionMask.linearBiasSlopes(heads: 12)
        == AttentionMask.linearBiasSlopes(heads: 8) + [0, 2, 4, 6].map { sixteen[$0] })
    #expect(AttentionMask.linearBiasSlopes(heads: 1) == [1 / 256])
  }
}
