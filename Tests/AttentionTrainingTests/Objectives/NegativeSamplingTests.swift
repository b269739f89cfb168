import AttentionLayers
import AttentionModels
import AttentionTensors
import AttentionTraining
import Foundation
import Testing

/// Skip-gram's loss against PyTorch in float64 (`scripts/make-recurrent-fixtures`) and against differences.
@Suite struct NegativeSamplingTests {
  private static func model(_ embeddings: Tensor, _ outputs: Tensor) -> SkipGram {
    var generator = SeededGenerator(seed: 1)
    var model = SkipGram(
      vocabulary: WordVocabulary((0..<embeddings.shape[0]).map { "w\($0)" }), width: embeddings.shape[1],
      using: &generator)
    model.embeddings.weight = embeddings
    model.outputs.weight = outputs
    return model
  }

  @Test("Losses and both gradients are PyTorch's in float64")
  func fixture() throws {
    let file = try SafetensorsFile(path: TrainingFixtures.path("skip-gram.safetensors"))
    let model = Self.model(
      try file.tensor(named: "embeddings"), try file.tensor(named: "outputs")
    ).tracked()
    let centres = try file.integers(named: "centres").values.map { Int32($0) }
    let targets = try file.integers(named: "targets").values.map { Int32($0) }
    let wanted = try file.doubles(named: "losses").values
    let objective = NegativeSampling()
    // Pair by pair, and all at once.
    for (pair, loss) in wanted.enumerated() {
      let batch = SkipGramBatch(
        centres: [centres[pair]], targets: Array(targets[pair * 4..<(pair + 1) * 4]), targetsPerPair: 4, wordCount: 1)
      let found = Double(objective.lossSums(of: model, on: batch, dropout: nil)[0].scalars[0])
      #expect(abs(found - loss) <= 1e-5 + 5e-6 * loss, "\(pair): \(found) for \(loss)")
    }
    let batch = SkipGramBatch(centres: centres, targets: targets, targetsPerPair: 4, wordCount: 9)
    #expect(objective.itemCounts(of: batch) == [60] && objective.tokenCount(of: batch) == 9)
    let loss = objective.lossSums(of: model, on: batch, dropout: nil)[0]
    let sum = wanted.reduce(0, +)
    #expect(abs(Double(loss.scalars[0]) - sum) <= 5e-6 * sum)
    // Upstream gradients that are not 1 come through.
    let slopes = gradients(of: [loss], upstream: [Tensor([0.25], shape: [])], withRespectTo: model)
    for name in ["embeddings", "outputs"] {
      let found = try #require(slopes["\(name).weight"]).scalars.map { Double($0) * 4 }
      let expected = try file.doubles(named: "gradient/\(name)").values
      let error = zip(found, expected).map { abs($0 - $1) - 1e-5 * max(1, abs($1)) }.max() ?? .infinity
      #expect(error <= 0, "\(name): \(error)")
    }
  }

  @Test("Gradients are the loss's differences, in float64 of a formula written here")
  func differences() throws {
    var generator = SeededGenerator(seed: 8)
    let embeddings = Tensor(randomNormal: [5, 3], using: &generator)
    let outputs = Tensor(randomNormal: [5, 3], using: &generator)
    let batch = SkipGramBatch(
      centres: [0, 0, 4, 2], targets: [1, 1, 3, 0, 4, 4, 2, 3], targetsPerPair: 2, wordCount: 4)
    func loss(_ embeddings: [Double], _ outputs: [Double]) -> Double {
      var sum = 0.0
      for (pair, centre) in batch.centres.enumerated() {
        for (place, target) in batch.targets[pair * 2..<pair * 2 + 2].enumerated() {
          let product = (0..<3).reduce(0) { $0 + embeddings[Int(centre) * 3 + $1] * outputs[Int(target) * 3 + $1] }
          sum += Double.logistic(place == 0 ? -product : product)
        }
      }
      return sum
    }
    let (first, second) = (embeddings.scalars.map(Double.init), outputs.scalars.map(Double.init))
    let model = Self.model(embeddings, outputs).tracked()
    let found = NegativeSampling().lossSums(of: model, on: batch, dropout: nil)[0]
    #expect(abs(Double(found.scalars[0]) - loss(first, second)) < 1e-5)
    let slopes = gradients(of: found, withRespectTo: model)
    for index in 0..<15 {
      func slope(_ change: (Double) -> Double) -> Double { (change(1e-6) - change(-1e-6)) / 2e-6 }
      func moved(_ values: [Double], _ by: Double) -> [Double] {
        var values = values
        values[index] += by
        return values
      }
      let ofEmbedding = slope { loss(moved(first, $0), second) }
      let ofOutput = slope { loss(first, moved(second, $0)) }
      #expect(abs(Double(slopes.tensors[0].scalars[index]) - ofEmbedding) < 1e-5)
      #expect(abs(Double(slopes.tensors[1].scalars[index]) - ofOutput) < 1e-5)
    }
  }

  @Test("No pairs give no loss, and gradients of 0")
  func nothing() {
    let model = Self.model(Tensor(repeating: 1, shape: [3, 2]), Tensor(repeating: 1, shape: [3, 2])).tracked()
    let batch = SkipGramBatch(centres: [], targets: [], targetsPerPair: 6, wordCount: 7)
    let loss = NegativeSampling().lossSums(of: model, on: batch, dropout: nil)[0]
    #expect(loss.scalars == [0])
    #expect(gradients(of: loss, withRespectTo: model).tensors.allSatisfy { $0.scalars == [0, 0, 0, 0, 0, 0] })
  }
}

extension Double {
  /// log(1 + e^x).
  fileprivate static func logistic(_ x: Double) -> Double { x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)) }
}
