import Attention
import AttentionTestSupport
import Testing

/// Operations on tensors against PyTorch's float64 results, forward and back: `scripts/fixtures/operations.py`.
@Suite struct OperationFixtureTests {
  static let fixtures = (try? LayerFixture.all("operations")) ?? []

  @Test func allFixturesAreThere() throws {
    #expect(try LayerFixture.all("operations").count == 72)
  }

  @Test(arguments: fixtures) func agreesWithPyTorch(_ fixture: LayerFixture) throws {
    let operation = try fixture.string("operation")
    try fixture.check { inputs in ["result": try Self.run(operation, fixture, inputs)] }
  }

  private static func run(_ operation: String, _ fixture: LayerFixture, _ inputs: [String: Tensor]) throws -> Tensor {
    if let a = inputs["a"], let b = inputs["b"] { return try run(operation, fixture, a, b) }
    let x = try #require(inputs["x"])
    return switch operation {
    case "negated": -x
    case "exp": x.exp()
    case "log": x.log()
    case "squareRoot": x.squareRoot()
    case "squared": x.squared()
    case "tanh", "sigmoid", "relu", "gelu", "silu", "geluTanh":
      x.activated(by: try #require(Activation(rawValue: operation)))
    case "softmax": x.softmax(along: try fixture.integer("axis"))
    case "logSoftmax": x.logSoftmax(along: try fixture.integer("axis"))
    case "crossEntropy":
      crossEntropy(
        x, labels: try fixture.integerInput("labels"),
        reduction: try fixture.string("reduction") == "sum" ? .sum : .mean)
    case "sum": x.sum(along: try fixture.integer("axis"))
    case "mean": x.mean(along: try fixture.integer("axis"))
    case "sumAll": x.sum()
    case "meanAll": x.mean()
    case "permuted": x.permuted(try fixture.integers("order"))
    case "sliced":
      x.sliced(
        try fixture.integers("range")[0]..<(try fixture.integers("range")[1]), along: try fixture.integer("axis"))
    case "gather": x.gathered(rows: try fixture.integerInput("ids"))
    default: throw UnknownOperation(name: operation)
    }
  }

  private static func run(_ operation: String, _ fixture: LayerFixture, _ a: Tensor, _ b: Tensor) throws -> Tensor {
    switch operation {
    case "add": a + b
    case "subtract": a - b
    case "multiply": a * b
    case "divide": a / b
    case "matmul": matmul(a, b)
    case "concatenated": Tensor.concatenated([a, b], along: try fixture.integer("axis"))
    default: throw UnknownOperation(name: operation)
    }
  }

  struct UnknownOperation: Error { let name: String }
}
