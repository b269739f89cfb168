import AttentionCore
import AttentionTensors

/// Stochastic "hard" attention (Xu et al., 1502.03044, §4): each query looks at one location of the source, drawn by the
/// softmax of its scores.
///
///     let sample = attention.sample(query: states, source: source, using: &generator)
///     let likelihoods = decoder(sample.context)          // log p(y | s) of each query
///     let loss = sample.loss(logLikelihoods: likelihoods, baseline: baseline.value)
///     baseline.update(with: likelihoods)
///
/// A draw has no gradient; ``HardAttentionSample/loss(logLikelihoods:baseline:scoreWeight:entropyWeight:)`` has the one
/// that REINFORCE estimates. Parameters: those of the score under "score". The score of the paper is concat.
public struct HardAttention: Layer {
  private var score: AlignmentScore

  /// Creates a layer around a score.
  public init(score: AlignmentScore) { self.score = score }

  /// Lists the parameters, by the names above.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try score.visitParameters(under: "score", visit)
  }

  /// The source as the scores need it, for any number of calls.
  ///
  /// - Parameters:
  ///   - source: `[B, Lk, ds]`, or `[tokens, ds]` with a layout.
  ///   - layout: the sequences of a ragged batch.
  /// - Precondition: the source has the score's width.
  public func prepared(_ source: Tensor, layout: SequenceLayout? = nil) -> AlignmentSource {
    score.prepared(source, layout: layout)
  }

  /// Draws a location for each query, and takes the state that stands there. O(B · Lq · Lk · d).
  ///
  /// The generator gives one number for each query, in order. A query that sees nothing has no location, and a context
  /// of 0.
  ///
  /// - Parameters:
  ///   - query: `[B, Lq, dq]`, or `[tokens, dq]` with a layout.
  ///   - layout: the sequences of a ragged batch's queries.
  ///   - source: what ``prepared(_:layout:)`` made of the source.
  ///   - mask: lengths, cells and whatever else hides keys.
  ///   - generator: where the draws come from.
  /// - Precondition: the shapes fit the layer, the layouts and the mask.
  public func sample(
    query: Tensor, layout: SequenceLayout? = nil, source: AlignmentSource, mask: AttentionMask = .none,
    using generator: inout some RandomNumberGenerator
  ) -> HardAttentionSample {
    let rows = score.rows(query, layout: layout, source: source, "HardAttention")
    let cells = cells(rows, mask)
    return sample(query, rows, cells, at: cells.sampledLocations(using: &generator))
  }

  /// What a draw of these locations gives, one for each query, row after row.
  package func sample(
    query: Tensor, layout: SequenceLayout? = nil, source: AlignmentSource, mask: AttentionMask = .none,
    at locations: [Int?]
  ) -> HardAttentionSample {
    let rows = score.rows(query, layout: layout, source: source, "HardAttention")
    return sample(query, rows, cells(rows, mask), at: locations)
  }

  private func sample(
    _ query: Tensor, _ rows: AlignmentRows, _ cells: AlignmentCells, at locations: [Int?]
  ) -> HardAttentionSample {
    let shape = Array(query.shape.dropLast())
    return HardAttentionSample(
      context: cells.values(at: locations, of: rows.value).reshaped(to: shape + [score.sourceWidth]),
      locations: locations, logProbabilities: cells.logProbabilities(at: locations).reshaped(to: shape),
      entropies: cells.entropies().reshaped(to: shape))
  }

  /// The exact expectation of what `sample` estimates, by going through all locations: Σ_s p(s) · f(value at s).
  ///
  /// Its gradient is the one that the estimates have on average. O(Lk) calls of `function`, for the longest source.
  ///
  /// - Parameters:
  ///   - query: `[B, Lq, dq]`, or `[tokens, dq]` with a layout.
  ///   - layout: the sequences of a ragged batch's queries.
  ///   - source: what ``prepared(_:layout:)`` made of the source.
  ///   - mask: lengths, cells and whatever else hides keys.
  ///   - function: from contexts `[B, Lq, ds]`, or `[tokens, ds]`, to a number for each, of the shape without the last
  ///     axis; a query's number depends on its own context alone.
  /// - Returns: the expectation of each query's number; 0 where a query sees nothing.
  /// - Precondition: the shapes fit the layer, the layouts and the mask.
  public func exactExpectation(
    query: Tensor, layout: SequenceLayout? = nil, source: AlignmentSource, mask: AttentionMask = .none,
    of function: (_ context: Tensor) throws -> Tensor
  ) rethrows -> Tensor {
    let rows = score.rows(query, layout: layout, source: source, "HardAttention")
    let cells = cells(rows, mask)
    let shape = Array(query.shape.dropLast())
    var sum = Tensor(zeros: shape)
    for location in 0..<(rows.keyLayout.lengths.max() ?? 0) {
      // What has no probability may hold anything.
      let locations = cells.visible(location)
      let context = cells.values(at: locations, of: rows.value).reshaped(to: shape + [score.sourceWidth])
      let numbers = try function(context)
      require(
        numbers.shape == shape, "HardAttention: the function gave \(numbers.shape) for contexts \(context.shape)")
      sum = sum + cells.probabilities(at: locations).reshaped(to: shape) * numbers
    }
    return sum
  }

  private func cells(_ rows: AlignmentRows, _ mask: AttentionMask) -> AlignmentCells {
    // Weights alone: no value is read.
    let nothing = Tensor(zeros: [rows.keyLayout.tokenCount, 0])
    let alignment = pairwiseAttention(
      AlignmentRows(
        query: rows.query, key: rows.key, value: nothing, layout: rows.layout, keyLayout: rows.keyLayout,
        "HardAttention"),
      score: score.pairwise, mask: mask, returningWeights: true, name: "HardAttention")
    return AlignmentCells(weights: alignment.weights!, layout: rows.layout, keyLayout: rows.keyLayout)
  }
}
