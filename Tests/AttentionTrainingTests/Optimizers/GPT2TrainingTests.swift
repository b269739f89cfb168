import Attention
import AttentionLayers
import AttentionModels
import AttentionTraining
import Testing

/// 100 steps of a small GPT-2, gradients and all, against PyTorch and transformers in float64
/// (`scripts/make-training-fixtures`): optimizers, groups, clipping, schedules, accumulation and label smoothing together.
@Suite struct GPT2TrainingTests {
  struct File: Decodable {
    let batches: [Batch]
    let cases: [Case]
  }

  struct Batch: Decodable, Sendable {
    let lengths, ids, labels: [Int]

    var tokens: TokenBatch { TokenBatch(ids: ids, labels: labels, layout: SequenceLayout(lengths: lengths)) }
  }

  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    struct Settings: Decodable, Sendable {
      let betas: [Double]?
      let eps: Double?
      let momentum, dampening: Float?
      let nesterov: Bool?
    }

    let name, kind, decays: String
    let rate, weightDecay: Float
    let clipping, smoothing, slow: Float?
    let schedule: String?
    let warmUp, accumulation: Int?
    let tied: Bool?
    let settings: Settings?
    let losses, norms: [Float]

    var testDescription: String { name }

    var optimizer: any Optimizer {
      let (decay, factor, all) = (weightDecay, slow ?? 1, decays == "all")
      let groups = ParameterGroups { name, shape in
        ParameterGroup(
          weightDecay: all || shape.count >= 2 ? decay : 0, rateFactor: name.hasPrefix("wte.") ? factor : 1)
      }
      let (beta1, beta2, epsilon) = (settings?.betas?[0] ?? 0.9, settings?.betas?[1] ?? 0.999, settings?.eps ?? 1e-8)
      switch kind {
      case "adamw": return AdamW(beta1: beta1, beta2: beta2, epsilon: epsilon, groups: groups)
      case "adam": return Adam(beta1: beta1, beta2: beta2, epsilon: epsilon, groups: groups)
      default:
        return SGD(
          momentum: settings?.momentum ?? 0, dampening: settings?.dampening ?? 0,
          isNesterov: settings?.nesterov ?? false, groups: groups)
      }
    }

    var options: TrainingOptions {
      let decay = schedule.flatMap(LearningRateSchedule.Decay.init(rawValue:)) ?? .constant
      return TrainingOptions(
        steps: losses.count,
        schedule: LearningRateSchedule(peak: rate, warmUpSteps: warmUp ?? 0, decay: decay, totalSteps: losses.count),
        accumulation: accumulation ?? 1, clippingNorm: clipping)
    }
  }

  /// The same batches again and again.
  struct Cycle: TrainingData {
    let batches: [TokenBatch]
    func batchCount(ofEpoch epoch: Int) -> Int { batches.count }
    func batch(_ index: Int, ofEpoch epoch: Int) -> TokenBatch { batches[index] }
  }

  static let file = try? TrainingFixtures.json("gpt2/cases.json", as: File.self)

  @Test func `all cases are there`() { #expect(Self.file?.cases.count == 6 && Self.file?.batches.count == 4) }

  /// Every parameter within 1e-4 of PyTorch's, by the norm of the difference beside the parameter's.
  @Test(arguments: file?.cases ?? []) func `every parameter is PyTorch's after 100 steps`(_ fixture: Case) throws {
    let batches = try #require(Self.file).batches.map(\.tokens)
    let start = try GPT2(TrainingFixtures.modelFolder(fixture.tied == false ? "start-untied" : "start"))
    let expected = try GPT2(TrainingFixtures.modelFolder(fixture.name))
    var trainer = Trainer(
      model: start, objective: NextTokens(smoothing: fixture.smoothing ?? 0), data: Cycle(batches: batches),
      optimizer: fixture.optimizer, options: fixture.options)
    for (loss, norm) in zip(fixture.losses, fixture.norms) {
      let step = try trainer.trainStep()
      #expect(abs(step.loss - loss) <= 1e-4 * loss, "the loss of step \(step.step)")
      #expect(abs(step.gradientNorm - norm) <= 5e-3 * norm, "the norm of step \(step.step)")
    }
    var worst = (error: 0.0, name: "")
    for (found, wanted) in zip(trainer.model.namedTensors, expected.namedTensors) {
      #expect(found.name == wanted.name && found.tensor.shape == wanted.tensor.shape)
      let error = Self.relativeDistance(Self.compared(found), Self.compared(wanted))
      if error > worst.error { worst = (error, found.name) }
    }
    #expect(worst.error <= 1e-4, "\(worst.name)")
    // It is no small way: training moved everything that is compared further than that.
    let moved = Self.relativeDistance(start.tokens.weight.scalars, expected.tokens.weight.scalars)
    #expect(moved > 0.05)
  }

  /// A trainer holds its model and its optimizer's state alone: a step makes no copy of either, but of the few numbers of
  /// norms, which their enum's cases hold.
  @Test func `steps write in place`() throws {
    let batches = try #require(Self.file).batches.map(\.tokens)
    var trainer = Trainer(
      model: try GPT2(TrainingFixtures.modelFolder("start-untied")), objective: NextTokens(),
      data: Cycle(batches: batches), optimizer: AdamW(),
      options: TrainingOptions(steps: 3, schedule: LearningRateSchedule(peak: 1e-3), accumulation: 2))
    try trainer.trainStep()
    func places(_ trainer: Trainer<NextTokens<GPT2>, Cycle>) -> [UnsafePointer<Float>] {
      trainer.model.namedTensors.map(\.tensor).filter { $0.rank == 2 }.map(\.unsafeBase)
        + trainer.optimizer.slotNames.flatMap { trainer.optimizer.state.slots[$0]!.map(\.unsafeBase) }
    }
    let before = places(trainer)
    try trainer.trainStep()
    #expect(places(trainer) == before)
  }

  /// All but the bias of the keys: softmax takes it away, and of a gradient that is 0 rounding errors are left, which Adam
  /// makes steps of.
  private static func compared(_ parameter: (name: String, role: ParameterRole, tensor: Tensor)) -> [Float] {
    let scalars = parameter.tensor.scalars
    guard parameter.name.hasSuffix("in_proj_bias") else { return scalars }
    return Array(scalars[..<(scalars.count / 3)] + scalars[(2 * scalars.count / 3)...])
  }

  private static func relativeDistance(_ found: [Float], _ wanted: [Float]) -> Double {
    let difference = zip(found, wanted).reduce(0.0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }
    return (difference / wanted.reduce(0.0) { $0 + Double($1) * Double($1) }).squareRoot()
  }
}
