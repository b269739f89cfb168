import AttentionLayers
import AttentionTensors
import AttentionTraining
import Testing

@Suite struct TrainerTests {
  @Test func `a run learns, and looks at the held-out data after every fourth step and the last`() throws {
    var trainer = tinyTrainer(steps: 150)
    var looks: [(step: Int, loss: Double)] = []
    var steps: [Int] = []
    let end = try trainer.run { event in
      switch event {
      case .step(let step): steps.append(step.step)
      case .evaluation(let step, let found, let isBest):
        #expect(isBest == (found.loss < looks.map(\.loss).min() ?? .infinity))
        looks.append((step, found.loss))
      case .checkpoint: Issue.record("there is no folder to write a checkpoint to")
      }
    }
    #expect(end == .finished)
    #expect(steps == Array(1...150))
    #expect(looks.map(\.step) == Array(stride(from: 4, to: 150, by: 4)) + [150])
    #expect(looks.last!.loss < 0.2 * looks[0].loss)
    #expect(trainer.best?.loss == looks.map(\.loss).min())
  }

  @Test func `the same seed gives the same bits, another one others`() throws {
    func bits(_ seed: UInt64) throws -> [[UInt32]] {
      var options = TrainingOptions.tiny(steps: 9)
      options.seed = seed
      var trainer = Trainer(
        model: TinyModel(), objective: TinyObjective(), data: TinyData(), optimizer: AdamW(), options: options)
      try trainer.run()
      return trainer.model.bits
    }
    let (first, second, other) = (try bits(1), try bits(1), try bits(2))
    #expect(first == second)
    #expect(first != other)
  }

  /// Batches have different sizes, so that the mean of their means would be another number.
  @Test func `accumulated batches give the gradient of the mean over all their rows`() throws {
    struct Joined: TrainingData {
      func batchCount(ofEpoch epoch: Int) -> Int { 1 }
      func batch(_ index: Int, ofEpoch epoch: Int) -> TinyBatch {
        let parts = (0..<3).map { TinyData().batch($0, ofEpoch: 0) }
        return TinyBatch(x: .concatenated(parts.map(\.x)), y: .concatenated(parts.map(\.y)))
      }
    }
    struct Plain: TrainingObjective {
      let base = TinyObjective()
      var lossNames: [String] { base.lossNames }
      func itemCounts(of batch: TinyBatch) -> [Int] { base.itemCounts(of: batch) }
      func tokenCount(of batch: TinyBatch) -> Int { base.tokenCount(of: batch) }
      func lossSums(of model: TinyModel, on batch: TinyBatch, dropout key: DropoutKey?) -> [Tensor] {
        base.lossSums(of: model, on: batch, dropout: nil)
      }
    }
    var apart = Trainer(
      model: TinyModel(), objective: Plain(), data: TinyData(), optimizer: SGD(),
      options: .tiny(steps: 1, accumulation: 3))
    var together = Trainer(
      model: TinyModel(), objective: Plain(), data: Joined(), optimizer: SGD(), options: .tiny(steps: 1))
    let (first, second) = (try apart.trainStep(), try together.trainStep())
    #expect(abs(first.loss - second.loss) < 1e-6 * second.loss)
    #expect(abs(first.gradientNorm - second.gradientNorm) < 1e-5 * second.gradientNorm)
    for (one, other) in zip(apart.model.namedTensors, together.model.namedTensors) {
      for (a, b) in zip(one.tensor.scalars, other.tensor.scalars) { #expect(abs(a - b) < 1e-6) }
    }
    #expect(apart.position == DataPosition(epoch: 0, batch: 3))
  }

  @Test func `a NaN stops the run before it reaches a parameter, and is named`() throws {
    var trainer = tinyTrainer(data: TinyData(spoiltEpoch: 1))
    for _ in 0..<5 { try trainer.trainStep() }
    let before = trainer.model.bits
    do {
      try trainer.trainStep()
      Issue.record("a NaN went through")
    } catch {
      guard case .notFinite(6, let loss, let parameters) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(loss.isNaN)
      #expect(parameters.contains("first.weight"))
      #expect(error.description.contains("step 6"))
      #expect(error.description.contains("first.weight"))
    }
    #expect(trainer.model.bits == before)
    #expect(trainer.step == 5)
  }

  @Test func `a loss that rises far above its least stops the run, and the parameter is named`() throws {
    var trainer = tinyTrainer(steps: 200, data: TinyData(growth: (4, 30)))
    do {
      try trainer.run()
      Issue.record("the loss may rise for ever")
    } catch {
      guard case .diverged(let step, let loss, let least, let parameter) = error else {
        Issue.record("\(error)")
        return
      }
      #expect(step > 20 && step < 30)
      #expect(loss > least + 3)
      #expect(trainer.model.namedTensors.map(\.name).contains(parameter))
    }
  }

  @Test func `a run of no steps changes nothing`() throws {
    var trainer = tinyTrainer(steps: 0)
    let end = try trainer.run()
    #expect(end == .finished)
    #expect(trainer.model.bits == TinyModel().bits)
  }
}
