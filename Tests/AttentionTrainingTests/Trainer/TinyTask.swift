import AttentionLayers
import AttentionModels
import AttentionTensors
import AttentionTraining

/// A map that is fitted to another one: small enough for hundreds of runs, and with everything that a run has.
struct TinyModel: StoredModel {
  var first: Linear
  var second: Linear

  init(seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed)
    first = Linear(inputs: 3, outputs: 5, activation: .tanh, using: &generator)
    second = Linear(inputs: 5, outputs: 2, using: &generator)
  }

  mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try first.visitParameters(under: "first", visit)
    try second.visitParameters(under: "second", visit)
  }

  func save(to folder: ModelFolder) throws(ModelFileError) {
    do throws(TensorFileError) {
      try save(to: folder.path(of: "model.safetensors"))
    } catch {
      throw ModelFileError(file: folder.path, reason: .unreadable("\(error)"))
    }
  }
}

/// Rows, and what the map that is sought makes of them.
struct TinyBatch: Sendable {
  var x: Tensor
  var y: Tensor
}

/// The squares of the distances, by rows.
struct TinyObjective: TrainingObjective {
  var lossNames = ["distance"]

  func itemCounts(of batch: TinyBatch) -> [Int] { [batch.x.shape[0]] }
  func tokenCount(of batch: TinyBatch) -> Int { batch.x.shape[0] }

  func lossSums(of model: TinyModel, on batch: TinyBatch, dropout key: DropoutKey?) -> [Tensor] {
    var hidden = model.first(batch.x)
    if let key { hidden = hidden.dropped(probability: 0.1, seed: key.seed) }
    return [(model.second(hidden) - batch.y).squared().sum()]
  }
}

/// Batches of 4 to 7 rows, 5 in an epoch.
struct TinyData: TrainingData {
  /// Every row holds a NaN from this epoch on.
  var spoiltEpoch = Int.max
  /// What is sought is so many times as large from this epoch on.
  var growth: (epoch: Int, factor: Float) = (Int.max, 1)

  func batchCount(ofEpoch epoch: Int) -> Int { 5 }

  func batch(_ index: Int, ofEpoch epoch: Int) -> TinyBatch {
    var generator = SeededGenerator(seed: UInt64(epoch * 100 + index))
    var x = Tensor(randomNormal: [4 + index % 4, 3], using: &generator)
    if epoch >= spoiltEpoch { x[0, 1] = .nan }
    var sought = SeededGenerator(seed: 99)
    let map = Tensor(randomNormal: [2, 3], using: &sought)
    let y = linear(x, weight: map)
    return TinyBatch(x: x, y: epoch >= growth.epoch ? growth.factor * y : y)
  }
}

extension TrainingOptions {
  static func tiny(steps: Int, accumulation: Int = 1) -> TrainingOptions {
    TrainingOptions(
      steps: steps, schedule: LearningRateSchedule(peak: 0.02, warmUpSteps: 3, decay: .cosine, totalSteps: steps),
      accumulation: accumulation, seed: 7, evaluationInterval: 4, checkpointInterval: 3)
  }
}

func tinyTrainer(
  steps: Int = 23, accumulation: Int = 1, data: TinyData = TinyData(), model: TinyModel = TinyModel()
) -> Trainer<TinyObjective, TinyData> {
  Trainer(
    model: model, objective: TinyObjective(), data: data,
    heldOut: HeldOutData(batches: (0..<2).map { TinyData().batch($0, ofEpoch: 1_000) }), optimizer: AdamW(),
    options: .tiny(steps: steps, accumulation: accumulation))
}

extension Layer {
  /// The bits of all parameters.
  var bits: [[UInt32]] { namedTensors.map { $0.tensor.scalars.map(\.bitPattern) } }
}
