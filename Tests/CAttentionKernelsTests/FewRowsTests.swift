import AttentionTestSupport
import CAttentionKernels
import Testing

@Suite struct FewRowsTests {
  /// A few rows of a matrix wider than what is read, flush against a page that nobody may touch; each row's bits are its
  /// own, and do not depend on where the columns were cut.
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func isCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for rows in 1...5 {
      for (inner, columns) in [(1, 1), (2, 7), (3, 16), (4, 33), (5, 32), (8, 15), (9, 40), (31, 17)] {
        let (leftStride, rightStride, resultStride) = (inner + 2, columns + 5, columns + 3)
        let left = Noise.floats((rows - 1) * leftStride + inner, in: -1...1, seed: rows)
        let right = Noise.floats((inner - 1) * rightStride + columns, in: -1...1, seed: rows + 1)
        let before = Noise.floats((rows - 1) * resultStride + columns, in: -1...1, seed: rows + 2)
        let (a, b) = (GuardedBuffer(left, edge: edge), GuardedBuffer(right, edge: edge))
        for adding in [false, true] {
          let c = GuardedBuffer(before, edge: edge)
          set.kernels.few_rows_product(
            a.base, leftStride, rows, inner, b.base, rightStride, c.base, resultStride, columns, adding)
          for row in 0..<rows {
            for column in 0..<columns {
              let place = row * resultStride + column
              let expected = (0..<inner).reduce(adding ? Double(before[place]) : 0) {
                $0 + Double(left[row * leftStride + $1]) * Double(right[$1 * rightStride + column])
              }
              #expect(abs(Double(c.values[place]) - expected) <= Double(inner + 1) * 0x1p-23)
            }
            // Between the rows nothing was written.
            if row > 0 {
              let gap = row * resultStride - 3..<row * resultStride
              #expect(c.values[gap].elementsEqual(before[gap]))
            }
            // Alone, and in two parts.
            let alone = GuardedBuffer(before[row * resultStride..<row * resultStride + columns], edge: edge)
            let cut = columns / 3
            for part in [0..<cut, cut..<columns] {
              set.kernels.few_rows_product(
                a.base + row * leftStride, leftStride, 1, inner, b.base + part.lowerBound, rightStride,
                alone.base + part.lowerBound, columns, part.count, adding)
            }
            #expect(
              zip(alone.values, c.values[(row * resultStride)...]).allSatisfy { $0.bitPattern == $1.bitPattern })
          }
          #expect(c.surroundingsAreIntact)
        }
      }
    }
  }
}
