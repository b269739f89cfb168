import AttentionTensors

/// Local attention (Luong et al., 1508.04025, §3.2): each query looks at the keys near its centre.
///
/// Weights are the softmax of the scores over the keys s with |s − p| ≤ reach, times exp(−(s − p)² / 2σ²) with
/// σ = reach / 2 where `hasGaussian` says so; they are not normalised again, so they sum to less than 1. Scores are q · k,
/// or v · tanh(q + k) where `v` is given. Shapes and layouts as for
/// ``additiveAttention(query:key:value:v:layout:keyLayout:mask:returningWeights:)``; positions count from 0 at the first
/// key of each sequence.
///
/// Gradients flow to all tensors, the centres included: by the Gaussian factor; where a window begins and ends is
/// constant. Without it, their gradient is 0. What a mask hides in a window is hidden; an empty window gives 0.
///
/// O(B · Lq · reach · (d + dv)).
///
/// - Parameters:
///   - query: `[B, Lq, d]` or `[tokens, d]`, projected if `v` is given.
///   - key: `[B, Lk, d]` or `[tokens, d]`, projected as the scores need it.
///   - value: `[B, Lk, dv]` or `[tokens, dv]`.
///   - v: `[d]`, the vector of additive scores; scores are products unless given.
///   - centres: p of each query, `[B, Lq]` or `[tokens]`.
///   - reach: D, how far the window goes to either side; positive.
///   - hasGaussian: whether weights fall off with the distance from the centre.
///   - layout: the sequences of a ragged batch's queries, and of its keys unless `keyLayout` is given.
///   - keyLayout: the sequences of keys and values.
///   - mask: further masks and biases.
///   - returningWeights: whether the weights are returned: 0 outside of windows.
/// - Precondition: the shapes fit each other, the layouts and the mask, and no bias of the mask is tracked.
public func localAttention(
  query: Tensor, key: Tensor, value: Tensor, v: Tensor? = nil, centres: Tensor, reach: Int, hasGaussian: Bool = true,
  layout: SequenceLayout? = nil, keyLayout: SequenceLayout? = nil, mask: AttentionMask = .none,
  returningWeights: Bool = false
) -> AlignedContext {
  let name = "localAttention"
  let rows = AlignmentRows(query: query, key: key, value: value, layout: layout, keyLayout: keyLayout, name)
  require(
    centres.shape == Array(query.shape.dropLast()), "\(name): centres \(centres.shape) for queries \(query.shape)")
  return pairwiseAttention(
    rows, score: v.map { .additive(v: $0) } ?? .dot,
    window: AlignmentWindow(
      centres: centres.reshaped(to: [centres.count]), reach: reach, hasGaussian: hasGaussian),
    mask: mask, returningWeights: returningWeights, name: name)
}
