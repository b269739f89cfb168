/// What a step did.
public struct TrainingStep: Sendable, Equatable {
  /// The step, from 1.
  public let step: Int
  /// The mean of each loss over the step's items, in nats, by the objective's names.
  public let losses: [(name: String, mean: Float)]
  /// The learning rate.
  public let rate: Float
  /// The norm of all gradients together, before it was clipped.
  public let gradientNorm: Float
  /// The tokens read.
  public let tokens: Int
  /// The time that it took.
  public let seconds: Double

  /// What is minimised: the sum of the losses' means.
  public var loss: Float { losses.reduce(0) { $0 + $1.mean } }

  /// Whether both are equal, the time among them.
  public static func == (left: TrainingStep, right: TrainingStep) -> Bool {
    left.step == right.step && left.losses.elementsEqual(right.losses) { $0 == $1 } && left.rate == right.rate
      && left.gradientNorm == right.gradientNorm && left.tokens == right.tokens && left.seconds == right.seconds
  }
}

/// What a run tells as it goes.
public enum TrainingEvent: Sendable, Equatable {
  /// A step is done.
  case step(TrainingStep)
  /// The held-out data were looked at after a step; whether the model is the best so far.
  case evaluation(step: Int, Evaluation, isBest: Bool)
  /// A checkpoint of the run was written after a step.
  case checkpoint(step: Int)
}

/// How a run ended.
public enum TrainingEnd: Sendable, Equatable {
  /// All steps are done.
  case finished
  /// It was asked to stop, after this step; a checkpoint was written.
  case stopped(step: Int)
}
