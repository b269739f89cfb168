import AttentionLayers
import AttentionModels
import AttentionTensors

/// Trains a model: steps, looks at held-out data, and checkpoints from which a run goes on as if it had not stopped.
///
///     var trainer = Trainer(
///       model: model, objective: NextTokens(), data: data, optimizer: AdamW(),
///       options: TrainingOptions(steps: 1_000, schedule: schedule))
///     try trainer.run { event in print(event) }
///     try trainer.model.save(to: ModelFolder(path: "bible-gpt"))
///
/// Everything that a step depends on is the model, the optimizer's state and the step's number: there is no other hidden
/// state. So a run that is taken up from its checkpoint computes the same bits as one that never stopped, on one machine
/// with one number of threads.
public struct Trainer<Objective: TrainingObjective, Data: TrainingData>: Sendable where Data.Batch == Objective.Batch {
  /// The model as the latest step left it.
  public private(set) var model: Objective.Model
  /// What is learnt.
  public let objective: Objective
  /// What it is learnt from.
  public let data: Data
  /// What the model is measured on, if anything.
  public var heldOut: HeldOutData<Objective.Batch>?
  /// How parameters change.
  public private(set) var optimizer: any Optimizer
  /// How the run goes.
  public let options: TrainingOptions

  /// The steps done.
  public private(set) var step = 0
  /// The next batch.
  public private(set) var position = DataPosition.start
  /// The step after which the held-out loss was the least, and that loss.
  public private(set) var best: (step: Int, loss: Double)?
  /// The step after which the held-out data were looked at last.
  private(set) var evaluated = 0
  private(set) var divergence: DivergenceWatch

  /// Creates a trainer before its first step.
  public init(
    model: Objective.Model, objective: Objective, data: Data, heldOut: HeldOutData<Objective.Batch>? = nil,
    optimizer: any Optimizer, options: TrainingOptions
  ) {
    self.model = model.detached()
    self.objective = objective
    self.data = data
    self.heldOut = heldOut
    self.optimizer = optimizer
    self.options = options
    divergence = DivergenceWatch(rise: options.divergenceRise)
  }

  /// Goes on from where a run was.
  ///
  /// - Precondition: the state is of this model and this optimizer.
  mutating func restore(_ state: TrainingState, model: Objective.Model, slots: [String: [Tensor]]) {
    self.model = model.detached()
    optimizer.state = OptimizerState(steps: state.step, slots: slots)
    step = state.step
    position = state.position
    best = state.best
    evaluated = state.evaluated
    divergence.restore(state.divergence)
  }

  /// The numbers that the run goes on from.
  var state: TrainingState {
    TrainingState(
      step: step, position: position, evaluated: evaluated, best: best, divergence: divergence.state)
  }

  /// Does one step, and tells what it did.
  ///
  /// - Throws: ``TrainingError`` when a loss or a gradient is not finite, or the loss has diverged; the model is as it was
  ///   before the step then.
  @discardableResult
  public mutating func trainStep() throws(TrainingError) -> TrainingStep {
    let clock = ContinuousClock()
    let start = clock.now
    let number = step + 1
    var place = position
    var batches: [Objective.Batch] = []
    for _ in 0..<options.accumulation {
      batches.append(data.batch(place.batch, ofEpoch: place.epoch))
      place.batch += 1
      if place.batch >= data.batchCount(ofEpoch: place.epoch) { place = DataPosition(epoch: place.epoch + 1, batch: 0) }
    }
    let items = batches.map(objective.itemCounts(of:)).reduce(objective.lossNames.map { _ in 0 }) { zip($0, $1).map(+) }
    let key = DropoutKey(seed: options.seed).child(number)
    var sums = objective.lossNames.map { _ in 0.0 }
    var total: LayerGradients?
    for (index, batch) in batches.enumerated() {
      let tracked = model.tracked()
      let losses = objective.lossSums(of: tracked, on: batch, dropout: key.child(index))
      for (loss, value) in losses.enumerated() { sums[loss] += Double(value.scalars[0]) }
      let found = gradients(
        of: losses,
        upstream: zip(losses, items).map { Tensor(repeating: $1 > 0 ? 1 / Float($1) : 0, shape: $0.shape) },
        withRespectTo: tracked)
      if total == nil { total = found } else { total!.add(found) }
    }
    let means = zip(objective.lossNames, zip(sums, items)).compactMap { name, loss in
      loss.1 > 0 ? (name: name, mean: Float(loss.0 / Double(loss.1))) : nil
    }
    let loss = means.reduce(0) { $0 + $1.mean }
    let gradients = total!
    let norm = gradients.norm
    guard loss.isFinite, norm.isFinite else {
      throw .notFinite(step: number, loss: loss, parameters: gradients.namesOfNonFinite)
    }
    if let least = divergence.leastIfDiverged(with: loss) {
      throw .diverged(
        step: number, loss: divergence.latest, least: least, parameter: gradients.nameOfLargest(beside: model))
    }
    let rate = options.schedule.rate(ofStep: number)
    optimizer.update(
      &model, by: gradients, rate: rate, gradientFactor: clippingFactor(norm: norm, maximum: options.clippingNorm))
    step = number
    position = place
    return TrainingStep(
      step: number, losses: means, rate: rate, gradientNorm: norm,
      tokens: batches.reduce(0) { $0 + objective.tokenCount(of: $1) }, seconds: (clock.now - start).inSeconds)
  }

