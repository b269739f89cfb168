import Attention
import AttentionTestSupport
import Testing

/// What norms promise beside their values.
@Suite struct NormTests {
  static func normal(_ shape: [Int], _ seed: UInt64, mean: Float = 0) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(randomNormal: shape, mean: mean, using: &generator)
  }
  static func bits(_ tensor: Tensor) -> [UInt32] { tensor.scalars.map(\.bitPattern) }

  // MARK: Batch mates

  /// Layer norm's rows are alone; batch norm's are in inference, and are not in training.
  @Test func batchMatesChangeBatchNormsTrainingAlone() {
    let (x, mates) = (Self.normal([4, 19], 1), Self.normal([3, 19], 2, mean: 1))
    let together = Tensor.concatenated([x, mates])
    let (layer, rms, batch) = (LayerNorm(width: 19), RMSNorm(width: 19), BatchNorm(width: 19))
    for norm in [{ layer($0) }, { rms($0) }, { batch($0) }] as [(Tensor) -> Tensor] {
      #expect(Self.bits(norm(x)) == Self.bits(norm(together).sliced(0..<4)))
    }
    var (one, other) = (batch, batch)
    let alone = one.train(x)
    let changed = other.train(together).sliced(0..<4)
    #expect(zip(alone.scalars, changed.scalars).contains { abs($0 - $1) > 0.1 })
    // Padding changes them too: rows of zeros move the statistics.
    var padded = batch
    let withPadding = padded.train(Tensor.concatenated([x, Tensor(zeros: [2, 19])])).sliced(0..<4)
    #expect(zip(alone.scalars, withPadding.scalars).contains { abs($0 - $1) > 0.05 })
    #expect(Self.bits(layer(x)) == Self.bits(layer(Tensor.concatenated([x, Tensor(zeros: [2, 19])])).sliced(0..<4)))
  }

  @Test func aNaNStaysInItsRow() {
    var x = Self.normal([5, 33], 3)
    let plain = layerNorm(x)
    x[2, 7] = .nan
    let result = layerNorm(x)
    for row in 0..<5 {
      let values = result.sliced(row..<row + 1)
      if row == 2 {
        let areNaN = values.scalars.allSatisfy(\.isNaN)
        #expect(areNaN)
      } else {
        #expect(Self.bits(values) == Self.bits(plain.sliced(row..<row + 1)))
      }
    }
  }

  // MARK: Batch norm

  @Test func runningVarianceIsTheUnbiasedOne() {
    var norm = BatchNorm(width: 1)
    let result = norm.train(Tensor([1, 3], shape: [2, 1]))
    #expect(abs(norm.runningVariance.scalars[0] - 1.1) < 1e-6 && abs(norm.runningMean.scalars[0] - 0.2) < 1e-6)
    #expect(zip(result.scalars, [-1, 1]).allSatisfy { abs($0 - $1) < 1e-5 })
  }

  @Test func batchNormTrainsTracked() {
    var norm = BatchNorm(width: 3)
    norm.weight = norm.weight?.tracked()
    let result = norm.train(Self.normal([4, 3], 5).tracked())
    #expect(result.isTracked && !norm.runningMean.isTracked && !norm.runningVariance.isTracked)
    #expect(norm.batchesTracked.scalars == [1])
  }

  /// Tens of thousands of rows, far from zero: the statistics lose no digits.
  @Test(arguments: [Float(0), 1e4]) func batchStatisticsOfManyRowsAreAccurate(mean: Float) {
    let (rows, width) = (40_001, 5)
    let x = Self.normal([rows, width], 6, mean: mean)
    let statistics = batchNorm(x).statistics
    #expect(statistics.count == rows)
    for column in 0..<width {
      let values = x.withUnsafeBufferPointer { x in (0..<rows).map { Double(x[$0 * width + column]) } }
      let exact = values.reduce(0, +) / Double(rows)
      let variance = values.reduce(0) { $0 + ($1 - exact) * ($1 - exact) } / Double(rows)
      #expect(abs(Double(statistics.mean.scalars[column]) - exact) < 1e-6 + 6e-8 * Double(mean))
      #expect(abs(Double(statistics.biasedVariance.scalars[column]) - variance) < 1e-6)
      let ratio = Double(statistics.unbiasedVariance.scalars[column]) / variance
      #expect(abs(ratio - Double(rows) / Double(rows - 1)) < 1e-6)
    }
  }

  @Test func anOutlierInFrontCostsNoAccuracy() {
    var x = Self.normal([64, 2], 7)
    x[0, 0] = 1e6
    x[32, 1] = -1e6
    let statistics = batchNorm(x).statistics
    for column in 0..<2 {
      let values = (0..<64).map { Double(x[$0, column]) }
      let exact = values.reduce(0, +) / 64
      let variance = values.reduce(0) { $0 + ($1 - exact) * ($1 - exact) } / 64
      #expect(abs(Double(statistics.biasedVariance.scalars[column]) / variance - 1) < 3e-6)
    }
  }

  // MARK: Gradients

  /// Central differences of the operations themselves, in all inputs at once along a random direction.
  @Test(arguments: [[3, 7], [40, 33], [2, 1]])
  func gradientsAgreeWithCentralDifferences(_ shape: [Int]) {
    let width = shape[1]
    let inputs = [
      Self.normal(shape, 10), Self.normal(shape, 11), Self.normal([width], 12, mean: 2), Self.normal([width], 13),
    ]
    let functions: [([Tensor]) -> Tensor] = [
      { layerNorm($0[0], weight: $0[2], bias: $0[3]) },
      {
        let (a, b) = layerNorm($0[0], adding: $0[1], weight: $0[2], bias: $0[3], epsilon: 0.1)
        return a + b * a
      },
      {
        let (a, b) = rmsNorm($0[0], adding: $0[1], weight: $0[2], bias: $0[3], epsilon: 0.1)
        return a + b * a
      },
      { rmsNorm($0[0], weight: $0[2], epsilon: 0.1) + $0[1] },
      { batchNorm($0[0], weight: $0[2], bias: $0[3], epsilon: 0.5).normalised },
      {
        batchNorm(
          $0[0], mean: Tensor(repeating: 0.3, shape: [width]), variance: Tensor(repeating: 2, shape: [width]),
          weight: $0[2], bias: $0[3])
      },
    ]
    let upstream = Self.normal(shape, 14)
    func dot(_ a: Tensor, _ b: Tensor) -> Double {
      zip(a.scalars, b.scalars).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    for (index, function) in functions.enumerated() {
      let tracked = inputs.map { $0.tracked() }
      let found = gradients(of: [function(tracked)], upstream: [upstream], withRespectTo: tracked)
      for (place, input) in inputs.enumerated() {
        let direction = Self.normal(input.shape, UInt64(20 + place))
        func value(_ step: Float) -> Double {
          var moved = inputs
          moved[place] = input + direction * step
          return dot(function(moved), upstream)
        }
        let step: Float = 0x1p-7
        let slope = (value(step) - value(-step)) / (2 * Double(step))
        let size = found[place].scalars.reduce(1) { $0 + Double($1 * $1) }.squareRoot()
        #expect(
          abs(slope - dot(found[place], direction)) < 5e-3 * size, "function \(index), input \(place), \(shape)")
      }
    }
  }

  /// Only what is tracked has a gradient; the sum alone may have one.
  @Test func eachInputAloneHasTheGradientItHasAmongAll() {
    let inputs = [Self.normal([35, 9], 30), Self.normal([35, 9], 31), Self.normal([9], 32), Self.normal([9], 33)]
    let upstream = [Self.normal([35, 9], 34), Self.normal([35, 9], 35)]
    func found(_ inputs: [Tensor], _ targets: [Int], _ flowing: [Int], isLayer: Bool) -> [Tensor] {
      let norm = isLayer ? layerNorm(_:adding:weight:bias:epsilon:) : rmsNorm(_:adding:weight:bias:epsilon:)
      let (normalised, sum) = norm(inputs[0], inputs[1], inputs[2], inputs[3], 1e-5)
      return gradients(
        of: flowing.map { [normalised, sum][$0] }, upstream: flowing.map { upstream[$0] },
        withRespectTo: targets.map { inputs[$0] })
    }
    for isLayer in [true, false] {
      for flowing in [[0, 1], [0], [1]] {
        let all = found(inputs.map { $0.tracked() }, [0, 1, 2, 3], flowing, isLayer: isLayer)
        if flowing == [1] {
          #expect(all[0] == upstream[1] && all[1] == upstream[1])
          #expect(all[2] == Tensor(zeros: [9]) && all[3] == Tensor(zeros: [9]))
        }
        for place in inputs.indices {
          var alone = inputs
          alone[place] = alone[place].tracked()
          #expect(found(alone, [place], flowing, isLayer: isLayer)[0] == all[place], "\(place), \(flowing)")
        }
      }
    }
    for place in 0..<3 {
      let tracked = [inputs[0], inputs[2], inputs[3]].map { $0.tracked() }
      var alone = tracked.map { $0.detached() }
      alone[place] = tracked[place]
      func training(_ inputs: [Tensor]) -> Tensor {
        gradients(
          of: [batchNorm(inputs[0], weight: inputs[1], bias: inputs[2]).normalised], upstream: [upstream[0]],
          withRespectTo: [inputs[place]])[0]
      }
      func inference(_ inputs: [Tensor]) -> Tensor {
        let result = batchNorm(
          inputs[0], mean: Tensor(zeros: [9]), variance: Tensor(repeating: 2, shape: [9]), weight: inputs[1],
          bias: inputs[2])
        return gradients(of: [result], upstream: [upstream[0]], withRespectTo: [inputs[place]])[0]
      }
      for (a, b) in zip(training(tracked).scalars, training(alone).scalars) { #expect(abs(a - b) < 1e-5) }
      for (a, b) in zip(inference(tracked).scalars, inference(alone).scalars) { #expect(abs(a - b) < 1e-5) }
    }
  }

  // MARK: Threads

  @Test(.exclusiveThreadCount) func bitsDoNotDependOnTheThreadCount() {
    let inputs = [
      Self.normal([700, 190], 40), Self.normal([700, 190], 41), Self.normal([190], 42), Self.normal([190], 43),
    ].map { $0.tracked() }
    func results() -> [[UInt32]] {
      let (layer, sum) = layerNorm(inputs[0], adding: inputs[1], weight: inputs[2], bias: inputs[3])
      let rms = rmsNorm(inputs[0], weight: inputs[2])
      let batch = batchNorm(inputs[0], weight: inputs[2], bias: inputs[3]).normalised
      let dropped = inputs[1].dropped(probability: 0.2, seed: 4)
      let soft = inputs[0].softmax(along: 0) + inputs[0].logSoftmax()
      let loss = crossEntropy(inputs[0], labels: (0..<700).map { $0 % 190 }, reduction: .none)
      let outputs = [layer, sum, rms, batch, dropped, soft, loss]
      let upstream = outputs.enumerated().map { Self.normal($1.shape, UInt64(50 + $0)) }
      return (outputs + gradients(of: outputs, upstream: upstream, withRespectTo: inputs)).map(Self.bits)
    }
    Engine.setThreadCount(1)
    let expected = results()
    for threads in [2, 3, 8] {
      Engine.setThreadCount(threads)
      #expect(results() == expected, "\(threads) threads")
    }
  }

  // MARK: Layers

  @Test func parametersHavePyTorchsNames() {
    func names(_ layer: some Layer) -> [String] {
      var (layer, names) = (layer, [String]())
      layer.visitParameters { name, role, tensor in names.append("\(name) \(role) \(tensor.shape)") }
      return names
    }
    #expect(names(LayerNorm(width: 3)) == ["weight parameter [3]", "bias parameter [3]"])
    #expect(names(LayerNorm(width: 3, hasBias: false)) == ["weight parameter [3]"])
    #expect(names(LayerNorm(width: 3, isAffine: false)) == [])
    #expect(names(RMSNorm(width: 3)) == ["weight parameter [3]"])
    #expect(names(RMSNorm(width: 3, isAffine: false)) == [])
    let statistics = ["running_mean statistic [3]", "running_var statistic [3]", "num_batches_tracked statistic []"]
    #expect(names(BatchNorm(width: 3)) == names(LayerNorm(width: 3)) + statistics)
    #expect(names(BatchNorm(width: 3, isAffine: false)) == statistics)
  }

  @Test func emptyTensorsAreNormalisedToEmptyOnes() {
    let weight = Tensor(repeating: 1, shape: [4]).tracked()
    let x = Tensor(zeros: [2, 0, 4]).tracked()
    let result = layerNorm(x, weight: weight)
    #expect(result.shape == [2, 0, 4])
    #expect(gradients(of: [result], upstream: [result], withRespectTo: [weight, x]).map(\.shape) == [[4], [2, 0, 4]])
    #expect(rmsNorm(Tensor(zeros: [3, 0])).shape == [3, 0])
    #expect(batchNorm(Tensor(zeros: [3, 0])).statistics.mean.shape == [0])
    #expect(BatchNorm(width: 4)(Tensor(zeros: [0, 4])).shape == [0, 4])
  }

  @Test func misuseIsRefusedWithTheShapes() async {
    let batch = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var norm = BatchNorm(width: 3)
      _ = norm.train(Tensor(zeros: [1, 3]))
    }
    #expect(message(batch).contains("expected more than 1 value for each column in training, got the shape [1, 3]"))
    let rank = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = BatchNorm(width: 3)(Tensor(zeros: [2, 4, 3]))
    }
    #expect(message(rank).contains("a batch has the shape [tokens, d], not [2, 4, 3]"))
    let width = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = LayerNorm(width: 3)(Tensor(zeros: [2, 4]))
    }
    #expect(message(width).contains("layerNorm: weight [3] and bias [3] for rows of [2, 4]"))
    let residual = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = RMSNorm(width: 4)(Tensor(zeros: [2, 4]), adding: Tensor(zeros: [1, 4]))
    }
    #expect(message(residual).contains("rmsNorm: a residual [1, 4] is added to [2, 4]"))
    let scalar = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = layerNorm(Tensor(zeros: []))
    }
    #expect(message(scalar).contains("a tensor of rank 0 has no rows"))
    let statistics = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = batchNorm(Tensor(zeros: [2, 4]), mean: Tensor(zeros: [4]), variance: Tensor(zeros: [3]))
    }
    #expect(message(statistics).contains("means [4] and variances [3] for rows of [2, 4]"))
    let momentum = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = BatchNorm(width: 3, momentum: 1.5)
    }
    #expect(message(momentum).contains("a momentum of 1.5 does not lie in 0...1"))
  }
}
