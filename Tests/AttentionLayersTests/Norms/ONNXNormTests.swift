import Attention
import AttentionTestSupport
import Testing

/// ONNX's own cases of the norms and of GELU.
@Suite struct ONNXNormTests {
  /// The operator, how many cases there are, and the version that they are of.
  @Test(arguments: [
    ("LayerNormalization", 19, 17), ("RMSNormalization", 19, 23), ("BatchNormalization", 4, 15), ("Gelu", 4, 20),
  ])
  func allCasesAreThere(_ op: String, _ count: Int, _ opset: Int) {
    let cases = ONNXCase.all(op)
    #expect(cases.count == count, "scripts/fetch-onnx-cases brings them")
    #expect(cases.allSatisfy { $0.opset == opset })
  }

  /// Rows are all axes from `axis` on: a reshape makes one of them. The optional results Mean and InvStdDev are no results
  /// of ours; what the kernels keep of them is compared with float64 in their own tests.
  @Test(arguments: ONNXCase.all("LayerNormalization") + ONNXCase.all("RMSNormalization"))
  func normOfRows(_ testCase: ONNXCase) throws {
    #expect(testCase.hasOnly(attributes: "axis", "epsilon", "stash_type"))
    // Stage one in float32, as here.
    #expect(testCase.number("stash_type") ?? 1 == 1)
    let x = try #require(try testCase.tensor("X"))
    let axis = Int(testCase.number("axis") ?? -1)
    let position = axis < 0 ? axis + x.rank : axis
    let width = x.shape[position...].reduce(1, *)
    let rows = x.reshaped(to: [x.count / width, width])
    let epsilon = Float(testCase.number("epsilon") ?? 1e-5)
    let result: Tensor
    if testCase.op == "LayerNormalization" {
      let (scale, bias) = (try #require(try testCase.tensor("Scale")), try #require(try testCase.tensor("B")))
      result = layerNorm(
        rows, weight: scale.reshaped(to: [width]), bias: bias.reshaped(to: [width]), epsilon: epsilon)
    } else {
      let scale = try #require(try testCase.tensor("scale"))
      result = rmsNorm(rows, weight: scale.reshaped(to: [width]), epsilon: epsilon)
    }
    try testCase.expect("Y", result.reshaped(to: x.shape))
  }

  /// [N, C, H, W] as [N·H·W, C]. ONNX's momentum is what stays of the old statistics, and the variance it keeps is the
  /// biased one.
  @Test(arguments: ONNXCase.all("BatchNormalization"))
  func batchNormalization(_ testCase: ONNXCase) throws {
    #expect(testCase.hasOnly(attributes: "epsilon", "momentum", "training_mode"))
    let x = try #require(try testCase.tensor("X"))
    let channels = x.shape[1]
    let spatial = [x.shape[0]] + x.shape[2...]
    let axes = Array(2..<x.rank)
    let tokens = x.permuted([0] + axes + [1]).reshaped(to: [x.count / channels, channels])
    let momentum = Float(testCase.number("momentum") ?? 0.9)
    var norm = BatchNorm(
      width: channels, epsilon: Float(testCase.number("epsilon") ?? 1e-5), momentum: 1 - momentum)
    norm.weight = try testCase.tensor("scale")
    norm.bias = try testCase.tensor("B")
    norm.runningMean = try #require(try testCase.tensor("input_mean"))
    let variance = try #require(try testCase.tensor("input_var"))
    norm.runningVariance = variance
    let isTraining = testCase.number("training_mode") == 1
    let result = isTraining ? norm.train(tokens) : norm(tokens)
    let order = [0, x.rank - 1] + (1..<x.rank - 1)
    try testCase.expect("Y", result.reshaped(to: spatial + [channels]).permuted(order))
    guard isTraining else { return }
    try testCase.expect("running_mean", norm.runningMean)
    // old·m + unbiased·(1 − m), where unbiased is n / (n − 1) times the biased one.
    let n = Float(tokens.shape[0])
    let old = variance * momentum
    try testCase.expect("running_var", old + (norm.runningVariance - old) * ((n - 1) / n))
  }

  @Test(arguments: ONNXCase.all("Gelu"))
  func gelu(_ testCase: ONNXCase) throws {
    #expect(testCase.hasOnly(attributes: "approximate"))
    let x = try #require(try testCase.tensor("X"))
    let isTanh = testCase.string("approximate") == "tanh"
    try testCase.expect("Y", isTanh ? x.geluTanh() : x.gelu())
  }
}