  /// The losses of the model as it is on the held-out data; nil if there are none, or if it was asked to stop.
  public func evaluate(shouldStop: () -> Bool = { false }) -> Evaluation? {
    heldOut.flatMap { objective.evaluation(of: model, on: $0, shouldStop: shouldStop) }
  }

  /// Does all steps that are left, without files.
  ///
  /// - Parameters:
  ///   - observe: told of each event.
  ///   - shouldStop: asked before each step, and while held-out data are looked at.
  /// - Throws: ``TrainingError`` as ``trainStep()``.
  @discardableResult
  public mutating func run(
    _ observe: (TrainingEvent) -> Void = { _ in }, shouldStop: () -> Bool = { false }
  ) throws(TrainingError) -> TrainingEnd {
    try run(nil, shouldStop: shouldStop, observe)
  }

  /// What a run writes, and when.
  struct Output {
    /// Writes the run's state.
    var checkpoint: (borrowing Trainer) throws(TrainingError) -> Void
    /// Writes the model, which is the best so far, or the only one there is.
    var saveBest: (borrowing Trainer) throws(TrainingError) -> Void
  }

  mutating func run(
    _ output: Output?, shouldStop: () -> Bool, _ observe: (TrainingEvent) -> Void
  ) throws(TrainingError) -> TrainingEnd {
    // A look at the held-out data changes what is kept, too.
    var kept = (step, evaluated)
    func keep() throws(TrainingError) {
      guard let output, kept != (step, evaluated) else { return }
      try output.checkpoint(self)
      kept = (step, evaluated)
      observe(.checkpoint(step: step))
    }
    while true {
      let isLast = step >= options.steps
      if step != evaluated, isLast || step.isMultiple(of: options.evaluationInterval) {
        guard try look(output, shouldStop: shouldStop, observe) else {
          try saveFirst(output)
          try keep()
          return .stopped(step: step)
        }
      }
      if isLast || step.isMultiple(of: options.checkpointInterval) { try keep() }
      if isLast {
        try saveFirst(output)
        return .finished
      }
      if shouldStop() {
        try saveFirst(output)
        try keep()
        return .stopped(step: step)
      }
      observe(.step(try trainStep()))
    }
  }

  /// Keeps the model of a run that has not looked at its held-out data yet: better than none.
  private func saveFirst(_ output: Output?) throws(TrainingError) {
    if evaluated == 0 { try output?.saveBest(self) }
  }

  /// Looks at the held-out data, and keeps the model if it is the best; false if it was asked to stop.
  private mutating func look(
    _ output: Output?, shouldStop: () -> Bool, _ observe: (TrainingEvent) -> Void
  ) throws(TrainingError) -> Bool {
    let hasItems = heldOut?.batches.contains { objective.itemCounts(of: $0).contains { $0 > 0 } }
    if hasItems == true {
      guard let found = evaluate(shouldStop: shouldStop) else { return false }
      guard found.loss.isFinite else {
        throw .notFinite(
          step: step, loss: Float(found.loss),
          parameters: model.namedTensors.filter { !$0.tensor.isFinite }.map(\.name))
      }
      let isBest = found.loss < best?.loss ?? .infinity
      if isBest {
        best = (step, found.loss)
        try output?.saveBest(self)
      }
      observe(.evaluation(step: step, found, isBest: isBest))
    } else {
      // There is nothing to compare by.
      try output?.saveBest(self)
    }
    evaluated = step
    return true
  }
}
