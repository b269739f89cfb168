import Attention
import AttentionTestSupport
import Testing

/// The operation behind linear layers, with and without packed weights.
@Suite struct LinearTests {
  static let fixtures = (try? LayerFixture.all("linear")) ?? []

  @Test func allFixturesAreThere() throws { #expect(try LayerFixture.all("linear").count == 25) }

  @Test(arguments: fixtures) func agreesWithPyTorch(_ fixture: LayerFixture) throws {
    let activation = Activation(rawValue: try fixture.string("activation"))
    try fixture.check { inputs in
      let (x, weight) = (try #require(inputs["x"]), try #require(inputs["weight"]))
      return ["result": linear(x, weight: weight, bias: inputs["bias"], activation: activation)]
    }
  }

  /// The same with a packed weight: outputs, and the gradients of what is left.
  @Test(arguments: fixtures) func agreesWithPyTorchWhenPacked(_ fixture: LayerFixture) throws {
    let activation = Activation(rawValue: try fixture.string("activation"))
    let (x, weight) = (try fixture.input("x").tracked(), try fixture.input("weight"))
    let bias = fixture.has("bias") ? try fixture.input("bias").tracked() : nil
    let packed = PackedMatrix(transposing: weight)
    let plain = linear(x.detached(), packed: packed, bias: bias?.detached(), activation: activation)
    let result = linear(x, packed: packed, bias: bias, activation: activation)
    #expect(!plain.isTracked && result.isTracked && plain == result.detached())
    try fixture.compare(result, "output/result")
    let upstream = Tensor(randomNormal: result.shape, using: &Self.generator)
    let roles = [x] + (bias.map { [$0] } ?? [])
    let whole = linear(x, weight: weight, bias: bias, activation: activation)
    let found = gradients(of: [result], upstream: [upstream], withRespectTo: roles)
    let expected = gradients(of: [whole], upstream: [upstream], withRespectTo: roles)
    for (one, other) in zip(found, expected) {
      #expect(one.shape == other.shape && Self.distance(one, other) < 1e-5)
    }
  }

  /// Central differences of the result in float32, along random directions: what no mistake in a fixture hides.
  @Test(arguments: Activation.allCases.filter { $0 != .relu })
  func gradientsAreDifferences(_ activation: Activation) {
    var generator = SeededGenerator(seed: 7)
    let shapes = [[6, 9], [5, 9], [5]]
    let point = shapes.map { Tensor(randomNormal: $0, using: &generator) }
    let upstream = Tensor(randomNormal: [6, 5], using: &generator)
    func value(_ inputs: [Tensor]) -> Double {
      let y = linear(inputs[0], weight: inputs[1], bias: inputs[2], activation: activation)
      return zip(y.scalars, upstream.scalars).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let tracked = point.map { $0.tracked() }
    let y = linear(tracked[0], weight: tracked[1], bias: tracked[2], activation: activation)
    let found = gradients(of: [y], upstream: [upstream], withRespectTo: tracked)
    for index in shapes.indices {
      let direction = Tensor(randomNormal: shapes[index], using: &generator)
      let step: Float = 1.0 / 256
      func moved(_ by: Float) -> [Tensor] {
        var inputs = point
        inputs[index] = inputs[index] + direction * by
        return inputs
      }
      let difference = (value(moved(step)) - value(moved(-step))) / (2 * Double(step))
      let slope = zip(found[index].scalars, direction.scalars).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      #expect(abs(difference - slope) < 2e-3 * max(1, abs(slope)), "\(index): \(difference), \(slope)")
    }
  }

  @Test(.exclusiveThreadCount, arguments: [(1, 130, 65), (70, 130, 65), (300, 33, 200), (1500, 20, 30)])
  func bitsDoNotDependOnThreads(rows: Int, inputs: Int, outputs: Int) {
    var generator = SeededGenerator(seed: 2)
    let x = Tensor(randomNormal: [rows, inputs], using: &generator).tracked()
    let weight = Tensor(randomNormal: [outputs, inputs], using: &generator).tracked()
    let bias = Tensor(randomNormal: [outputs], using: &generator).tracked()
    let upstream = Tensor(randomNormal: [rows, outputs], using: &generator)
    let found = [1, 2, 3, 8].map { threads in
      Engine.setThreadCount(threads)
      let y = linear(x, weight: weight, bias: bias, activation: .gelu)
      let back = gradients(of: [y], upstream: [upstream], withRespectTo: [x, weight, bias])
      return ([y] + back).map { $0.scalars.map(\.bitPattern) }
    }
    #expect(Set(found).count == 1)
  }

  /// A row alone, at the end of a batch and in the middle of one: the same bits where OpenBLAS has small-matrix kernels,
  /// and within rounding elsewhere.
  @Test(arguments: [(130, 65), (384, 96), (400, 17)])
  func aRowDoesNotDependOnItsBatch(inputs: Int, outputs: Int) {
    var generator = SeededGenerator(seed: 3)
    let x = Tensor(randomNormal: [131, inputs], using: &generator)
    let weight = Tensor(randomNormal: [outputs, inputs], using: &generator)
    let bias = Tensor(randomNormal: [outputs], using: &generator)
    let packed = PackedMatrix(transposing: weight)
    for batch in [
      linear(x, packed: packed, bias: bias, activation: .silu),
      linear(x, weight: weight, bias: bias, activation: .silu),
    ] {
      for row in [0, 11, 39, 40, 77, 130] {
        for count in [1, 2, 13] where row + count <= 131 {
          let part = linear(x.sliced(row..<row + count), packed: packed, bias: bias, activation: .silu)
          let same = batch.sliced(row..<row + count)
          if OpenBLAS.hasSmallMatrixKernels {
            // A failure is to tell the row, not all its bits.
            let isSame = zip(part.scalars, same.scalars).allSatisfy { $0.bitPattern == $1.bitPattern }
            #expect(isSame, "row \(row), \(count) rows")
          } else {
            #expect(Self.distance(part, same) < 1e-4)
          }
        }
      }
    }
  }

  @Test(arguments: [Float.nan, .infinity]) func aNaNStaysInItsRow(_ value: Float) {
    var generator = SeededGenerator(seed: 4)
    var x = Tensor(randomNormal: [70, 50], using: &generator)
    let weight = Tensor(randomNormal: [65, 50], using: &generator)
    let clean = linear(x, weight: weight, activation: .gelu)
    x[37, 49] = value
    for result in [
      linear(x, weight: weight, activation: .gelu),
      linear(x, packed: PackedMatrix(transposing: weight), activation: .gelu),
    ] {
      for row in 0..<70 {
        let (found, wanted) = (result.sliced(row..<row + 1), clean.sliced(row..<row + 1))
        if row == 37 {
          // An infinity times a weight below 0 is −∞, whose GELU is −0 or 0.
          #expect(found.scalars.allSatisfy { value.isNaN ? $0.isNaN : !$0.isFinite || $0 == 0 })
        } else {
          #expect(Self.distance(found, wanted) < 1e-4)
        }
      }
    }
  }

  /// The gradient of a bias is a sum over all rows: it has to stay as exact with many.
  @Test func theGradientOfABiasIsExactOverManyRows() {
    let rows = 40_000
    let x = Tensor(zeros: [rows, 1])
    let bias = Tensor(zeros: [2]).tracked()
    let y = linear(x, weight: Tensor(zeros: [2, 1]), bias: bias)
    let upstream = Tensor((0..<2 * rows).map { $0.isMultiple(of: 2) ? 0.1 : 1.0 / 3 }, shape: [rows, 2])
    let found = gradients(of: [y], upstream: [upstream], withRespectTo: [bias])[0].scalars
    #expect(abs(Double(found[0]) - Double(rows) * Double(Float(0.1))) < 4e-4)
    #expect(abs(Double(found[1]) - Double(rows) * Double(Float(1.0 / 3))) < 1.2e-3)
  }

  /// Only what is tracked gets a gradient, in every combination.
  @Test func anythingMayBeTracked() {
    var generator = SeededGenerator(seed: 5)
    let all = [[4, 3], [2, 3], [2]].map { Tensor(randomNormal: $0, using: &generator) }
    let upstream = Tensor(randomNormal: [4, 2], using: &generator)
    func run(_ chosen: Int) -> [Tensor] {
      let inputs = all.indices.map { chosen >> $0 & 1 == 1 ? all[$0].tracked() : all[$0] }
      let y = linear(inputs[0], weight: inputs[1], bias: inputs[2], activation: .tanh)
      #expect(y.isTracked == (chosen != 0))
      let tracked = inputs.filter(\.isTracked)
      return tracked.isEmpty ? [] : gradients(of: [y], upstream: [upstream], withRespectTo: tracked)
    }
    let whole = run(7)
    for chosen in 0..<8 { #expect(run(chosen) == all.indices.filter { chosen >> $0 & 1 == 1 }.map { whole[$0] }) }
  }

  @Test func whatDoesNotFitIsRefused() async {
    let input = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linear(Tensor(zeros: [2, 4]), weight: Tensor(zeros: [5, 3]))
    }
    #expect(message(input).contains("linear: an input [2, 4] for a weight [5, 3]"))
    let scalar = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linear(Tensor(zeros: []), packed: PackedMatrix(copying: Tensor(zeros: [3, 5])))
    }
    #expect(message(scalar).contains("linear: an input [] for a weight [5, 3]"))
    let weight = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linear(Tensor(zeros: [2, 3]), weight: Tensor(zeros: [3]))
    }
    #expect(message(weight).contains("linear: a weight [3] is not [outputs, inputs]"))
    let bias = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = linear(Tensor(zeros: [2, 3]), weight: Tensor(zeros: [5, 3]), bias: Tensor(zeros: [3]))
    }
    #expect(message(bias).contains("linear: a bias [3] for a weight [5, 3]"))
  }

