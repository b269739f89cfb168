import AttentionTensors

/// Which implementation computes.
public enum AttentionPath: String, Sendable, CaseIterable {
  /// The path that was measured to be the fastest for the shapes at hand.
  case automatic
  /// The formula as a reader would write it: plain loops over float32. The twin that the others are checked against.
  case naive
  /// `cblas_sgemm` for Q·Kᵀ and for weights·V, whole rows of scores in between.
  ///
  /// Bits do not depend on threads, callers, or other sequences of the batch. Fewer queries or keys of the same sequence
  /// (a prefix, chunks, one query at a time) agree with the whole within the tolerance only.
  case blas
  /// Tiles of scores with a running softmax; no score matrix in memory.
  case fused
}

/// How attention scores are formed, and by which path.
public struct AttentionOptions: Sendable {
  /// The factor of Q·Kᵀ; 1/√dk unless given (Vaswani et al., 1706.03762, §3.2.1).
  public var scale: Float?
  /// c in c·tanh(score/c), applied before biases and masks; none unless given.
  public var softcap: Float?
  /// Which weights are dropped, for training; none unless given.
  public var dropout: AttentionDropout?
  /// The path that computes.
  public var path: AttentionPath
  /// The fused path's tiles in place of the plan's, for `attention bench tune`.
  package var fusedTileSize: FusedTileSize?

  /// Creates options; each left out keeps its default.
  ///
  /// - Precondition: `scale` is finite; `softcap` lies in 2⁻¹²⁶...2¹²⁶, where its reciprocal keeps its precision.
  public init(
    scale: Float? = nil, softcap: Float? = nil, dropout: AttentionDropout? = nil, path: AttentionPath = .automatic
  ) {
    require(scale?.isFinite ?? true, "AttentionOptions: a scale of \(scale ?? 0) is not finite")
    require(
      softcap.map { $0 >= 0x1p-126 && $0 <= 0x1p126 } ?? true,
      "AttentionOptions: a softcap of \(softcap ?? 0) does not lie in 2⁻¹²⁶...2¹²⁶")
    self.scale = scale
    self.softcap = softcap
    self.dropout = dropout
    self.path = path
  }
}

/// A stage that scores pass through on their way to the softmax.
public enum AttentionScoreStage: String, Sendable, CaseIterable {
  /// scale·Q·Kᵀ. A score behind a mask has its value, one past the key length is −∞.
  case raw
  /// After the softcap; the same as ``raw`` when there is none.
  case capped
  /// What the softmax sees: biases added, masked scores −∞.
  case biased
}

/// What attention returns beside its output.
public struct AttentionExtras: OptionSet, Sendable {
  /// The bits of the set.
  public let rawValue: Int
  /// Creates a set from its bits.
  public init(rawValue: Int) { self.rawValue = rawValue }

  /// ln Σ exp(score) of each query: what merges partial results, and what the backward pass starts from.
  public static let logSumExp = AttentionExtras(rawValue: 1)
  /// The softmax's result for each query and key.
  public static let weights = AttentionExtras(rawValue: 2)
  /// The scores at ``AttentionScoreStage/raw``.
  public static let rawScores = AttentionExtras(rawValue: 4)
  /// The scores at ``AttentionScoreStage/capped``.
  public static let cappedScores = AttentionExtras(rawValue: 8)
  /// The scores at ``AttentionScoreStage/biased``.
  public static let biasedScores = AttentionExtras(rawValue: 16)
}
