import Attention
import AttentionTestSupport
import Foundation
import Testing

/// Products by tiles against float64, between guard pages.
@Suite struct TiledProductTests {
  struct Extents: Sendable, CustomTestStringConvertible {
    let rows: Int
    let inner: Int
    let columns: Int
    var testDescription: String { "\(rows)×\(inner)×\(columns)" }

    /// One number, tiles' and panels' edges on both sides, and a row's worth of tasks.
    static let all = [
      (1, 1, 1), (1, 7, 16), (3, 5, 7), (1, 130, 65), (12, 64, 64), (12, 97, 200), (40, 63, 64), (41, 65, 15),
      (70, 130, 65), (81, 385, 49), (300, 33, 80), (5, 400, 513), (1030, 3, 17),
    ].map { Extents(rows: $0.0, inner: $0.1, columns: $0.2) }
  }

  enum Side: String, CaseIterable, Sendable { case packed, packedTransposed, rows, transposed }

  @Test(arguments: Extents.all, Side.allCases)
  func agreesWithFloat64(_ extents: Extents, _ side: Side) {
    for (edge, gap) in [(GuardedBuffer<Float>.Edge.end, 0), (.start, 3)] {
      let left = FloatMatrix(random: extents.rows, extents.inner, seed: 1, gap: gap, edge: edge)
      let right = FloatMatrix(random: extents.inner, extents.columns, seed: 2, gap: gap, edge: edge)
      let turned = FloatMatrix(
        right.transposed, rows: extents.columns, columns: extents.inner, gap: gap, edge: edge)
      let result = FloatMatrix(random: extents.rows, extents.columns, seed: 3, gap: gap, edge: edge)
      let operand: TiledProduct.Right =
        switch side {
        case .packed: .packed(PackedMatrix(copying: right.view))
        case .packedTransposed: .packed(PackedMatrix(transposing: turned.view))
        case .rows: .rows(right.view)
        case .transposed: .transposed(turned.view)
        }
      let expected = left.product(right)
      let bound = 1e-6 * Double(extents.inner).squareRoot() + 1e-6
      TiledProduct.multiply(left.view, operand, into: result.mutableView)
      #expect(largestError(result.values, expected) < bound)
      let once = result.values
      TiledProduct.multiply(left.view, operand, into: result.mutableView, adding: true)
      #expect(largestError(result.values, zip(expected, once).map { $0 + Double($1) }) < 2 * bound)
      #expect(result.surroundingsAreIntact && left.surroundingsAreIntact)
      withExtendedLifetime((right, turned)) {}
    }
  }

  /// Bias, sums and activation, one more than there are columns being out of reach.
  @Test(arguments: [(3, 5, 7), (41, 66, 70), (130, 40, 193)], [nil] + Activation.allCases.map(Optional.some))
  func theEpilogue(_ extents: (Int, Int, Int), _ activation: Activation?) {
    let (rows, inner, columns) = extents
    let left = FloatMatrix(random: rows, inner, seed: 4)
    let right = FloatMatrix(random: inner, columns, seed: 5)
    let bias = FloatMatrix(random: 1, columns, seed: 6)
    let (plain, sums) = (
      FloatMatrix(random: rows, columns, seed: 7), FloatMatrix(random: rows, columns, seed: 8)
    )
    TiledProduct.multiply(left.view, .rows(right.view), into: plain.mutableView)
    for hasBias in [false, true] {
      for keepsSums in [false, true] {
        let result = FloatMatrix(random: rows, columns, seed: 9, gap: 2)
        TiledProduct.multiply(
          left.view, .rows(right.view), into: result.mutableView,
          epilogue: .init(
            bias: hasBias ? UnsafePointer(bias.base) : nil, activation: activation, sums: keepsSums ? sums.base : nil))
        let added = plain.values.enumerated().map { $0.element + (hasBias ? bias[0, $0.offset % columns] : 0) }
        if keepsSums { #expect(sums.bits == added.map(\.bitPattern)) }
        let expected = activation.map { Tensor(added, shape: [added.count]).activated(by: $0).scalars } ?? added
        #expect(result.bits == expected.map(\.bitPattern))
        #expect(result.surroundingsAreIntact && sums.surroundingsAreIntact)
      }
    }
    withExtendedLifetime((right, bias)) {}
  }

  @Test func noRowsColumnsOrInner() {
    let empty = FloatMatrix([], rows: 0, columns: 4)
    let right = FloatMatrix(random: 4, 3, seed: 1)
    TiledProduct.multiply(
      empty.view, .rows(right.view), into: FloatMatrix([], rows: 0, columns: 3).mutableView)
    let result = FloatMatrix(random: 2, 3, seed: 2, gap: 1)
    let before = result.bits
    let (left, none) = (FloatMatrix([], rows: 2, columns: 0), FloatMatrix([], rows: 0, columns: 3))
    TiledProduct.multiply(left.view, .rows(none.view), into: result.mutableView, adding: true)
    #expect(result.bits == before)
    let bias: [Float] = [1, -2, 3]
    bias.withUnsafeBufferPointer {
      TiledProduct.multiply(
        left.view, .packed(PackedMatrix(copying: none.view)), into: result.mutableView,
        epilogue: .init(bias: $0.baseAddress, activation: .relu))
    }
    #expect(result.values == [1, 0, 3, 1, 0, 3] && result.surroundingsAreIntact)
    TiledProduct.multiply(
      FloatMatrix(random: 2, 4, seed: 3).view, .transposed(FloatMatrix([], rows: 0, columns: 4).view),
      into: FloatMatrix([], rows: 2, columns: 0).mutableView)
  }

  @Test(.exclusiveThreadCount, arguments: Extents.all)
  func bitsDoNotDependOnThreads(_ extents: Extents) {
    let left = FloatMatrix(random: extents.rows, extents.inner, seed: 1)
    let right = FloatMatrix(random: extents.inner, extents.columns, seed: 2)
    let packed = PackedMatrix(copying: right.view)
    let found = [1, 2, 3, 8].map { threads in
      Engine.setThreadCount(threads)
      let result = FloatMatrix(random: extents.rows, extents.columns, seed: 3)
      TiledProduct.multiply(left.view, .packed(packed), into: result.mutableView)
      return result.bits
    }
    #expect(Set(found).count == 1)
  }

  @Test func whatDoesNotFitIsRefused() async {
    let inner = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let (a, b, c) = (Tensor(zeros: [2, 3]), Tensor(zeros: [4, 5]), TensorStorage(minimumCapacity: 10))
      TiledProduct.multiply(
        MatrixView(matrix: a), .rows(MatrixView(matrix: b)),
        into: MutableMatrixView(base: c.base, rows: 2, columns: 5, rowStride: 5))
    }
    #expect(message(inner).contains("TiledProduct: [2, 3] times [4, 5] into [2, 5]"))
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let (a, b, c) = (Tensor(zeros: [2, 3]), Tensor(zeros: [5, 3]), TensorStorage(minimumCapacity: 10))
      TiledProduct.multiply(
        MatrixView(matrix: a), .transposed(MatrixView(matrix: b)),
        into: MutableMatrixView(base: c.base, rows: 2, columns: 4, rowStride: 5))
    }
    #expect(message(result).contains("TiledProduct: [2, 3] times [3, 5] into [2, 4]"))
    let rank = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = PackedMatrix(copying: Tensor(zeros: [2, 3, 4]))
    }
    #expect(message(rank).contains("[2, 3, 4] is no matrix"))
  }
}