  /// Reading a weight out of its panels takes all threads, some of which may wait for the weight.
  @Test func weightsAreReadWhileOthersCompute() async {
    var generator = SeededGenerator(seed: 5)
    let layer = Linear(inputs: 256, outputs: 512, using: &generator)
    let (weight, x) = (layer.weight, Tensor(randomNormal: [64, 256], using: &generator))
    let result = layer(x)
    await withTaskGroup(of: Bool.self) { group in
      for caller in 0..<8 {
        group.addTask {
          await onThread {
            // Inside of the pool's turns, as a batch of sentences is.
            let isRight = Guarded(true)
            for _ in 0..<20 {
              WorkerPool.shared.forEach(4) { _ in
                let isSame = caller % 2 == 0 ? layer.weight == weight : layer(x) == result
                if !isSame { isRight.withLock { $0 = false } }
              }
              if caller % 2 == 0, layer.weight != weight { isRight.withLock { $0 = false } }
            }
            return isRight.withLock { $0 }
          }
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }

  private static var generator: SeededGenerator {
    get { SeededGenerator(seed: 1) }
    set {}
  }

  private static func distance(_ one: Tensor, _ other: Tensor) -> Float {
    zip(one.scalars, other.scalars).reduce(0) { known, pair in
      let distance = abs(pair.0 - pair.1)
      return distance.isNaN ? .infinity : max(known, distance)
    }
  }
}
