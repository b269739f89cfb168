import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// Sizes, masks, options and poison in combinations that nobody thought of.
@Suite(.exclusiveThreadCount) struct RandomCallTests {
  /// A call, and what it is.
  private struct Call {
    var query: Tensor
    var key: Tensor
    var value: Tensor
    var mask: AttentionMask
    var options: AttentionOptions
    var text: String

    init(_ draw: inout Draw, keys: [Int], queries: [Int]) {
      let (batch, keyValueHeads) = (draw.int(1...3), draw.int(1...3))
      let group = draw.pick([1, 1, 2, 3, 4, 40])
      let heads = keyValueHeads * group
      // Many heads over few positions: the reference is no fast one.
      let (queryCount, keyCount) = (min(draw.pick(queries), 800 / heads), min(draw.pick(keys), 24_000 / heads))
      let (keyWidth, valueWidth) = (
        draw.pick([1, 3, 16, 24, 40, 64, 80, 128, 300]), draw.pick([0, 1, 7, 16, 32, 48, 64, 72, 128, 272])
      )
      query = draw.tensor([batch, heads, queryCount, keyWidth])
      key = draw.tensor([batch, keyValueHeads, keyCount, keyWidth])
      value = draw.tensor([batch, keyValueHeads, keyCount, valueWidth])
      let drawn = draw.mask(batch: batch, heads: heads, queries: queryCount, keys: keyCount)
      mask = drawn.mask
      let (scale, softcap): (Float?, Float?) = (draw.pick([nil, nil, 0, -0.3, 0.5]), draw.pick([nil, nil, nil, 5]))
      options = AttentionOptions(scale: scale, softcap: softcap)
      text = "query \(query.shape), key \(key.shape), value \(value.shape), \(options),\(drawn.text)"
    }

    func run(_ path: AttentionPath) -> AttentionResult {
      var options = options
      options.path = path
      return scaledDotProductAttention(
        query: query, key: key, value: value, mask: mask, options: options, returning: allExtras)
    }
  }

  private static let queries = [0, 1, 2, 5, 17, 31, 64, 65, 100, 200]
  private static let keys = [0, 1, 15, 16, 17, 64, 127, 128, 129, 257, 300, 1100]

  @Test(arguments: Draw.seeds)
  func againstFloat64(seed: Int) {
    var draw = Draw(seed: seed)
    let call = Call(&draw, keys: Self.keys, queries: Self.queries)
    let reference = ReferenceAttention(
      query: call.query, key: call.key, value: call.value, mask: call.mask, options: call.options
    ).allRows
    for path in [AttentionPath.blas, .fused] {
      let difference = compare(call.run(path), with: reference)
      #expect(difference.mismatch == nil, "\(path): \(call.text)")
      // Wide heads and large scales: then the naive path, in float32 as well, is the measure.
      guard difference.excess > 0 else { continue }
      let naive = compare(call.run(.naive), with: reference)
      for (part, error) in difference.largest {
        #expect(error <= 2 * naive.largest[part]! + 1e-7, "\(path): \(part): \(naive.largest): \(call.text)")
      }
    }
  }

  /// NaN, infinities and values near the largest float, in the places where the naive path has them; and in the same bits
  /// on any number of threads, whatever else is returned.
  @Test(arguments: Draw.seeds)
  func specialValues(seed: Int) {
    var draw = Draw(seed: 1000 + seed)
    var call = Call(&draw, keys: Self.keys, queries: Self.queries)
    if draw.chance(0.5) { draw.poison(&call.key, with: [.nan, .infinity, -.infinity, 1e30, -3e38]) }
    if draw.chance(0.5) { draw.poison(&call.value, with: [.nan, .infinity, -.infinity, 3e38, -3e38]) }
    if draw.chance(0.2) { draw.poison(&call.query, with: [.nan, .infinity, -.infinity, 1e30]) }
    let (naive, fused) = (call.run(.naive), call.run(.fused))
    #expect(fused.output.isNear(naive.output, 2e-4), "\(call.text)")
    #expect(fused.logSumExp!.isNear(naive.logSumExp!, 2e-4), "\(call.text)")
    #expect(fused.weights!.isNear(naive.weights!, 2e-4), "\(call.text)")
    for stage in AttentionScoreStage.allCases {
      #expect(fused.scores[stage]!.isNear(naive.scores[stage]!, 2e-4), "\(stage): \(call.text)")
    }
    Engine.setThreadCount(draw.pick([1, 3, 8]))
    let again: Tensor = scaledDotProductAttention(
      query: call.query, key: call.key, value: call.value, mask: call.mask, options: call.options)
    #expect(again.hasBitsOrNaN(of: fused.output), "\(call.text)")
  }

