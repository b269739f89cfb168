import AttentionTensors

/// Scaled dot-product attention of new tokens over everything that a cache holds, the tokens' own keys included: append
/// them first.
///
///     cache.append(key: k, value: v, layout: layout)
///     let output = scaledDotProductAttention(query: q, layout: layout, cache: cache, heads: 32)
///
/// The queries of a sequence are its last positions, so that a causal mask is aligned to the `.end`. Prefill, chunks and
/// one token at a time give equal bits on cores with small-matrix kernels, and agree within the tolerance on others.
///
/// - Parameters:
///   - query: `[query tokens, Hq · dk]`.
///   - layout: the query's sequences: as many as the cache has; a length may be 0.
///   - cache: keys and values, Hkv of which Hq is a multiple.
///   - heads: Hq.
///   - mask: positions of keys count from the first that was ever appended; the cache's window is added to it.
///   - options: scale and softcap; the path is the fused one.
///   - extras: the log-sum-exp and the weights; scores are not kept.
/// - Returns: the output `[query tokens, Hq · dv]`, and what `extras` asks for.
/// - Precondition: the shapes fit the layout, the cache and the mask; the path is automatic or fused; a cache with a window
///   still keeps all that the queries see, as it does for the tokens that were appended last.
public func scaledDotProductAttention(
  query: Tensor, layout: SequenceLayout, cache: KeyValueCache, heads: Int, mask: AttentionMask = .causal(.end),
  options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) -> RaggedAttentionResult {
  require(
    query.shape == [layout.tokenCount, heads * cache.keyWidth] && layout.sequenceCount == cache.sequenceCount
      && zip(layout.lengths, cache.lengths).allSatisfy { $0 <= $1 },
    """
    attention: query \(query.shape) with lengths \(layout.lengths) and \(heads) heads does not fit a cache of \
    \(cache.lengths) keys, \(cache.keyValueHeads) kv heads, keys \(cache.keyWidth) wide
    """)
  for (sequence, queries) in layout.lengths.enumerated() where queries > 0 {
    let kept = cache.retainedPositions(ofSequence: sequence)
    let needed = cache.window.map { max(0, kept.upperBound - queries - $0 + 1) } ?? 0
    require(
      kept.lowerBound <= needed,
      """
      attention: \(queries) queries of sequence \(sequence) see positions from \(needed) on, of which the cache keeps \
      \(kept)
      """)
  }
  require(
    options.path == .automatic || options.path == .fused,
    "attention: a cache is read by the fused path, not by \(options.path.rawValue)")
  require(
    extras.isSubset(of: [.logSumExp, .weights]), "attention: over a cache, only log-sum-exp and weights are returned")
  let shape = AttentionShape(
    queryLengths: layout.lengths, keyLengths: cache.lengths, heads: heads, keyValueHeads: cache.keyValueHeads,
    keyWidth: cache.keyWidth, valueWidth: cache.valueWidth, shapes: "query \(query.shape)")
  let band = cache.window.map { AttentionMask.window(left: $0 - 1, right: nil, alignment: .end) } ?? .none
  var outputs = AttentionOutputs(
    shape: shape, outputShape: [layout.tokenCount, heads * shape.valueWidth],
    logSumExpShape: [layout.tokenCount, heads], extras: extras)
  runAttention(
    shape, mask: mask & band, options: options, isRagged: true,
    query: (query, .sideBySide(layout, heads: heads, width: shape.keyWidth)),
    keys: .cache(
      cache.table(),
      firstKeys: (0..<cache.sequenceCount).map { cache.retainedPositions(ofSequence: $0).lowerBound }),
    outputs: &outputs, outputStrides: .sideBySide(layout, heads: heads, width: shape.valueWidth),
    logSumExpStrides: .sideBySide(layout, heads: heads, width: 1))
  return RaggedAttentionResult(outputs, shape)
}
