import Attention
import AttentionTestSupport
import Testing

/// A padded batch with key lengths learns what the ragged one does.
@Suite struct PaddedGradientTests {
  private static let lengths = [5, 0, 37, 1, 70]
  private static let (heads, keyValueHeads, keyWidth, valueWidth) = (4, 2, 8, 5)

  /// `[tokens, heads · width]` as `[B, heads, longest, width]`, with NaN where there is no token.
  private static func padded(_ rows: Tensor, heads: Int, with filler: Float) -> Tensor {
    let (longest, width) = (lengths.max()!, rows.shape[1] / heads)
    var result = Tensor(repeating: filler, shape: [lengths.count, heads, longest, width])
    forEachPlace(heads, width) { row, b, h, i, c in result[b, h, i, c] = rows[row, h * width + c] }
    return result
  }

  /// The way back; what stands where there is no token is left out.
  private static func ragged(_ tensor: Tensor) -> Tensor {
    let (heads, width) = (tensor.shape[1], tensor.shape[3])
    var result = Tensor(zeros: [lengths.reduce(0, +), heads * width])
    forEachPlace(heads, width) { row, b, h, i, c in result[row, h * width + c] = tensor[b, h, i, c] }
    return result
  }

  private static func forEachPlace(_ heads: Int, _ width: Int, _ body: (Int, Int, Int, Int, Int) -> Void) {
    var row = 0
    for (b, length) in lengths.enumerated() {
      for i in 0..<length {
        for h in 0..<heads { for c in 0..<width { body(row, b, h, i, c) } }
        row += 1
      }
    }
  }

  private static let masks: [(String, AttentionMask)] = [
    ("none", .none), ("causal", .causal(.start)), ("window", .window(left: 9, right: 3)),
  ]

  @Test(arguments: [AttentionPath.naive, .blas, .fused]) func paddedIsRagged(path: AttentionPath) {
    var generator = SeededGenerator(seed: 21)
    let tokens = Self.lengths.reduce(0, +)
    let shapes = [
      (Self.heads, Self.keyWidth), (Self.keyValueHeads, Self.keyWidth), (Self.keyValueHeads, Self.valueWidth),
    ]
    let operands = shapes.map { Tensor(randomNormal: [tokens, $0 * $1], using: &generator) }
    let upstream = Tensor(randomNormal: [tokens, Self.heads * Self.valueWidth], using: &generator)
    for (name, mask) in Self.masks {
      let leaves = operands.map { $0.tracked() }
      let together = scaledDotProductAttention(
        query: leaves[0], key: leaves[1], value: leaves[2], layout: SequenceLayout(lengths: Self.lengths),
        heads: Self.heads, keyValueHeads: Self.keyValueHeads, mask: mask, options: .init(path: path))
      let expected = gradients(of: [together.output], upstream: [upstream], withRespectTo: leaves)
      // Padded keys and values are never read; a padded query sees what there is, but no gradient comes back to it.
      let fillers: [Float] = [0.5, .nan, .nan]
      let padded = zip(operands, zip(shapes, fillers)).map { operand, other in
        Self.padded(operand, heads: other.0.0, with: other.1).tracked()
      }
      let output: Tensor = scaledDotProductAttention(
        query: padded[0], key: padded[1], value: padded[2], mask: .keyLengths(Self.lengths) & mask,
        options: .init(path: path))
      let flowing = Self.padded(upstream, heads: Self.heads, with: 0)
      let found = gradients(of: [output], upstream: [flowing], withRespectTo: padded)
      let errors = excess(found.map { Self.ragged($0) }, expected.map { $0.scalars.map(Double.init) })
      #expect(errors <= 0, "\(name)")
      // Nothing comes back to padding.
      for (gradient, heads) in zip(found, shapes.map(\.0)) {
        let rest = zip(gradient.scalars, Self.padded(Self.ragged(gradient), heads: heads, with: 0).scalars)
        #expect(rest.allSatisfy { $0 == $1 }, "\(name)")
      }
    }
  }
}
