import AttentionTensors

/// How a ``Trainer`` goes about a run.
public struct TrainingOptions: Sendable, Equatable {
  /// The steps of the whole run, those before it was taken up again among them.
  public var steps: Int
  /// The learning rate of each step.
  public var schedule: LearningRateSchedule
  /// The batches whose gradients make one step.
  public var accumulation: Int
  /// What the norm of all gradients together is brought down to where it is larger (Pascanu et al., 1211.5063); nil to
  /// leave it.
  public var clippingNorm: Float?
  /// What decides which elements are dropped in which step.
  public var seed: UInt64
  /// The steps between two looks at the held-out data.
  public var evaluationInterval: Int
  /// The steps between two checkpoints of the run.
  public var checkpointInterval: Int
  /// A run has diverged when the mean loss of its latest steps lies this far, in nats, above the least that it was.
  public var divergenceRise: Float

  /// Creates options.
  ///
  /// - Precondition: the numbers of steps and batches are positive (steps may be 0), and the clipping norm too.
  public init(
    steps: Int, schedule: LearningRateSchedule, accumulation: Int = 1, clippingNorm: Float? = 1, seed: UInt64 = 0,
    evaluationInterval: Int = 250, checkpointInterval: Int = 250, divergenceRise: Float = 3
  ) {
    require(
      steps >= 0 && accumulation > 0 && evaluationInterval > 0 && checkpointInterval > 0 && clippingNorm ?? 1 > 0
        && divergenceRise > 0,
      """
      TrainingOptions: \(steps) steps of \(accumulation) batches, clipped to \(clippingNorm ?? 0), evaluated every \
      \(evaluationInterval), kept every \(checkpointInterval), a rise of \(divergenceRise)
      """)
    self.steps = steps
    self.schedule = schedule
    self.accumulation = accumulation
    self.clippingNorm = clippingNorm
    self.seed = seed
    self.evaluationInterval = evaluationInterval
    self.checkpointInterval = checkpointInterval
    self.divergenceRise = divergenceRise
  }
}
