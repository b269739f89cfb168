import Attention
import AttentionDecompositions
import AttentionTestSupport
import Testing

@Suite struct EigendecompositionTests {
  @Test(arguments: [1, 2, 3, 16, 33, 70, 129]) func factors(_ order: Int) throws {
    let normal = Matrices.normal([order, order])
    let transposed = Matrices.transposed(normal)
    let matrix = Tensor(zip(normal.scalars, transposed.scalars).map { $0 + $1 }, shape: [order, order])
    let decomposition = try SymmetricEigendecomposition(of: matrix)
    let (values, vectors) = (decomposition.eigenvalues, decomposition.eigenvectors)
    #expect(values == values.sorted())
    #expect(Matrices.orthonormalityError(ofColumnsOf: vectors) < 5e-6)
    let scaled = Matrices.product(vectors, Matrices.diagonal(values))
    #expect(Matrices.distance(Matrices.product(scaled, Matrices.transposed(vectors)), matrix) < 1e-4)
    let trace = (0..<order).reduce(0) { $0 + matrix[$1, $1] }
    #expect(abs(values.reduce(0, +) - trace) < 1e-4 * Float(order))
  }

  /// Against NumPy in float64, and by hand.
  @Test func knownSpectra() throws {
    let hilbert = try SymmetricEigendecomposition(of: Matrices.hilbert(4)).eigenvalues
    let known: [Float] = [9.6702304e-05, 0.00673827361, 0.16914122, 1.50021428]
    #expect(zip(hilbert, known).allSatisfy { abs($0 - $1) < 3e-7 })
    let small = try SymmetricEigendecomposition(of: Tensor([2, 1, 1, 2], shape: [2, 2]))
    #expect(zip(small.eigenvalues, [1, 3]).allSatisfy { abs($0 - $1) < 1e-6 })
    #expect(abs(abs(small.eigenvectors[0, 1]) - Float(0.5).squareRoot()) < 1e-6)
    #expect(try SymmetricEigendecomposition(of: Matrices.diagonal([3, -1, 2])).eigenvalues == [-1, 2, 3])
    #expect(try SymmetricEigendecomposition(of: Tensor(zeros: [3, 3])).eigenvalues == [0, 0, 0])
    #expect(try SymmetricEigendecomposition(of: Tensor(zeros: [0, 0])).eigenvalues.isEmpty)
  }

  @Test func asymmetry() throws {
    var matrix = Matrices.hilbert(4)
    matrix[3, 1] += 1e-4
    #expect(
      throws: DecompositionError(routine: "ssyevd", shape: [4, 4], reason: .notSymmetric(row: 3, column: 1))
    ) { _ = try SymmetricEigendecomposition(of: matrix) }
    // Within a wider tolerance the lower triangle counts.
    var lower = Tensor([1, 9, 0.25, 1], shape: [2, 2])
    let found = try SymmetricEigendecomposition(of: lower, tolerance: 1)
    lower[0, 1] = 0.25
    #expect(found.eigenvalues == (try SymmetricEigendecomposition(of: lower)).eigenvalues)
  }
}
