import AttentionTensors

/// What `scaledDotProductAttention(query:key:value:mask:options:returning:)` returns.
public struct AttentionResult: Sendable {
  /// `[B, Hq, Lq, dv]`.
  public let output: Tensor
  /// `[B, Hq, Lq]`: ln Σ exp(score) over the visible keys, −∞ where there are none; if asked for.
  public let logSumExp: Tensor?
  /// `[B, Hq, Lq, Lk]`, if asked for.
  public let weights: Tensor?
  /// `[B, Hq, Lq, Lk]` at each stage that was asked for.
  public let scores: [AttentionScoreStage: Tensor]
}

/// What attention over a ragged batch returns.
public struct RaggedAttentionResult: Sendable {
  /// `[tokens, Hq · dv]`.
  public let output: Tensor
  /// `[tokens, Hq]`: ln Σ exp(score) over the visible keys, −∞ where there are none; if asked for.
  public let logSumExp: Tensor?
  /// `[Hq, Lq, Lk]` for each sequence, if asked for.
  public let weights: [Tensor]?
  /// `[Hq, Lq, Lk]` for each sequence, at each stage that was asked for.
  public let scores: [AttentionScoreStage: [Tensor]]
}
