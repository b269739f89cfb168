import AttentionTestSupport
import CAttentionKernels
import Testing

@Suite struct TransposeTests {
  /// Every way through the blocks of 8 and their edges.
  static let extents = [0, 1, 2, 7, 8, 9, 15, 16, 17, 24, 67]

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func everyElementMovesAndNothingElse(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for rows in Self.extents {
      for columns in Self.extents {
        // Strides beyond the rows, but nothing behind the last row: a read or write past it is a crash.
        let (sourceStride, targetStride) = (columns + 3, rows + 5)
        let source = GuardedBuffer(
          Noise.floats(max(0, rows * sourceStride - (rows > 0 ? 3 : 0)), in: -1...1, seed: 7), edge: edge)
        let target = GuardedBuffer<Float>(
          repeating: 9, count: max(0, columns * targetStride - (columns > 0 ? 5 : 0)), edge: edge)
        source.withBase { from in
          target.withBase { set.kernels.transpose(from, sourceStride, $0, targetStride, rows, columns) }
        }
        var expected = [Float](repeating: 9, count: target.elements.count)
        for row in 0..<rows {
          for column in 0..<columns {
            expected[column * targetStride + row] = source.elements[row * sourceStride + column]
          }
        }
        #expect(sameBits(target.values, expected), "\(rows) rows, \(columns) columns")
        #expect(target.surroundingsAreIntact)
      }
    }
  }
}
