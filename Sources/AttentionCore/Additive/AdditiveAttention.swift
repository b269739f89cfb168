import AttentionTensors

/// Additive attention (Bahdanau et al., 1409.0473, §3.1 and A.1.2): softmax over keys of v · tanh(q + k), times values.
///
///     let result = additiveAttention(query: matmul(states, w), key: matmul(source, u), value: source, v: v)
///
/// Queries and keys are projected already: what stays the same over the steps of a decoder is projected once. Shapes:
/// query `[B, Lq, d]`, key `[B, Lk, d]`, value `[B, Lk, dv]`; or with layouts `[tokens, d]`, `[tokens, d]`, `[tokens, dv]`
/// of a ragged batch. Any length may be 0.
///
/// A query that may attend to nothing gets 0. A NaN or infinity behind a mask changes nothing; a visible one propagates
/// as in the formula. A row's bits depend on its own query and the keys that it sees alone. Gradients flow to all four
/// tensors; on the way back the tanh is computed again.
///
/// O(B · Lq · Lk · (d + dv)) operations, in memory for the results; the Lq · Lk · d values of tanh are never there
/// at once. Where gradients flow or weights are asked for, Lq · Lk weights are kept.
///
/// - Parameters:
///   - query: projected queries.
///   - key: projected keys.
///   - value: what the weights meet, often the source itself.
///   - v: `[d]`, the vector of the scores.
///   - layout: the sequences of a ragged batch's queries, and of its keys unless `keyLayout` is given.
///   - keyLayout: the sequences of keys and values.
///   - mask: the masks and biases; positions count from the start of each sequence, and masks see one head.
///   - returningWeights: whether the weights are returned.
/// - Precondition: the shapes fit each other, the layouts and the mask, and no bias of the mask is tracked.
public func additiveAttention(
  query: Tensor, key: Tensor, value: Tensor, v: Tensor, layout: SequenceLayout? = nil,
  keyLayout: SequenceLayout? = nil, mask: AttentionMask = .none, returningWeights: Bool = false
) -> AlignedContext {
  let rows = AlignmentRows(
    query: query, key: key, value: value, layout: layout, keyLayout: keyLayout, "additiveAttention")
  return pairwiseAttention(
    rows, score: .additive(v: v), mask: mask, returningWeights: returningWeights, name: "additiveAttention")
}

/// Attention over rows whose scores are formed pair by pair, perhaps in a window.
package func pairwiseAttention(
  _ rows: AlignmentRows, score: PairwiseScore, window: AlignmentWindow? = nil, mask: AttentionMask,
  returningWeights: Bool, name: String
) -> AlignedContext {
  let call = PairwiseAttention(rows, score: score, window: window, mask: mask, name: name)
  let inputs = [rows.query, rows.key, rows.value] + (score.v.map { [$0] } ?? []) + (window.map { [$0.centres] } ?? [])
  let isTracked = inputs.isAnyTracked
  let (context, weights) = call.forward(keepingWeights: returningWeights || isTracked)
  guard isTracked, let weights else { return rows.result(context: context, weights: weights) }
  let results = Tensor.derived(returningWeights ? [context, weights] : [context], from: inputs) { upstream, wanted in
    call.gradients(
      weights: weights, ofContext: upstream[0], ofWeights: upstream.count > 1 ? upstream[1] : nil, wanted: wanted)
  }
  return rows.result(context: results[0], weights: returningWeights ? results[1] : nil)
}
