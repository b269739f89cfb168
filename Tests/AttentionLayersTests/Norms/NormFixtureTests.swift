import Attention
import AttentionTestSupport
import Testing

/// Norms against PyTorch's float64 results, forward and back: `scripts/fixtures/norms.py`.
@Suite struct NormFixtureTests {
  static let fixtures = (try? LayerFixture.all("norms")) ?? []
  static func fixtures(_ operations: String...) -> [LayerFixture] {
    fixtures.filter { operations.contains((try? $0.string("operation")) ?? "") }
  }

  @Test func allFixturesAreThere() throws {
    #expect(try LayerFixture.all("norms").count == 69)
  }

  @Test(arguments: fixtures("layerNorm", "rmsNorm")) func ofRowsAgreesWithPyTorch(_ fixture: LayerFixture) throws {
    let operation = try fixture.string("operation")
    let epsilon = try fixture.float("epsilon")
    try fixture.check { inputs in
      let x = try #require(inputs["x"])
      let (weight, bias) = (inputs["weight"], inputs["bias"])
      guard let residual = inputs["residual"] else {
        return [
          "result": operation == "layerNorm"
            ? layerNorm(x, weight: weight, bias: bias, epsilon: epsilon)
            : rmsNorm(x, weight: weight, epsilon: epsilon)
        ]
      }
      let (normalised, sum) =
        operation == "layerNorm"
        ? layerNorm(x, adding: residual, weight: weight, bias: bias, epsilon: epsilon)
        : rmsNorm(x, adding: residual, weight: weight, epsilon: epsilon)
      return ["result": normalised, "sum": sum]
    }
  }

  @Test(arguments: fixtures("batchNorm")) func ofBatchesAgreesWithPyTorch(_ fixture: LayerFixture) throws {
    let epsilon = try fixture.float("epsilon")
    let isTraining = try fixture.bool("training")
    func statistic(_ name: String, _ x: Tensor) throws -> Tensor {
      guard case .array(let values)? = fixture.settings[name] else { throw MissingStatistic() }
      return Tensor(
        try values.map {
          guard case .number(let value) = $0 else { throw MissingStatistic() }
          return Float(value)
        }, shape: [x.shape[1]])
    }
    try fixture.check { inputs in
      let x = try #require(inputs["x"])
      let (weight, bias) = (inputs["weight"], inputs["bias"])
      guard !isTraining else {
        return ["result": batchNorm(x, weight: weight, bias: bias, epsilon: epsilon).normalised]
      }
      let (mean, variance) = (try statistic("mean", x), try statistic("variance", x))
      return ["result": batchNorm(x, mean: mean, variance: variance, weight: weight, bias: bias, epsilon: epsilon)]
    }
  }

  struct MissingStatistic: Error {}

  /// The running statistics after several batches, and what inference makes of them.
  @Test(arguments: fixtures("batchNormSteps")) func runningStatisticsAgreeWithPyTorch(_ fixture: LayerFixture) throws {
    let momentum = fixture.settings["momentum"] == .null ? nil : try fixture.float("momentum")
    try fixture.check { inputs in
      let x = try #require(inputs["x"])
      var norm = BatchNorm(width: x.shape[1], momentum: momentum)
      var step = 0
      while let batch = inputs["step\(step)"] {
        _ = norm.train(batch.detached())
        step += 1
      }
      return [
        "result": norm(x.detached()), "running_mean": norm.runningMean, "running_var": norm.runningVariance,
        "num_batches_tracked": norm.batchesTracked,
      ]
    }
  }
}
