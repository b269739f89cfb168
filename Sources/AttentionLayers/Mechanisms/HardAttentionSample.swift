import AttentionTensors

/// What one draw of hard attention gave, and the loss whose gradient learns from it.
public struct HardAttentionSample: Sendable {
  /// The state at each query's location: `[B, Lq, ds]`, or `[tokens, ds]` of a ragged batch.
  public let context: Tensor
  /// Where each query looked, row after row, from 0 at its source's first state; nil where it saw nothing.
  public let locations: [Int?]
  /// log p(s) of each query, `[B, Lq]` or `[tokens]`; 0 where it saw nothing.
  public let logProbabilities: Tensor
  /// The entropy H of each query's distribution, of the same shape; 0 where it saw nothing.
  public let entropies: Tensor

  /// The loss of a draw, a scalar to be minimised (Xu et al., 1502.03044, §4.1): the negative of
  ///
  /// Σ log p(y | s) + λ · (log p(y | s) − b) · log p(s) + λ_H · H, divided by the number of queries,
  ///
  /// where the factor log p(y | s) − b is a constant. So minus its gradient is REINFORCE's estimate
  /// ∇log p(y | s) + λ · (log p(y | s) − b) · ∇log p(s) + λ_H · ∇H, whose mean over draws is, for λ = 1 and λ_H = 0, the
  /// gradient of E[log p(y | s)], whatever b is; a b near the mean of log p(y | s) makes it vary less.
  ///
  /// - Parameters:
  ///   - logLikelihoods: log p(y | s) of each query, of the shape of ``logProbabilities``.
  ///   - baseline: b, such as a ``MovingBaseline``'s value.
  ///   - scoreWeight: λ.
  ///   - entropyWeight: λ_H; what is positive keeps the distribution from collapsing.
  /// - Precondition: a log-likelihood for each query.
  public func loss(
    logLikelihoods: Tensor, baseline: Float, scoreWeight: Float = 1, entropyWeight: Float = 0
  ) -> Tensor {
    require(
      logLikelihoods.shape == logProbabilities.shape,
      "HardAttentionSample: log-likelihoods \(logLikelihoods.shape) for queries \(logProbabilities.shape)")
    guard logLikelihoods.count > 0 else { return Tensor(zeros: []) }
    let advantages = (logLikelihoods.detached() - baseline) * scoreWeight
    var objective = logLikelihoods + advantages * logProbabilities
    if entropyWeight != 0 { objective = objective + entropies * entropyWeight }
    return -objective.mean()
  }
}

/// The baseline of REINFORCE: a moving average of log-likelihoods (Xu et al., 1502.03044, §4.1),
/// b ← decay · b + (1 − decay) · mean, from 0 on.
public struct MovingBaseline: Sendable {
  /// b.
  public private(set) var value: Float
  /// How much of the old value stays.
  public let decay: Float

  /// Creates a baseline.
  ///
  /// - Parameters:
  ///   - value: where it begins.
  ///   - decay: how much of the old value stays; 0.9 in the paper.
  /// - Precondition: the decay lies in 0..<1.
  public init(value: Float = 0, decay: Float = 0.9) {
    require(decay >= 0 && decay < 1, "MovingBaseline: a decay of \(decay) is not in 0..<1")
    self.value = value
    self.decay = decay
  }

  /// Takes in the log-likelihoods of a batch; none change nothing.
  public mutating func update(with logLikelihoods: Tensor) {
    guard logLikelihoods.count > 0 else { return }
    let mean = logLikelihoods.scalars.reduce(0.0) { $0 + Double($1) } / Double(logLikelihoods.count)
    value = decay * value + (1 - decay) * Float(mean)
  }
}
