import AttentionTensors

/// Batch norm: each column over all tokens of a batch, (x − mean) / √(variance + ε) · weight + bias (Ioffe and Szegedy,
/// 1502.03167).
///
///     var norm = BatchNorm(width: 384)
///     let y = norm.train(x)   // by the batch's own statistics, which the running ones follow
///     let z = norm(x)         // inference: by the running statistics
///
/// A batch is `[tokens, width]`: the sequences of a ragged batch laid end to end. So the statistics are over batch and time,
/// and padding never enters, there being none. In training a token's result depends on its batch mates; in inference it
/// does not.
///
/// As PyTorch keeps them, the running statistics start at 0 and 1, and each batch moves them by `momentum` towards its mean
/// and its *unbiased* variance, while the batch itself is normalised with the biased one.
public struct BatchNorm: Layer {
  /// A factor for each column, `[width]`; nil is 1.
  public var weight: Tensor?
  /// What is added to each column, `[width]`; nil is 0.
  public var bias: Tensor?
  /// The mean that inference takes away, `[width]`.
  public var runningMean: Tensor
  /// The variance that inference divides by, `[width]`.
  public var runningVariance: Tensor
  /// The batches that the running statistics have seen, a scalar.
  public var batchesTracked: Tensor
  /// Added to the variance.
  public var epsilon: Float
  /// How far a batch moves the running statistics, in 0...1; nil for the plain mean over all batches.
  public var momentum: Float?

  /// Creates a norm that leaves rows as they are until it has trained.
  ///
  /// - Parameters:
  ///   - width: the number of columns.
  ///   - epsilon: added to the variance.
  ///   - momentum: how far a batch moves the running statistics; nil for the plain mean over all batches.
  ///   - isAffine: whether there are a weight and a bias.
  public init(width: Int, epsilon: Float = 1e-5, momentum: Float? = 0.1, isAffine: Bool = true) {
    require(width >= 0, "BatchNorm: a width of \(width) is negative")
    require(
      momentum.map { $0 >= 0 && $0 <= 1 } ?? true, "BatchNorm: a momentum of \(momentum ?? 0) does not lie in 0...1")
    weight = isAffine ? Tensor(repeating: 1, shape: [width]) : nil
    bias = isAffine ? Tensor(zeros: [width]) : nil
    runningMean = Tensor(zeros: [width])
    runningVariance = Tensor(repeating: 1, shape: [width])
    batchesTracked = Tensor(zeros: [])
    self.epsilon = epsilon
    self.momentum = momentum
  }

  /// The batch norm of x, `[tokens, width]`, by the running statistics. O(count).
  public func callAsFunction(_ x: Tensor) -> Tensor {
    batchNorm(x, mean: runningMean, variance: runningVariance, weight: weight, bias: bias, epsilon: epsilon)
  }

  /// The batch norm of x, `[tokens, width]`, by its own statistics, which move the running ones. O(count).
  ///
  /// A layer is a value: keep the one that has trained.
  ///
  /// - Precondition: x has at least two tokens.
  public mutating func train(_ x: Tensor) -> Tensor {
    let (result, batch) = batchNorm(x, weight: weight, bias: bias, epsilon: epsilon)
    let seen = batchesTracked.scalars[0] + 1
    let step = momentum ?? 1 / seen
    batchesTracked = Tensor([seen], shape: [])
    runningMean = BatchNorm.moved(runningMean, to: batch.mean, by: step)
    runningVariance = BatchNorm.moved(runningVariance, to: batch.unbiasedVariance, by: step)
    return result
  }

  /// (1 − step)·old + step·new.
  private static func moved(_ old: Tensor, to new: Tensor, by step: Float) -> Tensor {
    old.detached() * (1 - step) + new * step
  }

  /// Lists `weight` and `bias`, if there are any, and the statistics `running_mean`, `running_var` and
  /// `num_batches_tracked`.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if weight != nil { try visit("weight", .parameter, &weight!) }
    if bias != nil { try visit("bias", .parameter, &bias!) }
    try visit("running_mean", .statistic, &runningMean)
    try visit("running_var", .statistic, &runningVariance)
    try visit("num_batches_tracked", .statistic, &batchesTracked)
  }
}
