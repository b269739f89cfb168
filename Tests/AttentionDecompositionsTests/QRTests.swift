import Attention
import AttentionDecompositions
import AttentionTestSupport
import Testing

@Suite struct QRTests {
  @Test(arguments: Matrices.shapes) func factors(_ shape: [Int]) throws {
    let matrix = Matrices.normal(shape)
    let decomposition = try QRDecomposition(of: matrix)
    let (q, r) = (decomposition.q, decomposition.r)
    let inner = min(shape[0], shape[1])
    #expect(q.shape == [shape[0], inner] && r.shape == [inner, shape[1]])
    #expect(Matrices.distance(Matrices.product(q, r), matrix) < 2e-5)
    #expect(Matrices.orthonormalityError(ofColumnsOf: q) < 3e-6)
    for row in 0..<inner {
      #expect(r[row, row] >= 0)
      for column in 0..<row { #expect(r[row, column] == 0 && r[row, column].sign == .plus) }
    }
  }

  /// Against NumPy, whose signs are turned the same way.
  @Test func knownFactors() throws {
    let matrix = Tensor([2, -1, 0, 4, 3, 1, -2, 5, 7, 1, 0, -3], shape: [4, 3])
    let decomposition = try QRDecomposition(of: matrix)
    let q = Tensor(
      [
        0.4, -0.169030851, 0.641426981, 0.8, 0.507092553, -0.0534522484, -0.4, 0.845154255, 0.160356745, 0.2, 0,
        -0.748331477,
      ], shape: [4, 3])
    let r = Tensor([5, 0, -2.6, 0, 5.9160797831, 6.4231723359, 0, 0, 3.3140393997], shape: [3, 3])
    #expect(Matrices.distance(decomposition.q, q) < 1e-6)
    #expect(Matrices.distance(decomposition.r, r) < 4e-6)
  }

  @Test func negativeAndZeroDiagonals() throws {
    let negative = try QRDecomposition(of: Tensor([-3], shape: [1, 1]))
    #expect(negative.q == Tensor([-1], shape: [1, 1]) && negative.r == Tensor([3], shape: [1, 1]))
    let zero = try QRDecomposition(of: Tensor(zeros: [3, 2]))
    #expect(zero.r == Tensor(zeros: [2, 2]))
    #expect(Matrices.orthonormalityError(ofColumnsOf: zero.q) == 0)
    // The second column is twice the first.
    let deficient = Tensor([1, 2, 0, 2, 4, 1, 3, 6, 5], shape: [3, 3])
    let decomposition = try QRDecomposition(of: deficient)
    #expect(abs(decomposition.r[1, 1]) < 1e-6)
    #expect(Matrices.distance(Matrices.product(decomposition.q, decomposition.r), deficient) < 2e-6)
    #expect(Matrices.orthonormalityError(ofColumnsOf: decomposition.q) < 1e-6)
  }

  @Test(arguments: [[0, 0], [0, 3], [4, 0]]) func emptyMatrices(_ shape: [Int]) throws {
    let decomposition = try QRDecomposition(of: Tensor(zeros: shape))
    #expect(decomposition.q.shape == [shape[0], 0] && decomposition.r.shape == [0, shape[1]])
  }

  @Test func nothingIsWrittenToTheInput() throws {
    let matrix = Matrices.normal([9, 4])
    let before = matrix.scalars
    _ = try QRDecomposition(of: matrix)
    #expect(matrix.scalars == before)
  }
}
