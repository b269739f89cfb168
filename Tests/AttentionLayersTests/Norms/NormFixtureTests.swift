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
}
