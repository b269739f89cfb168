import AttentionTensors
import CLAPACKE

/// The eigenvalues and eigenvectors of a symmetric matrix: M = V · diag(λ) · Vᵀ.
///
/// Divide and conquer (LAPACK's ssyevd) on the lower triangle. The sign of an eigenvector is the routine's. O(n³).
public struct SymmetricEigendecomposition: Sendable {
  /// n eigenvalues, the smallest first.
  public let eigenvalues: [Float]
  /// `[n, n]`: column i is the eigenvector of eigenvalue i; the columns are orthonormal.
  public let eigenvectors: Tensor

  /// Decomposes a symmetric matrix `[n, n]`; n may be 0.
  ///
  /// - Parameters:
  ///   - matrix: `[n, n]`.
  ///   - tolerance: by how much elements across the diagonal may differ, as a share of the largest absolute element:
  ///     products that are symmetric on paper are so up to rounding only. The lower ones count.
  /// - Throws: ``DecompositionError`` when an element is not finite, the matrix is not symmetric or too large, or the
  ///   routine does not converge.
  /// - Precondition: the tensor is a square matrix.
  public init(of matrix: Tensor, tolerance: Float = 1e-5) throws(DecompositionError) {
    require(
      matrix.rank == 2 && matrix.shape[0] == matrix.shape[1],
      "ssyevd: a tensor of shape \(matrix.shape) is no square matrix")
    try LAPACK.check(matrix, for: "ssyevd") { rows, _ in 1 + 6 * rows + 2 * rows * rows }
    let order = matrix.shape[0]
    guard order > 0 else {
      eigenvalues = []
      eigenvectors = matrix.detached()
      return
    }
    if let (row, column) = matrix.firstAsymmetry(tolerance: tolerance) {
      throw DecompositionError(
        routine: "ssyevd", shape: matrix.shape, reason: .notSymmetric(row: row, column: column))
    }
    let n = Int32(order)
    let (vectors, a) = Tensor.scratch(copying: matrix)
    let (values, w) = Tensor.scratch([order])
    try LAPACK.call("ssyevd", shape: matrix.shape) {
      LAPACKE_ssyevd(
        LAPACK_ROW_MAJOR, CChar(bitPattern: UInt8(ascii: "V")), CChar(bitPattern: UInt8(ascii: "L")), n, a.value, n,
        w.value)
    }
    eigenvalues = values.scalars
    eigenvectors = vectors
  }
}

extension Tensor {
  /// The first place below the diagonal whose element differs from the one across it.
  fileprivate func firstAsymmetry(tolerance: Float) -> (row: Int, column: Int)? {
    let order = shape[0]
    return withUnsafeBufferPointer { elements in
      let bound = tolerance * elements.reduce(0) { Swift.max($0, abs($1)) }
      for row in 0..<order {
        for column in 0..<row where abs(elements[row * order + column] - elements[column * order + row]) > bound {
          return (row, column)
        }
      }
      return nil
    }
  }
}
