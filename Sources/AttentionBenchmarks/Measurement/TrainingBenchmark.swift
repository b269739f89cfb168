import Attention
import AttentionModels
import AttentionTraining

/// The subject `train`: steps of training a GPT-2 with AdamW, forward, back and update.
public struct TrainingBenchmark {
  /// What is measured.
  public let cases: [TrainingCase]
  /// What weights, tokens and the order of the samples are drawn from.
  public let seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public let repeats: Int?

  /// Creates a benchmark.
  public init(cases: [TrainingCase], seed: Int = 0, repeats: Int? = nil) {
    self.cases = cases
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<TrainingRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    var works: [TimedWork] = []
    var checks: [TrainingChecks] = []
    for one in cases {
      progress(.init(stage: "checking \(one)", done: works.count, all: cases.count))
      let input = TrainingInput(one, seed: seed)
      checks.append(TrainingChecks(input))
      let trainer = Guarded(input.trainer())
      works.append(
        TimedWork("\(one)", repeats: run.samples, budget: run.budget) { iterations in
          trainer.withLock { trainer in for _ in 0..<iterations { _ = try? trainer.trainStep() } }
        })
    }
    run.measure(works, taken: 0, progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let rows = cases.indices.map {
      TrainingRow(cases[$0], statistics[$0], checks[$0], gemmPeak: run.machine.gemmPeak)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }
}

/// A model, and the batch that it reads in every step.
public struct TrainingInput: Sendable {
  /// The sizes.
  public let one: TrainingCase
  /// The model before the first step.
  public let model: GPT2
  /// The batch: what follows a token is drawn as the token is.
  public let batch: TokenBatch

  /// Draws an input.
  public init(_ one: TrainingCase, seed: Int) {
    self.one = one
    var generator = SeededGenerator(seed: UInt64(truncatingIfNeeded: seed) ^ drawingHash(of: one.description))
    model = GPT2(one.configuration, using: &generator)
    func draw() -> [Int] { (0..<one.tokens).map { _ in Int.random(in: 0..<one.vocabulary, using: &generator) } }
    batch = TokenBatch(
      ids: draw(), labels: draw(),
      layout: SequenceLayout(lengths: [Int](repeating: one.length, count: one.batch)))
  }

  /// A run of steps on the one batch: AdamW as PyTorch's defaults have it, at a rate of 1e-3, with clipping.
  public func trainer() -> Trainer<NextTokens<GPT2>, SameBatch> {
    Trainer(
      model: model, objective: NextTokens(), data: SameBatch(batch: batch),
      optimizer: AdamW(groups: .all(weightDecay: 0.01)),
      options: TrainingOptions(
        steps: .max, schedule: LearningRateSchedule(peak: 1e-3), clippingNorm: 1, divergenceRise: .infinity))
  }
}

/// One batch for ever.
public struct SameBatch: TrainingData {
  let batch: TokenBatch

  /// One.
  public func batchCount(ofEpoch epoch: Int) -> Int { 1 }
  /// The batch.
  public func batch(_ index: Int, ofEpoch epoch: Int) -> TokenBatch { batch }
}

/// What is known of a case's results.
struct TrainingChecks: Sendable {
  /// The losses of the first steps, the first one before any update.
  let losses: [Float]
  /// How far the slope of the loss along the gradient is from the gradient's norm, relative.
  let slopeError: Double
  /// Whether two runs and one on a single thread gave the same bits.
  let isRepeatable: Bool
  /// By how much the process's memory grew at the most, the model among it; nil where the system does not tell.
  let memory: Int?

  static let steps = 4

  init(_ input: TrainingInput) {
    func steps() -> (losses: [Float], model: GPT2) {
      var trainer = input.trainer()
      let losses = (0..<TrainingChecks.steps).map { _ in (try? trainer.trainStep().loss) ?? .nan }
      return (losses, trainer.model)
    }
    // What earlier cases left for reuse would hide what this one takes.
    TensorStorage.releaseCache()
    let before = ProcessMemory.residentBytes
    ProcessMemory.forgetPeak()
    let first = steps()
    memory = before.map { ProcessMemory.peakBytesSinceForgotten - $0 + input.model.parameterCount * 4 }
    let again = steps()
    let threads = Engine.threadCount.count
    Engine.setThreadCount(1)
    let alone = steps()
    Engine.setThreadCount(threads)
    losses = first.losses
    isRepeatable = [again, alone].allSatisfy { other in
      zip(first.model.namedTensors, other.model.namedTensors).allSatisfy {
        Verification.haveSameBits($0.tensor, $1.tensor)
      }
    }
    slopeError = TrainingChecks.slopeError(input)
  }

  /// Of the loss along its gradient, by a central difference.
  private static func slopeError(_ input: TrainingInput) -> Double {
    let objective = NextTokens<GPT2>()
    let tracked = input.model.tracked()
    let losses = objective.lossSums(of: tracked, on: input.batch, dropout: nil)
    let slopes = gradients(of: losses[0], withRespectTo: tracked)
    let norm = Double(slopes.norm)
    func loss(at distance: Double) -> Double {
      var moved = input.model
      moved.update(by: slopes) { $0 + Float(distance / norm) * $1 }
      return Double(objective.lossSums(of: moved, on: input.batch, dropout: nil)[0].scalars[0])
    }
    // So far that the loss of a token changes by some hundredths: far above its rounding.
    let distance = 0.02 * Double(input.one.tokens) / norm
    let slope = (loss(at: distance) - loss(at: -distance)) / (2 * distance)
    return abs(slope - norm) / norm
  }
}
