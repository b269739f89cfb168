import Attention
import AttentionTestSupport
import Testing

/// Attention alone, forward and back, against PyTorch in float64.
@Suite("Attention's gradients against PyTorch")
struct AttentionGradientFixtureTests {
  @Test(arguments: try LayerFixture.all("attention"), [AttentionPath.naive, .blas, .fused])
  func gradients(_ fixture: LayerFixture, path: AttentionPath) throws {
    let mask = try Self.mask(fixture)
    let (softcap, scale) = (try fixture.float("softcap"), try fixture.float("scale"))
    let options = AttentionOptions(
      scale: scale == 0 ? nil : scale, softcap: softcap == 0 ? nil : softcap, path: path)
    try fixture.check { inputs in
      let bias = inputs["bias"].map { AttentionMask.bias($0) } ?? .none
      let output: Tensor = scaledDotProductAttention(
        query: inputs["query"]!, key: inputs["key"]!, value: inputs["value"]!, mask: mask & bias, options: options)
      return ["result": output]
    }
  }

  private static func mask(_ fixture: LayerFixture) throws -> AttentionMask {
    if fixture.has("allowed") { return .allowed(try fixture.booleanInput("allowed")) }
    let lengths = try fixture.integers("lengths")
    switch try fixture.string("mask") {
    case "none": return .none
    case "causalStart": return .causal(.start)
    case "causalEnd": return .causal(.end)
    case "window42": return .window(left: 4, right: 2)
    case "lengths": return .keyLengths(lengths)
    case "lengthsCausal": return .keyLengths(lengths) & .causal(.start)
    case let name:
      Issue.record("\(fixture.name): no mask is called \(name)")
      return .none
    }
  }
}