  /// Some of the queries, over the keys up to the last one's own, give the bits that they have among all.
  @Test(.enabled(if: OpenBLAS.hasSmallMatrixKernels), arguments: Draw.seeds)
  func rowsAlone(seed: Int) {
    var draw = Draw(seed: 2000 + seed)
    let (keyValueHeads, group) = (draw.int(1...2), draw.pick([1, 2, 4, 7, 60]))
    let heads = keyValueHeads * group
    let (count, past) = (draw.pick([33, 64, 129, 260, group < 8 ? 900 : 150]), draw.pick([0, 0, 5, 127, 700]))
    let keys = past + count
    let (keyWidth, valueWidth) = (draw.pick([8, 24, 40, 64, 96, 128, 257]), draw.pick([5, 16, 40, 64, 128, 200, 272]))
    let query = draw.tensor([1, heads, count, keyWidth], magnitude: draw.pick([1, 1, 5]))
    let key = draw.tensor([1, keyValueHeads, keys, keyWidth])
    var value = draw.tensor([1, keyValueHeads, keys, valueWidth])
    if draw.chance(0.3) { draw.poison(&value, with: [.nan, .infinity, 3e38]) }
    var bands = AttentionMask.causal(.end)
    if draw.chance(0.4) { bands = bands & .window(left: draw.pick([0, 10, 100, 300]), right: nil, alignment: .end) }
    if draw.chance(0.3) {
      bands = bands & .linearBias(slopes: (0..<heads).map { 0.01 * Float($0) }, alignment: .end)
    }
    let documents = draw.chance(0.4) ? (0..<keys).map { seed.isMultiple(of: 2) ? $0 / 37 : $0 * 5 % 3 } : nil
    let cells = draw.chance(0.4) ? (0..<count * keys).map { _ in draw.chance(0.7) } : nil
    func mask(_ rows: Range<Int>, keys visible: Int) -> AttentionMask {
      var mask = bands
      if let documents {
        let own = documents[past + rows.lowerBound..<past + rows.upperBound]
        mask = mask & .documents(query: [Array(own)], key: [Array(documents[..<visible])])
      }
      if let cells {
        let own = rows.flatMap { cells[$0 * keys..<$0 * keys + visible] }
        mask = mask & .allowed(BooleanTensor(own, shape: [rows.count, visible]))
      }
      return mask
    }
    let options = AttentionOptions(
      scale: [nil, 1, 0, -1, 0.25][seed % 5], softcap: seed.isMultiple(of: 4) ? 8 : nil, path: .fused)
    func attend(_ rows: Range<Int>, keys visible: Int) -> AttentionResult {
      scaledDotProductAttention(
        query: query.positions(rows), key: key.positions(0..<visible), value: value.positions(0..<visible),
        mask: mask(rows, keys: visible), options: options, returning: .logSumExp)
    }
    let whole = attend(0..<count, keys: keys)
    let sums = whole.logSumExp!.reshaped(to: [1, heads, count, 1])
    for _ in 0..<4 {
      let first = draw.int(0...count - 1)
      let end = draw.pick([first + 1, min(count, first + 3), draw.int(first + 1...count), count])
      let part = attend(first..<end, keys: past + end)
      let text: Comment = "\(first)..<\(end) of \(query.shape) over \(key.shape) and \(value.shape)"
      #expect(part.output.hasBitsOrNaN(of: whole.output.positions(first..<end)), text)
      let own = part.logSumExp!.reshaped(to: [1, heads, end - first, 1])
      #expect(own.hasBitsOrNaN(of: sums.positions(first..<end)), text)
    }
  }

  /// Slices between random cuts, or of a grain each and then in the bits of the whole.
  @Test(arguments: Draw.seeds)
  func slices(seed: Int) {
    var draw = Draw(seed: 3000 + seed)
    let (heads, queries, keys) = (draw.pick([1, 2, 6]), draw.pick([1, 5, 60, 200]), draw.int(1...2000))
    let keyValueHeads = heads == 6 ? 2 : heads
    let (keyWidth, valueWidth) = (draw.pick([8, 64, 128]), draw.pick([5, 64, 128]))
    let drawn = draw.mask(batch: 1, heads: heads, queries: queries, keys: keys)
    let query = draw.tensor([1, heads, queries, keyWidth])
    var key = draw.tensor([1, keyValueHeads, keys, keyWidth])
    var value = draw.tensor([1, keyValueHeads, keys, valueWidth])
    if draw.chance(0.2) { draw.poison(&key, with: [.nan, .infinity, -.infinity]) }
    // Of infinite values whose weight vanishes, slices may tell something else than the whole (see PartialAttention).
    if draw.chance(0.2) { draw.poison(&value, with: [.nan]) }
    let whole = scaledDotProductAttention(
      query: query, key: key, value: value, mask: drawn.mask, options: .init(path: .fused), returning: .logSumExp)
    let grain = PartialAttention.grain(keyWidth: keyWidth, valueWidth: valueWidth)
    let isOnTheGrid = draw.chance(0.5)
    var cuts = [0]
    while cuts.last! < keys { cuts.append(isOnTheGrid ? min(keys, cuts.last! + grain) : draw.int(cuts.last!...keys)) }
    var parts = zip(cuts, cuts.dropFirst()).map { first, end in
      partialAttention(
        query: query, key: key.positions(first..<end), value: value.positions(first..<end), positions: first..<end,
        keyCount: keys, mask: drawn.mask)
    }
    var sum = parts.removeFirst()
    for part in parts { sum.merge(part) }
    let finished = sum.finished()
    let text: Comment = "\(query.shape) over \(key.shape) and \(value.shape), cut at \(cuts),\(drawn.text)"
    if isOnTheGrid, OpenBLAS.hasSmallMatrixKernels {
      #expect(finished.output.hasBitsOrNaN(of: whole.output), text)
      #expect(finished.logSumExp!.hasBitsOrNaN(of: whole.logSumExp!), text)
    } else {
      #expect(finished.output.isNear(whole.output, 1e-4), text)
      #expect(finished.logSumExp!.isNear(whole.logSumExp!, 1e-4), text)
    }
  }
}
