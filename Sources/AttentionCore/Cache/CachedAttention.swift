import AttentionTensors

/// Scaled dot-product attention of new tokens over everything that a cache holds, the tokens' own keys included: append
/// them first.
///
///     cache.append(key: k, value: v, layout: layout)
///     let output = scaledDotProductAttention(query: q, layout: layout, cache: cache, heads: 32)
///
/// The queries of a sequence are its last positions, so that a causal mask is aligned to the `.end`. Prefill, chunks and
/// one token at a time give equal bits on cores with small-matrix kernels, and agree within the tolerance on others.
/// No gradient flows back through a cache: results are constants.
///
/// A cache may also hold a memory that the queries are no part of, an encoder's output: with a mask of which nothing is
/// aligned there may be more queries than keys. No gradients flow through a cache.
///
/// - Parameters:
///   - query: `[query tokens, Hq · dk]`.
///   - layout: the query's sequences: as many as the cache has; a length may be 0.
///   - cache: keys and values, Hkv of which Hq is a multiple.
///   - heads: Hq.
///   - mask: positions of keys count from the first that was ever appended; the cache's window is added to it. Queries of
///     predicates, documents and dense masks count from the first of this call, and bands and linear biases are aligned to
///     the `.end`.
///   - options: scale and softcap; the path is the fused one, and nothing is dropped.
///   - extras: the log-sum-exp and the weights.
/// - Returns: the output `[query tokens, Hq · dv]`, and what `extras` asks for.
/// - Precondition: the shapes fit the layout, the cache and the mask; the path is automatic or fused; no scores are asked
///   for; a cache with a window still keeps all that the queries see, as it does for the tokens that were appended last.
///   Unless the queries are whole sequences, nothing in the mask is aligned to the `.start`, and dense masks have rows for
///   the queries of this call only.
public func scaledDotProductAttention(
  query: Tensor, layout: SequenceLayout, cache: KeyValueCache, heads: Int, mask: AttentionMask = .causal(.end),
  options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) -> RaggedAttentionResult {
  CachedCall(queryShape: query.shape, layout: layout, cache: cache, heads: heads, mask: mask, options: options)
    .run(query, .sideBySide(layout, heads: heads, width: cache.keyWidth), layout, cache, options, returning: extras)
}

/// A call over a cache, checked: what is computed, and what may be planned.
struct CachedCall {
  let shape: AttentionShape
  /// The caller's and the cache's window.
  let mask: AttentionMask
  /// The first position of each sequence that is not forgotten.
  let firstKeys: [Int]

  init(
    queryShape: [Int], layout: SequenceLayout, cache: KeyValueCache, heads: Int, mask: AttentionMask,
    options: AttentionOptions
  ) {
    // Queries over a memory are not among its positions: there may be more of them.
    let isMemory = cache.window == nil && !mask.conditions.contains(where: \.isAligned)
    require(
      queryShape == [layout.tokenCount, heads * cache.keyWidth] && layout.sequenceCount == cache.sequenceCount
        && (isMemory || zip(layout.lengths, cache.lengths).allSatisfy { $0 <= $1 }),
      """
      attention: query \(queryShape) with lengths \(layout.lengths) and \(heads) heads does not fit a cache of \
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
    require(options.dropout == nil, "attention: over a cache, no weights are dropped")
    require(
      options.path == .automatic || options.path == .fused,
      "attention: a cache is read by the fused path, not by \(options.path.rawValue)")
    // Among all of a sequence's queries, these would see something else.
    if !zip(layout.lengths, cache.lengths).allSatisfy({ $0 == 0 || $0 == $1 }) {
      let aligned = mask.conditions.lazy.compactMap(\.startAlignment).first
      require(
        aligned == nil,
        """
        attention: \(layout.lengths) queries at the end of \(cache.lengths) positions, and a mask that is aligned to the \
        start: \(aligned ?? ""); align it to the .end
        """)
      let rows = mask.conditions.lazy.compactMap(\.queryRows).max() ?? 0
      require(
        rows <= layout.lengths.max() ?? 0,
        """
        attention: \(layout.lengths) queries at the end of \(cache.lengths) positions, and a dense mask with rows for \
        \(rows): give it the rows of this call's queries
        """)
    }
    shape = AttentionShape(
      queryLengths: layout.lengths, keyLengths: cache.lengths, heads: heads, keyValueHeads: cache.keyValueHeads,
      keyWidth: cache.keyWidth, valueWidth: cache.valueWidth, shapes: "query \(queryShape)")
    let band = cache.window.map { AttentionMask.window(left: $0 - 1, right: nil, alignment: .end) } ?? .none
    self.mask = mask & band
    firstKeys = (0..<cache.sequenceCount).map { cache.retainedPositions(ofSequence: $0).lowerBound }
  }

  /// Computes the call for queries that lie in a tensor by these strides.
  func run(
    _ query: Tensor, _ strides: AttentionProblem.Strides, _ layout: SequenceLayout, _ cache: KeyValueCache,
    _ options: AttentionOptions, returning extras: AttentionExtras
  ) -> RaggedAttentionResult {
    require(
      extras.isSubset(of: [.logSumExp, .weights]), "attention: over a cache, only log-sum-exp and weights are returned")
    var outputs = AttentionOutputs(
      shape: shape, outputShape: [layout.tokenCount, shape.heads * shape.valueWidth],
      logSumExpShape: [layout.tokenCount, shape.heads], extras: extras)
    runAttention(
      shape, mask: mask, options: options, isRagged: true, query: (query, strides),
      keys: .cache(cache.table(), firstKeys: firstKeys), outputs: &outputs,
      outputStrides: .sideBySide(layout, heads: shape.heads, width: shape.valueWidth),
      logSumExpStrides: .sideBySide(layout, heads: shape.heads, width: 1))
    return RaggedAttentionResult(outputs, shape)
  }

  /// The mask, as it is applied.
  var geometry: MaskGeometry {
    var geometry = MaskGeometry(
      mask, queryLengths: shape.queryLengths, keyLengths: shape.keyLengths, heads: shape.heads, isRagged: true)
    geometry.firstKeys = firstKeys
    return geometry
  }
}

extension AttentionPlan {
  /// Plans a call over a cache to which its tokens were appended. O(query tokens · Hq), and with dense masks the cells of
  /// all sequences.
  ///
  /// - Parameters:
  ///   - queryShape: `[query tokens, Hq · dk]`.
  ///   - layout: the query's sequences.
  ///   - cache: the keys and values; only their number counts.
  ///   - heads: Hq.
  ///   - mask: as for the call.
  ///   - options: as for the call.
  /// - Precondition: as for the call.
  public init(
    queryShape: [Int], layout: SequenceLayout, cache: KeyValueCache, heads: Int, mask: AttentionMask = .causal(.end),
    options: AttentionOptions = .init()
  ) {
    let call = CachedCall(
      queryShape: queryShape, layout: layout, cache: cache, heads: heads, mask: mask, options: options)
    self.init(
      call.shape, call.geometry, options: options, isPacked: true, onlyFused: "the path that reads a cache's pages")
  }
}
