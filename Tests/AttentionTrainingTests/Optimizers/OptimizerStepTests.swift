import Attention
import AttentionLayers
import AttentionTestSupport
import AttentionTraining
import Testing

/// Optimizers on gradients that are given, against PyTorch's in float64 (`scripts/make-training-fixtures`).
@Suite struct OptimizerStepTests {
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    let name, kind: String
    let rate, factor: Float
    let betas: [Double]?
    let eps: Double?
    let weight_decay, momentum, dampening: Float?
    let nesterov: Bool?

    var testDescription: String { name }

    var optimizer: any Optimizer {
      let groups = ParameterGroups.all(weightDecay: weight_decay ?? 0)
      let (beta1, beta2, epsilon) = (betas?[0] ?? 0.9, betas?[1] ?? 0.999, eps ?? 1e-8)
      switch kind {
      case "adam": return Adam(beta1: beta1, beta2: beta2, epsilon: epsilon, groups: groups)
      case "adamw": return AdamW(beta1: beta1, beta2: beta2, epsilon: epsilon, groups: groups)
      default:
        return SGD(
          momentum: momentum ?? 0, dampening: dampening ?? 0, isNesterov: nesterov ?? false, groups: groups)
      }
    }
  }

  static let cases = (try? TrainingFixtures.json("steps.json", as: [Case].self)) ?? []

  @Test func `all cases are there`() { #expect(Self.cases.count == 12) }

  /// 100 steps of float32 against float64: a rounding error of each step, and no more. Parameters of every size, and
  /// gradients from 1e-18 to 1e15, zeros among them.
  @Test(arguments: cases) func `equal PyTorch's after 1, 2 and 100 steps`(_ fixture: Case) throws {
    let file = try SafetensorsFile(path: TrainingFixtures.path("steps.safetensors"))
    let gradients = try file.tensor(named: "gradients")
    let largest = (0..<gradients.shape[1]).map { column in
      (0..<gradients.shape[0]).reduce(0) { max($0, abs(gradients[$1, column])) }
    }
    var model = Parameters([try file.tensor(named: "start")])
    var optimizer = fixture.optimizer
    for step in 1...gradients.shape[0] {
      let slopes = model.gradients([gradients.sliced(step - 1..<step).reshaped(to: [gradients.shape[1]])])
      optimizer.update(&model, by: slopes, rate: fixture.rate, gradientFactor: fixture.factor)
      #expect(optimizer.state.steps == step)
      let prefix = "\(fixture.name)/\(step)/"
      let recorded = file.entries.map(\.name).filter { $0.hasPrefix(prefix) }
      guard !recorded.isEmpty else { continue }
      #expect(Set(recorded.map { String($0.dropFirst(prefix.count)) }) == Set(optimizer.slotNames + ["parameter"]))
      let found = optimizer.state.slots.mapValues { $0[0] }.merging(["parameter": model.tensors[0]]) { $1 }
      for (role, tensor) in found {
        let expected = try file.doubles(named: prefix + role).values
        for (index, (value, wanted)) in zip(tensor.scalars, expected).enumerated() {
          // A sum may come near 0: what counts then is what was added up.
          let terms = Double(fixture.factor * largest[index] + (fixture.weight_decay ?? 0)) / 10
          let size = max(abs(wanted), role == "parameter" ? 1 : role == "exp_avg_sq" ? 0 : terms)
          let error = abs(Double(value) - wanted)
          #expect(
            error <= 1e-5 * size + 1e-37, "\(fixture.name), \(role) \(index) after \(step): \(value) for \(wanted)")
        }
      }
    }
  }

  private static func large(seed: UInt64) -> Parameters {
    var generator = SeededGenerator(seed: seed)
    return Parameters([[300, 333], [70_001], [5]].map { Tensor(randomNormal: $0, using: &generator) })
  }

  static let optimizers: [any Optimizer] = [
    AdamW(), Adam(groups: .all(weightDecay: 0.1)), SGD(), SGD(momentum: 0.9, isNesterov: true),
  ]

  /// Parameters beside each other in one model change as they would alone, whatever the threads.
  @Test(.exclusiveThreadCount, arguments: 0..<4) func `bits do not depend on threads`(_ kind: Int) {
    var results: [[Tensor]] = []
    for threads in [1, 2, 3] {
      Engine.setThreadCount(threads)
      var (model, optimizer) = (Self.large(seed: 1), Self.optimizers[kind])
      for step in 1...3 {
        let slopes = model.gradients(Self.large(seed: UInt64(step + 1)).tensors)
        optimizer.update(&model, by: slopes, rate: 0.01, gradientFactor: 1 / (1 + slopes.norm))
      }
      results.append(model.tensors + optimizer.state.slots.sorted { $0.key < $1.key }.flatMap { $0.value })
    }
    for other in results[1...] {
      #expect(zip(results[0], other).allSatisfy { haveSameBits($0, $1) })
    }
  }

  /// What nobody else holds is written in place; what somebody holds stays as it was for them.
  @Test func `steps write in place and change no copy`() {
    var generator = SeededGenerator(seed: 8)
    var model = Linear(inputs: 40, outputs: 30, using: &generator)
    var optimizer = AdamW()
    func slopes() -> LayerGradients {
      let x = Tensor(randomNormal: [3, 40], using: &generator)
      let tracked = model.tracked()
      return gradients(of: tracked(x).squared().sum(), withRespectTo: tracked)
    }
    func step() { optimizer.update(&model, by: slopes(), rate: 0.1, gradientFactor: 1) }
    step()
    let (weight, mean) = (model.weight.unsafeBase, optimizer.state.slots["exp_avg"]![0].unsafeBase)
    step()
    #expect(model.weight.unsafeBase == weight)
    #expect(optimizer.state.slots["exp_avg"]![0].unsafeBase == mean)

    let (copy, kept) = (model, optimizer.state)
    let (before, means) = (copy.weight.scalars, kept.slots["exp_avg"]![0].scalars)
    step()
    #expect(copy.weight.scalars == before && model.weight.scalars != before)
    #expect(kept.slots["exp_avg"]![0].scalars == means && optimizer.state.slots["exp_avg"]![0].scalars != means)
    // A weight that was packed meanwhile is the same weight.
    let x = Tensor(randomNormal: [50, 40], using: &generator)
    let packed = model
    _ = packed(x)
    var (one, other) = (model, Linear(weight: Tensor(model.weight.scalars, shape: [30, 40]), bias: model.bias))
    let tracked = other.tracked()
    let slopes = gradients(of: tracked(x).squared().sum(), withRespectTo: tracked)
    var (first, second) = (optimizer, optimizer)
    first.update(&one, by: slopes, rate: 0.1, gradientFactor: 1)
    second.update(&other, by: slopes, rate: 0.1, gradientFactor: 1)
    #expect(haveSameBits(one.weight, other.weight) && one.weight.scalars != packed.weight.scalars)
    #expect(haveSameBits(one(x), other(x)))
  }

  @Test func `norms and biases have no decay unless asked`() {
    let groups = ParameterGroups.matrices(weightDecay: 0.5)
    #expect(groups.group(name: "ln_1.weight", shape: [8]).weightDecay == 0)
    #expect(groups.group(name: "scale", shape: []).weightDecay == 0)
    #expect(groups.group(name: "wte.weight", shape: [9, 8]) == ParameterGroup(weightDecay: 0.5))
    #expect(ParameterGroups.all(weightDecay: 0.5).group(name: "b", shape: [8]).weightDecay == 0.5)

    // Without a gradient, decay is all that happens.
    var model = Parameters([Tensor([2], shape: [1, 1]), Tensor([2], shape: [1]), Tensor([2], shape: [1, 1])])
    let rule = ParameterGroups { name, shape in
      ParameterGroup(weightDecay: shape.count < 2 ? 0 : 0.5, rateFactor: name == "p2" ? 0.25 : 1)
    }
    var optimizer = AdamW(groups: rule)
    optimizer.update(
      &model, by: model.gradients(model.tensors.map { Tensor(zeros: $0.shape) }), rate: 0.5, gradientFactor: 1)
    #expect(model.tensors.map { $0.scalars[0] } == [1.5, 2, 1.875])
  }

  @Test func `an empty model and empty parameters are no trouble`() {
    var (nothing, optimizer) = (Parameters([]), AdamW())
    optimizer.update(&nothing, by: nothing.gradients([]), rate: 0.1, gradientFactor: 1)
    #expect(optimizer.state.steps == 1 && nothing.gradients([]).norm == 0)
    var model = Parameters([Tensor(zeros: [0, 3]), Tensor([1], shape: [1])])
    var other = SGD(momentum: 0.5)
    let slopes = model.gradients([Tensor(zeros: [0, 3]), Tensor([4], shape: [1])])
    other.update(&model, by: slopes, rate: 0.125, gradientFactor: 0.5)
    #expect(model.tensors[1].scalars == [0.75] && slopes.norm == 4)
  }

  @Test func `gradients and states of other models are misuse`() async {
    let gradient = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var (model, optimizer) = (Parameters([Tensor(zeros: [3])]), AdamW())
      let other = Parameters([Tensor(zeros: [4])])
      optimizer.update(&model, by: other.gradients(other.tensors), rate: 1, gradientFactor: 1)
    }
    #expect(message(gradient).contains("AdamW: no gradient of shape [3] for the parameter p0"))
    let count = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var (model, optimizer) = (Parameters([Tensor(zeros: [3])]), SGD())
      let other = Parameters([Tensor(zeros: [3]), Tensor(zeros: [1])])
      optimizer.update(&model, by: other.gradients(other.tensors), rate: 1, gradientFactor: 1)
    }
    #expect(message(count).contains("SGD: 2 gradients for 1 parameters"))
    let state = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var (model, optimizer) = (Parameters([Tensor(zeros: [3])]), Adam())
      optimizer.state = OptimizerState(
        steps: 4, slots: ["exp_avg": [Tensor(zeros: [2])], "exp_avg_sq": [Tensor(zeros: [2])]])
      optimizer.update(&model, by: model.gradients(model.tensors), rate: 1, gradientFactor: 1)
    }
    #expect(message(state).contains("Adam: what is kept as exp_avg is not of the parameters"))
    let settings = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = SGD(momentum: 0, isNesterov: true)
    }
    #expect(message(settings).contains("SGD: a momentum of 0.0"))
    let betas = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = AdamW(beta2: 1)
    }
    #expect(message(betas).contains("AdamW: betas 0.9 and 1.0"))
  }
}
