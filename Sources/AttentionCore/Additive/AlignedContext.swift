import AttentionTensors

/// What an alignment of queries with a source gives: a context for each query, and the weights that it is made of.
public struct AlignedContext: Sendable {
  /// `[B, Lq, dv]`, or `[query tokens, dv]` of a ragged batch.
  public let context: Tensor
  /// If asked for: `[B, Lq, Lk]`, or of a ragged batch the `[Lq, Lk]` of each sequence one after the other, in one axis.
  public let weights: Tensor?
  /// The sequences of the queries.
  public let layout: SequenceLayout
  /// The sequences of the source.
  public let keyLayout: SequenceLayout

  package init(context: Tensor, weights: Tensor?, layout: SequenceLayout, keyLayout: SequenceLayout) {
    self.context = context
    self.weights = weights
    self.layout = layout
    self.keyLayout = keyLayout
  }

  /// The weights `[Lq, Lk]` of one sequence. Gradients flow back through them. O(Lq · Lk).
  ///
  /// - Precondition: weights were asked for, and there is that sequence.
  public func weights(ofSequence sequence: Int) -> Tensor {
    guard let weights else { fatalError("AlignedContext: weights were not asked for") }
    require(
      sequence >= 0 && sequence < layout.sequenceCount,
      "AlignedContext: there is no sequence \(sequence) of \(layout.sequenceCount)")
    let first = (0..<sequence).reduce(0) { $0 + layout.lengths[$1] * keyLayout.lengths[$1] }
    let (queries, keys) = (layout.lengths[sequence], keyLayout.lengths[sequence])
    return weights.reshaped(to: [weights.count]).sliced(first..<first + queries * keys).reshaped(to: [queries, keys])
  }
}

/// Queries and a source as rows, however they came: `[B, L, width]`, or `[tokens, width]` with layouts.
package struct AlignmentRows {
  package let query: Tensor
  package let key: Tensor
  package let value: Tensor
  package let layout: SequenceLayout
  package let keyLayout: SequenceLayout
  package let isRagged: Bool

  /// - Precondition: the shapes fit each other and the layouts.
  package init(
    query: Tensor, key: Tensor, value: Tensor, layout: SequenceLayout?, keyLayout: SequenceLayout?, _ name: String
  ) {
    var shapes: String { "query \(query.shape), key \(key.shape), value \(value.shape)" }
    if let layout {
      let keyLayout = keyLayout ?? layout
      require(
        query.rank == 2 && key.rank == 2 && value.rank == 2,
        "\(name): \(shapes) are not [tokens, d], [tokens, d], [tokens, dv]")
      require(
        layout.sequenceCount == keyLayout.sequenceCount && query.shape[0] == layout.tokenCount
          && key.shape[0] == keyLayout.tokenCount && value.shape[0] == keyLayout.tokenCount,
        """
        \(name): \(shapes): the rows are not the tokens of query sequences \(layout.lengths) and key sequences \
        \(keyLayout.lengths)
        """)
      self.init(query, key, value, layout, keyLayout, isRagged: true)
    } else {
      require(
        keyLayout == nil && query.rank == 3 && key.rank == 3 && value.rank == 3,
        "\(name): \(shapes) are not [B, Lq, d], [B, Lk, d], [B, Lk, dv]; ragged rows need the layout of their queries")
      let (batch, queries, keys) = (query.shape[0], query.shape[1], key.shape[1])
      require(
        key.shape[0] == batch && value.shape[0] == batch && value.shape[1] == keys,
        "\(name): \(shapes) differ where [B, Lq, d], [B, Lk, d], [B, Lk, dv] must agree")
      self.init(
        query.reshaped(to: [batch * queries, query.shape[2]]), key.reshaped(to: [batch * keys, key.shape[2]]),
        value.reshaped(to: [batch * keys, value.shape[2]]),
        SequenceLayout(lengths: [Int](repeating: queries, count: batch)),
        SequenceLayout(lengths: [Int](repeating: keys, count: batch)), isRagged: false)
    }
  }

  private init(
    _ query: Tensor, _ key: Tensor, _ value: Tensor, _ layout: SequenceLayout, _ keyLayout: SequenceLayout,
    isRagged: Bool
  ) {
    self.query = query
    self.key = key
    self.value = value
    self.layout = layout
    self.keyLayout = keyLayout
    self.isRagged = isRagged
  }

  /// What was computed from rows, in the shape that the caller knows.
  package func result(context: Tensor, weights: Tensor?) -> AlignedContext {
    let (batch, width) = (layout.sequenceCount, context.shape[1])
    guard !isRagged, batch > 0 else {
      // Without sequences the lengths are not known any more, and nothing is there to shape.
      let shape = isRagged ? context.shape : [0, 0, width]
      return AlignedContext(
        context: context.reshaped(to: shape), weights: isRagged ? weights : weights?.reshaped(to: [0, 0, 0]),
        layout: layout, keyLayout: keyLayout)
    }
    let (queries, keys) = (layout.lengths[0], keyLayout.lengths[0])
    return AlignedContext(
      context: context.reshaped(to: [batch, queries, width]), weights: weights?.reshaped(to: [batch, queries, keys]),
      layout: layout, keyLayout: keyLayout)
  }
}
