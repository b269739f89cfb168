import Attention
import AttentionTestSupport
import Testing

/// Products with the left side transposed against float64, between guard pages.
@Suite struct TransposedProductTests {
  /// Rows, columns of the left side, columns of the right one: with few rows and with so many that they are summed in
  /// parts, on both sides of tiles' edges.
  static let extents = [
    (1, 1, 1), (3, 5, 7), (130, 65, 70), (127, 96, 64), (129, 97, 33), (300, 9, 520), (40, 600, 130), (2048, 3, 5),
    (2500, 70, 17), (4099, 8, 130), (9000, 2, 3),
  ]

  @Test(arguments: extents)
  func agreesWithFloat64(rows: Int, height: Int, width: Int) {
    for (edge, gap) in [(GuardedBuffer<Float>.Edge.end, 0), (.start, 5)] {
      let left = FloatMatrix(random: rows, height, seed: 1, gap: gap, edge: edge)
      let right = FloatMatrix(random: rows, width, seed: 2, gap: gap, edge: edge)
      let result = FloatMatrix(random: height, width, seed: 3, gap: gap, edge: edge)
      let expected = FloatMatrix(left.transposed, rows: height, columns: rows).product(right)
      let bound = 1e-6 * Double(rows).squareRoot() + 1e-6
      TransposedProduct.multiply(left.view, right.view, into: result.mutableView)
      #expect(largestError(result.values, expected) < bound)
      let once = result.values
      TransposedProduct.multiply(left.view, right.view, into: result.mutableView, adding: true)
      #expect(largestError(result.values, zip(expected, once).map { $0 + Double($1) }) < 2 * bound)
      #expect(result.surroundingsAreIntact && left.surroundingsAreIntact && right.surroundingsAreIntact)
    }
  }

  @Test func noRowsGiveZerosOrWhatWasThere() {
    let (left, right) = (FloatMatrix([], rows: 0, columns: 2), FloatMatrix([], rows: 0, columns: 3))
    let result = FloatMatrix(random: 2, 3, seed: 1, gap: 1)
    let before = result.bits
    TransposedProduct.multiply(left.view, right.view, into: result.mutableView, adding: true)
    #expect(result.bits == before)
    TransposedProduct.multiply(left.view, right.view, into: result.mutableView)
    #expect(result.values == Array(repeating: 0, count: 6) && result.surroundingsAreIntact)
  }

  @Test(.exclusiveThreadCount, arguments: extents)
  func bitsDoNotDependOnThreads(rows: Int, height: Int, width: Int) {
    let left = FloatMatrix(random: rows, height, seed: 1)
    let right = FloatMatrix(random: rows, width, seed: 2)
    let found = [1, 2, 3, 8].map { threads in
      Engine.setThreadCount(threads)
      let result = FloatMatrix(random: height, width, seed: 3)
      TransposedProduct.multiply(left.view, right.view, into: result.mutableView)
      return result.bits
    }
    #expect(Set(found).count == 1)
  }

  @Test func whatDoesNotFitIsRefused() async {
    let run = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let (a, b, c) = (Tensor(zeros: [2, 3]), Tensor(zeros: [4, 5]), TensorStorage(minimumCapacity: 15))
      TransposedProduct.multiply(
        MatrixView(matrix: a), MatrixView(matrix: b),
        into: MutableMatrixView(base: c.base, rows: 3, columns: 5, rowStride: 5))
    }
    #expect(message(run).contains("TransposedProduct: [2, 3] transposed times [4, 5] into [3, 5]"))
  }
}
