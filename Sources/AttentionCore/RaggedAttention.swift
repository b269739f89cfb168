import AttentionTensors

/// Scaled dot-product attention over a ragged batch: sequences of any lengths, end to end, without padding.
///
///     let layout = SequenceLayout(lengths: [3, 0, 5])
///     let output = scaledDotProductAttention(query: q, key: k, value: v, layout: layout, heads: 12)
///
/// Each sequence attends within itself. As for 4-D tensors, with the shapes: query `[query tokens, Hq · dk]`,
/// key `[key tokens, Hkv · dk]`, value `[key tokens, Hkv · dv]`, result `[query tokens, Hq · dv]`. These are the
/// outputs of the projections as they are: heads are split and merged by stride, nothing is copied. Gradients flow back
/// as there, in the shapes of query, key and value.
///
/// - Parameters:
///   - query: `[query tokens, Hq · dk]`.
///   - key: `[key tokens, Hkv · dk]`.
///   - value: `[key tokens, Hkv · dv]`.
///   - layout: the sequences of the query, and of the key and value unless `keyLayout` is given.
///   - keyLayout: the sequences of key and value for cross-attention: as many as the query's.
///   - heads: Hq.
///   - keyValueHeads: Hkv; Hq unless given.
///   - mask: the masks and biases; positions count from the start of each sequence.
///   - options: scale, softcap and path.
///   - extras: what to return beside the output.
/// - Returns: the output, and what `extras` asks for.
/// - Precondition: the shapes fit the layouts, the heads and the mask.
public func scaledDotProductAttention(
  query: Tensor, key: Tensor, value: Tensor, layout: SequenceLayout, keyLayout: SequenceLayout? = nil, heads: Int,
  keyValueHeads: Int? = nil, mask: AttentionMask = .none, options: AttentionOptions = .init(),
  returning extras: AttentionExtras = []
) -> RaggedAttentionResult {
  let keyLayout = keyLayout ?? layout
  let shape = AttentionShape(
    query: query.shape, key: key.shape, value: value.shape, layout: layout, keyLayout: keyLayout, heads: heads,
    keyValueHeads: keyValueHeads ?? heads)
  var outputs = AttentionOutputs(
    shape: shape, outputShape: [layout.tokenCount, heads * shape.valueWidth],
    logSumExpShape: [layout.tokenCount, heads], extras: extras,
    keepingStatistics: AttentionBackward.isNeeded([query, key, value], mask))
  typealias Strides = AttentionProblem.Strides
  let placedQuery = (query, Strides.sideBySide(layout, heads: heads, width: shape.keyWidth))
  let placedKey = (key, Strides.sideBySide(keyLayout, heads: shape.keyValueHeads, width: shape.keyWidth))
  let placedValue = (value, Strides.sideBySide(keyLayout, heads: shape.keyValueHeads, width: shape.valueWidth))
  let outputStrides = Strides.sideBySide(layout, heads: heads, width: shape.valueWidth)
  let rowStrides = Strides.sideBySide(layout, heads: heads, width: 1)
  runAttention(
    shape, mask: mask, options: options, isRagged: true, query: placedQuery,
    keys: .tensors(key: placedKey, value: placedValue), outputs: &outputs, outputStrides: outputStrides,
    logSumExpStrides: rowStrides)
  AttentionBackward.track(
    &outputs, shape: shape, mask: mask, options: options, isRagged: true, query: placedQuery, key: placedKey,
    value: placedValue, outputStrides: outputStrides, logSumExpStrides: rowStrides)
  return RaggedAttentionResult(outputs, shape)
}

extension RaggedAttentionResult {
  init(_ outputs: AttentionOutputs, _ shape: AttentionShape) {
    self.init(
      output: outputs.output, logSumExp: outputs.logSumExp, weights: outputs.weights.map { split($0, shape) },
      scores: Dictionary(uniqueKeysWithValues: outputs.scores.map { ($0.stage, split($0.tensor, shape)) }))
  }
}

/// The `[Hq, Lq, Lk]` tensor of each sequence.
private func split(_ cells: Tensor, _ shape: AttentionShape) -> [Tensor] {
  cells.withUnsafeBufferPointer { buffer in
    var start = 0
    return zip(shape.queryLengths, shape.keyLengths).map { queries, keys in
      let end = start + shape.heads * queries * keys
      defer { start = end }
      return Tensor(buffer[start..<end], shape: [shape.heads, queries, keys])
    }
  }
}

extension AttentionShape {
  /// - Precondition: the ragged shapes fit the layouts and heads.
  init(
    query: [Int], key: [Int], value: [Int], layout: SequenceLayout, keyLayout: SequenceLayout, heads: Int,
    keyValueHeads: Int
  ) {
    var shapes: String {
      """
      query \(query), key \(key), value \(value), query lengths \(layout.lengths), key lengths \(keyLayout.lengths)
      """
    }
    require(
      query.count == 2 && key.count == 2 && value.count == 2,
      "attention: \(shapes) are not [tokens, Hq · dk], [tokens, Hkv · dk], [tokens, Hkv · dv]")
    require(
      layout.sequenceCount == keyLayout.sequenceCount && query[0] == layout.tokenCount
        && key[0] == keyLayout.tokenCount && value[0] == keyLayout.tokenCount,
      "attention: \(shapes): the rows are not the tokens of as many query as key sequences")
    require(
      heads > 0 && keyValueHeads > 0 && query[1].isMultiple(of: heads) && key[1].isMultiple(of: keyValueHeads)
        && value[1].isMultiple(of: keyValueHeads) && query[1] / heads == key[1] / keyValueHeads,
      "attention: \(shapes): the widths do not split into \(heads) query heads and \(keyValueHeads) kv heads of equal dk"
    )
    self.init(
      queryLengths: layout.lengths, keyLengths: keyLayout.lengths, heads: heads, keyValueHeads: keyValueHeads,
      keyWidth: query[1] / heads, valueWidth: value[1] / keyValueHeads, shapes: shapes)
  }
}
