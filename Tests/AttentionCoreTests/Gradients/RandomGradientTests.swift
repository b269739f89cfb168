import Attention
import AttentionTestSupport
import Testing

/// Gradients of calls that nobody thought of.
@Suite struct RandomGradientTests {
  @Test(arguments: Draw.seeds) func againstFloat64(seed: Int) {
    var draw = Draw(seed: 7000 + seed)
    let (batch, keyValueHeads, group) = (draw.int(1...2), draw.int(1...2), draw.pick([1, 1, 2, 3]))
    let heads = keyValueHeads * group
    let queries = draw.pick([1, 2, 5, 17, 33, 40])
    let keys = min(draw.pick([1, 15, 16, 17, 64, 129, 300]), 6000 / (batch * heads * queries) + 1)
    let (keyWidth, valueWidth) = (draw.pick([1, 3, 16, 40, 64, 80]), draw.pick([0, 1, 7, 16, 48, 72]))
    let drawn = draw.mask(batch: batch, heads: heads, queries: queries, keys: keys)
    var call = GradientCall(
      query: draw.tensor([batch, heads, queries, keyWidth]), key: draw.tensor([batch, keyValueHeads, keys, keyWidth]),
      value: draw.tensor([batch, keyValueHeads, keys, valueWidth]), mask: drawn.mask,
      options: .init(scale: draw.pick([nil, nil, 0, -0.3, 0.5]), softcap: draw.pick([nil, nil, nil, 5])),
      hasLogSumExp: draw.chance(0.5), seed: UInt64(seed))
    let text =
      "query \(call.query.shape), key \(call.key.shape), value \(call.value.shape), \(call.options),\(drawn.text)"
    let expected = call.reference
    for path in [AttentionPath.naive, .blas, .fused] {
      #expect(excess(call.gradients(path), expected, absolute: 3e-5, relative: 3e-5) <= 0, "\(path): \(text)")
    }
    // NaNs stand in the same places whichever path went forward.
    if draw.chance(0.7) { draw.poison(&call.key, with: [.nan, .infinity, -.infinity]) }
    if draw.chance(0.5), call.value.count > 0 { draw.poison(&call.value, with: [.nan]) }
    if draw.chance(0.3) { draw.poison(&call.query, with: [.nan]) }
    let naive = call.gradients(.naive)
    for path in [AttentionPath.blas, .fused] {
      for (found, wanted) in zip(call.gradients(path), naive) {
        #expect(found!.isNear(wanted!, 1e-3), "\(path): \(text)")
      }
    }
  }
}
