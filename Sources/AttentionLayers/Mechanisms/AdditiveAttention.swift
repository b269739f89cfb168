import AttentionCore
import AttentionTensors

/// Bahdanau's attention (1409.0473, §3.1 and A.1.2): e_ij = v · tanh(W·s_i + U·h_j), weights softmax_j(e_ij), context
/// Σ_j weight_ij · h_j.
///
///     let attention = AdditiveAttention(queryWidth: 512, sourceWidth: 1024, width: 256, using: &generator)
///     let source = attention.prepared(encoded)
///     for step in steps { let context = attention(query: state, source: source).context … }
///
/// U·h is computed once for a source. Parameters: "query.weight" (W) `[d, dq]`, "source.weight" (U) `[d, ds]`, "v" `[d]`.
public struct AdditiveAttention: Layer {
  private var score: AlignmentScore

  /// Creates a layer for queries and sources of these widths, whose scores are `width` wide inside.
  ///
  /// - Precondition: the widths are positive.
  public init(queryWidth: Int, sourceWidth: Int, width: Int, using generator: inout some RandomNumberGenerator) {
    score = AlignmentScore(.concat, queryWidth: queryWidth, sourceWidth: sourceWidth, width: width, using: &generator)
  }

  /// Creates a layer whose parameters come from elsewhere, such as a checkpoint.
  package init<Failure: Error>(
    queryWidth: Int, sourceWidth: Int, width: Int, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    score = try AlignmentScore(
      .concat, queryWidth: queryWidth, sourceWidth: sourceWidth, width: width, from: parameter)
  }

  /// Lists the parameters, by the names above.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try score.visitParameters(visit)
  }

  /// The source with U·h computed, for any number of calls. O(tokens · ds · d).
  ///
  /// - Parameters:
  ///   - source: `[B, Lk, ds]`, or `[tokens, ds]` with a layout.
  ///   - layout: the sequences of a ragged batch.
  /// - Precondition: the source has the layer's width.
  public func prepared(_ source: Tensor, layout: SequenceLayout? = nil) -> AlignmentSource {
    score.prepared(source, layout: layout)
  }

  /// The context of each query, and the weights if asked for. O(B · Lq · Lk · (d + ds)).
  ///
  /// A query that sees nothing gets 0; what a mask hides changes nothing, NaN included.
  ///
  /// - Parameters:
  ///   - query: `[B, Lq, dq]`, or `[tokens, dq]` with a layout.
  ///   - layout: the sequences of a ragged batch's queries.
  ///   - source: what ``prepared(_:layout:)`` made of the source.
  ///   - mask: lengths, cells and whatever else hides keys.
  ///   - returningWeights: whether the weights are returned, which take 4 · B · Lq · Lk bytes.
  /// - Precondition: the shapes fit the layer, the layouts and the mask.
  public func callAsFunction(
    query: Tensor, layout: SequenceLayout? = nil, source: AlignmentSource, mask: AttentionMask = .none,
    returningWeights: Bool = true
  ) -> AlignedContext {
    let name = "AdditiveAttention"
    return pairwiseAttention(
      score.rows(query, layout: layout, source: source, name), score: score.pairwise, mask: mask,
      returningWeights: returningWeights, name: name)
  }
}
