import AttentionTensors

/// Scaled dot-product self-attention over a ragged batch whose queries, keys and values lie side by side, as one
/// projection computes them.
///
///     let projected = matrix  // [tokens, 3 · 768]
///     let output = scaledDotProductAttention(queryKeyValue: projected, layout: layout, heads: 12)
///
/// The three parts are read where they are, by stride: results are those of the separate tensors, bit for bit. A batch
/// `[B, L, columns]` is a layout of B lengths L. Gradients flow back into one tensor of the projection's shape.
///
/// - Parameters:
///   - queryKeyValue: `[tokens, (Hq + 2 · Hkv) · d]`: the queries of all heads, then the keys, then the values.
///   - layout: the sequences.
///   - heads: Hq.
///   - keyValueHeads: Hkv; Hq unless given.
///   - mask: the masks and biases; positions count from the start of each sequence.
///   - options: scale, softcap and path.
///   - extras: what to return beside the output.
/// - Returns: the output `[tokens, Hq · d]`, and what `extras` asks for.
/// - Precondition: the shape fits the layout and the heads, and the mask fits.
public func scaledDotProductAttention(
  queryKeyValue: Tensor, layout: SequenceLayout, heads: Int, keyValueHeads: Int? = nil, mask: AttentionMask = .none,
  options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) -> RaggedAttentionResult {
  let parts = FusedProjection(queryKeyValue.shape, layout: layout, heads: heads, keyValueHeads: keyValueHeads ?? heads)
  let shape = parts.shape(layout, heads: heads)
  var outputs = AttentionOutputs(
    shape: shape, outputShape: [layout.tokenCount, heads * parts.width], logSumExpShape: [layout.tokenCount, heads],
    extras: extras, keepingStatistics: AttentionBackward.isNeeded([queryKeyValue], mask))
  typealias Strides = AttentionProblem.Strides
  let (query, key, value) = ((queryKeyValue, parts.query), (queryKeyValue, parts.key), (queryKeyValue, parts.value))
  let outputStrides = Strides.sideBySide(layout, heads: heads, width: parts.width)
  let rowStrides = Strides.sideBySide(layout, heads: heads, width: 1)
  runAttention(
    shape, mask: mask, options: options, isRagged: true, query: query, keys: .tensors(key: key, value: value),
    outputs: &outputs, outputStrides: outputStrides, logSumExpStrides: rowStrides)
  AttentionBackward.track(
    &outputs, shape: shape, mask: mask, options: options, isRagged: true, query: query, key: key, value: value,
    outputStrides: outputStrides, logSumExpStrides: rowStrides, isFusedProjection: true)
  return RaggedAttentionResult(outputs, shape)
}

/// Scaled dot-product attention of the queries in a fused projection over everything that a cache holds, the projection's
/// keys and values included: append them first.
///
///     cache.append(queryKeyValue: projected, layout: layout, heads: 32)
///     let output = scaledDotProductAttention(queryKeyValue: projected, layout: layout, cache: cache, heads: 32)
///
/// As `scaledDotProductAttention(query:layout:cache:heads:mask:options:returning:)` of the queries alone, bit for bit.
///
/// - Parameters:
///   - queryKeyValue: `[tokens, Hq · dk + Hkv · dk + Hkv · dv]`: queries, then keys, then values, which are not read.
///   - layout: the tokens of each sequence; as many sequences as the cache has.
///   - cache: keys and values.
///   - heads: Hq.
///   - mask: as for queries alone.
///   - options: scale and softcap.
///   - extras: the log-sum-exp and the weights.
/// - Precondition: as for queries alone.
public func scaledDotProductAttention(
  queryKeyValue: Tensor, layout: SequenceLayout, cache: KeyValueCache, heads: Int,
  mask: AttentionMask = .causal(.end), options: AttentionOptions = .init(), returning extras: AttentionExtras = []
) -> RaggedAttentionResult {
  let queryColumns = heads * cache.keyWidth
  let columns = queryColumns + cache.keyValueHeads * (cache.keyWidth + cache.valueWidth)
  require(
    queryKeyValue.shape == [layout.tokenCount, columns],
    """
    attention: query, key and value \(queryKeyValue.shape) are not \([layout.tokenCount, columns]): \(heads) heads and \
    \(cache.keyValueHeads) kv heads, keys \(cache.keyWidth) and values \(cache.valueWidth) wide
    """)
  return CachedCall(
    queryShape: [layout.tokenCount, queryColumns], layout: layout, cache: cache, heads: heads, mask: mask,
    options: options
  ).run(
    queryKeyValue, .sideBySide(layout, width: cache.keyWidth, columns: 0, rowStride: columns), layout, cache, options,
    returning: extras)
}

/// Where the parts of `[tokens, (Hq + 2 · Hkv) · d]` lie.
struct FusedProjection {
  let keyValueHeads: Int
  let width: Int
  let query: AttentionProblem.Strides
  let key: AttentionProblem.Strides
  let value: AttentionProblem.Strides

  /// - Precondition: the shape fits the layout and the heads.
  init(_ shape: [Int], layout: SequenceLayout, heads: Int, keyValueHeads: Int) {
    let parts = heads + 2 * keyValueHeads
    require(
      heads > 0 && keyValueHeads > 0 && shape.count == 2 && shape[0] == layout.tokenCount
        && shape[1].isMultiple(of: parts),
      """
      attention: query, key and value \(shape), lengths \(layout.lengths) are not [tokens, (Hq + 2 · Hkv) · d] for \
      \(heads) heads and \(keyValueHeads) kv heads
      """)
    let columns = shape[1]
    let width = columns / parts
    self.keyValueHeads = keyValueHeads
    self.width = width
    func strides(_ head: Int) -> AttentionProblem.Strides {
      .sideBySide(layout, width: width, columns: head * width, rowStride: columns)
    }
    (query, key, value) = (strides(0), strides(heads), strides(heads + keyValueHeads))
  }

  func shape(_ layout: SequenceLayout, heads: Int) -> AttentionShape {
    AttentionShape(
      queryLengths: layout.lengths, keyLengths: layout.lengths, heads: heads, keyValueHeads: keyValueHeads,
      keyWidth: width, valueWidth: width,
      shapes: "query, key and value \([layout.tokenCount, (heads + 2 * keyValueHeads) * width])")
  }
}
