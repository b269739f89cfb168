import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// Short sequences have a way of their own on the fused path, of which nothing is to be seen.
@Suite struct ShortHeadTests {
  private static let lengths = [1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 200]

  private static func operands(_ tokens: Int, width: Int) -> Tensor {
    var generator = SeededGenerator(seed: UInt64(tokens + width))
    return Tensor(randomNormal: [tokens, width], using: &generator)
  }

  /// Whoever asks for the log-sum-exp goes the general way: the same bits where OpenBLAS has kernels that give them, and
  /// within rounding elsewhere.
  @Test(arguments: [16, 32, 64, 40])
  func theyAgreeWithTheGeneralWay(headWidth: Int) {
    let layout = SequenceLayout(lengths: Self.lengths)
    let all = Self.operands(layout.tokenCount, width: 3 * 2 * headWidth)
    let options = AttentionOptions(path: .fused)
    let plain = scaledDotProductAttention(queryKeyValue: all, layout: layout, heads: 2, options: options)
    let general = scaledDotProductAttention(
      queryKeyValue: all, layout: layout, heads: 2, options: options, returning: .logSumExp)
    if OpenBLAS.hasSmallMatrixKernels {
      #expect(plain.output.hasBits(of: general.output))
    } else {
      let largest = zip(plain.output.scalars, general.output.scalars).map { abs($0 - $1) }.max()!
      #expect(largest < 1e-6)
    }
  }

  /// Queries of another number than keys, a padding mask, more queries than a tile has rows; each sequence as if alone.
  @Test func crossAttentionAndPadding() {
    let (queries, keys) = (SequenceLayout(lengths: [150, 3, 40, 0, 7]), SequenceLayout(lengths: [20, 90, 33, 5, 0]))
    let (query, key) = (
      Self.operands(queries.tokenCount, width: 64), Self.operands(keys.tokenCount, width: 64)
    )
    let value = Self.operands(keys.tokenCount + 1, width: 64).sliced(1..<keys.tokenCount + 1)
    for mask in [AttentionMask.none, .keyLengths([20, 41, 0, 5, 0])] {
      func attention(_ path: AttentionPath, _ extras: AttentionExtras = []) -> Tensor {
        scaledDotProductAttention(
          query: query, key: key, value: value, layout: queries, keyLayout: keys, heads: 2, mask: mask,
          options: .init(path: path), returning: extras
        ).output
      }
      let (fused, naive) = (attention(.fused), attention(.naive))
      let largest = zip(fused.scalars, naive.scalars).map { abs($0 - $1) }.max()!
      #expect(largest < 5e-6)
      if OpenBLAS.hasSmallMatrixKernels { #expect(fused.hasBits(of: attention(.fused, .logSumExp))) }
    }
  }

  /// A value that is not finite takes its own head along, and no other sequence.
  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func aPoisonedHead(_ poison: Float) {
    let layout = SequenceLayout(lengths: [12, 30, 9])
    let all = Self.operands(layout.tokenCount, width: 192)
    let clean = scaledDotProductAttention(queryKeyValue: all, layout: layout, heads: 2).output
    var poisoned = all
    // A value of the second sequence's second head.
    poisoned[20, 128 + 40] = poison
    let result = scaledDotProductAttention(queryKeyValue: poisoned, layout: layout, heads: 2).output
    for row in 0..<layout.tokenCount {
      for column in 0..<64 {
        let isHit = (12..<42).contains(row) && column == 40
        let (found, before) = (result[row, column], clean[row, column])
        #expect(isHit ? !found.isFinite : found == before, "row \(row), column \(column)")
      }
    }
  }
}
