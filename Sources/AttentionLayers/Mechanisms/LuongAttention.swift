import AttentionCore
import AttentionTensors

/// Luong's global attention (1508.04025, §3.1): softmax over the source of a dot, general or concat score.
///
///     let score = AlignmentScore(.general, queryWidth: 512, sourceWidth: 1024, using: &generator)
///     let attention = LuongAttention(score: score)
///     let result = attention(query: states, source: attention.prepared(encoded))
///
/// Parameters: those of the score under "score".
public struct LuongAttention: Layer {
  private var score: AlignmentScore

  /// Creates a layer around a score.
  public init(score: AlignmentScore) { self.score = score }

  /// Lists the parameters, by the names above.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try score.visitParameters(under: "score", visit)
  }

  /// The source as the scores need it, for any number of calls: W·h of a general score, U·h of a concat one.
  ///
  /// - Parameters:
  ///   - source: `[B, Lk, ds]`, or `[tokens, ds]` with a layout.
  ///   - layout: the sequences of a ragged batch.
  /// - Precondition: the source has the score's width.
  public func prepared(_ source: Tensor, layout: SequenceLayout? = nil) -> AlignmentSource {
    score.prepared(source, layout: layout)
  }

  /// The context of each query, and the weights if asked for. O(B · Lq · Lk · (d + ds)).
  ///
  /// Dot and general scores are dot-product attention with a scale of 1, and computed as such where no weights are asked
  /// for. Otherwise scores are formed row by row, and gradients flow through the weights too.
  ///
  /// - Parameters:
  ///   - query: `[B, Lq, dq]`, or `[tokens, dq]` with a layout.
  ///   - layout: the sequences of a ragged batch's queries.
  ///   - source: what ``prepared(_:layout:)`` made of the source.
  ///   - mask: lengths, cells and whatever else hides keys.
  ///   - returningWeights: whether the weights are returned.
  /// - Precondition: the shapes fit the layer, the layouts and the mask.
  public func callAsFunction(
    query: Tensor, layout: SequenceLayout? = nil, source: AlignmentSource, mask: AttentionMask = .none,
    returningWeights: Bool = true
  ) -> AlignedContext {
    let name = "LuongAttention"
    let rows = score.rows(query, layout: layout, source: source, name)
    if score.kind != .concat, !returningWeights {
      let result = scaledDotProductAttention(
        query: rows.query, key: rows.key, value: rows.value, layout: rows.layout, keyLayout: rows.keyLayout, heads: 1,
        mask: mask, options: AttentionOptions(scale: 1))
      return rows.result(context: result.output, weights: nil)
    }
    return pairwiseAttention(
      rows, score: score.pairwise, mask: mask, returningWeights: returningWeights, name: name)
  }
}
