import AttentionCore
import AttentionTensors

/// Luong's local attention (1508.04025, §3.2): a query looks at the states within `reach` of its centre.
///
///     let attention = LocalAttention(.predictive, score: score, reach: 10, using: &generator)
///     let result = attention(query: states, source: attention.prepared(encoded))
///
/// Weights are the softmax of the scores over the window, times a Gaussian around the centre with σ = reach / 2 where there
/// is one; they then sum to less than 1. Parameters: those of the score under "score", and of a predictive layer
/// "position.weight" (W_p) `[d, dq]` and "v" (v_p) `[d]`.
public struct LocalAttention: Layer {
  /// Where a query's centre is.
  public enum Centring: String, Sendable, CaseIterable {
    /// local-m: at the query's own position, p_t = t.
    case monotonic
    /// local-p: p_t = S · σ(v_p · tanh(W_p·h_t)), with S the length of the source. The gradient flows through it.
    case predictive
  }

  /// Where centres are.
  public let centring: Centring
  /// D: how far a window goes to either side.
  public let reach: Int
  /// Whether weights fall off with the distance from the centre.
  public let hasGaussian: Bool
  private var score: AlignmentScore
  private var position: Linear?
  private var v: Tensor?

  /// Creates a layer around a score.
  ///
  /// - Parameters:
  ///   - centring: where centres are.
  ///   - score: dot, general or concat.
  ///   - reach: D; positive.
  ///   - hasGaussian: whether weights fall off with the distance; as in the paper unless given: for local-p alone.
  ///   - width: the rows of W_p; the width of queries unless given.
  ///   - generator: draws W_p and v_p.
  /// - Precondition: `reach` and `width` are positive, and a predictive layer has the Gaussian, by which it learns.
  public init(
    _ centring: Centring, score: AlignmentScore, reach: Int, hasGaussian: Bool? = nil, width: Int? = nil,
    using generator: inout some RandomNumberGenerator
  ) {
    let width = width ?? score.queryWidth
    require(reach > 0 && width > 0, "LocalAttention: a reach of \(reach) and positions \(width) wide")
    require(
      centring == .monotonic || hasGaussian ?? true,
      "LocalAttention: a predictive layer without its Gaussian factor never learns where to look")
    self.centring = centring
    self.reach = reach
    self.score = score
    self.hasGaussian = hasGaussian ?? (centring == .predictive)
    guard centring == .predictive else { return }
    position = Linear(
      inputs: score.queryWidth, outputs: width, hasBias: false, activation: .tanh, using: &generator)
    v = Tensor(linearUniform: [width], inputs: width, using: &generator)
  }

  /// Lists the parameters, by the names above.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try score.visitParameters(under: "score", visit)
    try position?.visitParameters(under: "position", visit)
    if v != nil { try visit("v", .parameter, &v!) }
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

  /// The context of each query, and the weights if asked for: 0 outside of windows. O(B · Lq · reach · (d + ds)).
  ///
  /// A query whose window is empty or hidden gets 0. Key lengths in the mask shorten the source: S of a predictive layer
  /// is what they leave.
  ///
  /// - Parameters:
  ///   - query: `[B, Lq, dq]`, or `[tokens, dq]` with a layout.
  ///   - layout: the sequences of a ragged batch's queries.
  ///   - source: what ``prepared(_:layout:)`` made of the source.
  ///   - positions: t of each query, row after row, for local-m; 0, 1, 2 … in each sequence unless given. A decoder that
  ///     takes one step at a time passes its step.
  ///   - mask: lengths, cells and whatever else hides keys.
  ///   - returningWeights: whether the weights are returned.
  /// - Precondition: the shapes fit the layer, the layouts and the mask; as many positions as queries.
  public func callAsFunction(
    query: Tensor, layout: SequenceLayout? = nil, source: AlignmentSource, positions: [Int]? = nil,
    mask: AttentionMask = .none, returningWeights: Bool = true
  ) -> AlignedContext {
    let name = "LocalAttention"
    let rows = score.rows(query, layout: layout, source: source, name)
    let window = AlignmentWindow(
      centres: centres(query, rows, positions: positions, mask: mask), reach: reach, hasGaussian: hasGaussian)
    return pairwiseAttention(
      rows, score: score.pairwise, window: window, mask: mask, returningWeights: returningWeights, name: name)
  }

  /// The centre of each query's window, `[query tokens]`.
  private func centres(_ query: Tensor, _ rows: AlignmentRows, positions: [Int]?, mask: AttentionMask) -> Tensor {
    let (layout, count) = (rows.layout, rows.layout.tokenCount)
    guard let position, let v else {
      require(
        positions.map { $0.count == count } ?? true,
        "LocalAttention: \(positions?.count ?? 0) positions for \(count) queries")
      return Tensor((positions ?? layout.lengths.flatMap { 0..<$0 }).map { Float($0) }, shape: [count])
    }
    var lengths = rows.keyLayout.lengths
    for case .keyLengths(let held) in mask.conditions where held.count == lengths.count {
      lengths = zip(lengths, held).map { min($0, $1) }
    }
    let source = zip(layout.lengths, lengths).flatMap { [Float](repeating: Float($1), count: $0) }
    let hidden = position(query.reshaped(to: [count, score.queryWidth]))
    let shares = matmul(hidden, v.reshaped(to: [v.count, 1])).reshaped(to: [count]).sigmoid()
    return shares * Tensor(source, shape: [count])
  }
}
