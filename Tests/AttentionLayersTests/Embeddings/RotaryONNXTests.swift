import Attention
import AttentionTestSupport
import Foundation
import Testing

/// ONNX's own cases of rotary embedding: both pairings, parts of a head, tables by position and by token.
@Suite struct RotaryONNXTests {
  @Test func allCasesAreThere() {
    let cases = ONNXCase.all("RotaryEmbedding")
    #expect(cases.count == 8, "scripts/fetch-onnx-cases brings them")
    #expect(cases.allSatisfy { $0.opset == 23 })
  }

  @Test(arguments: ONNXCase.all("RotaryEmbedding")) func agrees(_ testCase: ONNXCase) throws {
    #expect(testCase.hasOnly(attributes: "interleaved", "rotary_embedding_dim", "num_heads"))
    var x = try #require(try testCase.tensor("X"))
    let shape = x.shape
    let heads = testCase.number("num_heads").map { Int($0) } ?? shape[1]
    // Tokens with their heads side by side.
    if x.rank == 4 { x = x.permuted([0, 2, 1, 3]) }
    let (batch, length) = (x.shape[0], x.shape[1])
    let headWidth = x.count / (batch * length * heads)
    let rows = x.reshaped(to: [batch * length, heads * headWidth])
    var (cosines, sines) = (
      try #require(try testCase.tensor("cos_cache")), try #require(try testCase.tensor("sin_cache"))
    )
    if let positions = try testCase.integers("position_ids") {
      (cosines, sines) = (cosines.gathered(rows: positions), sines.gathered(rows: positions))
    }
    let pairs = cosines.shape.last ?? 0
    if let width = testCase.number("rotary_embedding_dim") { #expect(Int(width) == 2 * pairs) }
    let rotary = RotaryEmbedding(
      width: 2 * pairs, pairing: testCase.number("interleaved") == 1 ? .interleaved : .halves)
    let turned = rotary(
      rows, cosines: cosines.reshaped(to: [batch * length, pairs]), sines: sines.reshaped(to: [batch * length, pairs]),
      heads: heads, headWidth: headWidth)
    let result = turned.reshaped(to: [batch, length, heads, headWidth])
    try testCase.expect("Y", shape.count == 4 ? result.permuted([0, 2, 1, 3]) : result.reshaped(to: shape))
  }

  /// Tables made of positions give what positions give, and the way back turns back.
  @Test(arguments: RotaryEmbedding.Pairing.allCases) func tablesArePositions(_ pairing: RotaryEmbedding.Pairing) {
    var generator = SeededGenerator(seed: 2)
    let rotary = RotaryEmbedding(width: 6, pairing: pairing)
    let positions = [0, 7, 3, 100]
    let x = Tensor(randomNormal: [4, 17], using: &generator).tracked()
    func table(_ of: (Double) -> Double) -> Tensor {
      Tensor(
        positions.flatMap { position in
          (0..<3).map { Float(of(Double(position) * pow(10_000, -Double($0) / 3))) }
        }, shape: [4, 3])
    }
    let expected = rotary(x, positions: positions, heads: 2, headWidth: 8)
    let found = rotary(x, cosines: table(cos), sines: table(sin), heads: 2, headWidth: 8)
    #expect(zip(found.scalars, expected.scalars).allSatisfy { abs($0 - $1) <= 1e-6 })
    let upstream = Tensor(randomNormal: [4, 17], using: &generator)
    let slopes = [found, expected].map { gradients(of: [$0], upstream: [upstream], withRespectTo: [x])[0] }
    #expect(zip(slopes[0].scalars, slopes[1].scalars).allSatisfy { abs($0 - $1) <= 1e-6 })
  }

  @Test func tablesOfAnotherShapeAreRefused() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let tables = Tensor(zeros: [4, 2])
      _ = RotaryEmbedding(width: 6)(Tensor(zeros: [4, 8]), cosines: tables, sines: tables, heads: 1, headWidth: 8)
    }
    #expect(message(result).contains("RotaryEmbedding: [4, 8] with cosines [4, 2] and sines [4, 2], 1 heads of 8"))
  }
}
