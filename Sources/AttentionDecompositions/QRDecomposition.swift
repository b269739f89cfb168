import AttentionTensors
import CLAPACKE

/// The reduced QR decomposition of a matrix: orthonormal columns times an upper triangle.
///
///     let decomposition = try QRDecomposition(of: matrix)
///     let again = matmul(decomposition.q, decomposition.r)
///
/// Householder's reflections (LAPACK's sgeqrf and sorgqr), then signs turned so that no diagonal element of R is
/// negative: of a matrix of full column rank there is one such decomposition, and of a matrix of normal variates Q is
/// uniform over the orthogonal matrices (Mezzadri, math-ph/0609050). O(m · n · min(m, n)).
public struct QRDecomposition: Sendable {
  /// `[m, k]` with k = min(m, n): QᵀQ is the identity.
  public let q: Tensor
  /// `[k, n]`: zeros below the diagonal, and nothing negative on it.
  public let r: Tensor

  /// Decomposes a matrix `[m, n]`, either of which may be 0.
  ///
  /// - Throws: ``DecompositionError`` when an element is not finite or the matrix is too large.
  /// - Precondition: the tensor is a matrix.
  public init(of matrix: Tensor) throws(DecompositionError) {
    // The blocked routines ask for 32 to 64 columns beside the matrix, and LAPACKE for a transposed copy.
    try LAPACK.check(matrix, for: "sgeqrf") { max($0 * $1, 64 * $1) }
    let (rows, columns) = (matrix.shape[0], matrix.shape[1])
    let inner = min(rows, columns)
    guard inner > 0 else {
      q = Tensor(zeros: [rows, 0])
      r = Tensor(zeros: [0, columns])
      return
    }
    let (m, n, k) = (Int32(rows), Int32(columns), Int32(inner))
    let (factors, a) = Tensor.scratch(copying: matrix)
    let (scales, tau) = Tensor.scratch([inner])
    try LAPACK.call("sgeqrf", shape: matrix.shape) {
      LAPACKE_sgeqrf(LAPACK_ROW_MAJOR, m, n, a.value, n, tau.value)
    }
    // The reflections lie below the diagonal of the first k columns.
    let (orthonormal, columnsOfQ) = Tensor.scratch([rows, inner]) { base in
      for row in 0..<rows { (base + row * inner).update(from: a.value + row * columns, count: inner) }
    }
    try LAPACK.call("sorgqr", shape: matrix.shape) {
      LAPACKE_sorgqr(LAPACK_ROW_MAJOR, m, k, k, columnsOfQ.value, k, tau.value)
    }
    let (triangle, upper) = Tensor.scratch([inner, columns]) { $0.update(repeating: 0, count: inner * columns) }
    for row in 0..<inner {
      let diagonal = row * columns + row
      let sign: Float = a.value[diagonal] < 0 ? -1 : 1
      // Adding 0 makes −0 a 0.
      for column in row..<columns {
        upper.value[row * columns + column] = sign * a.value[row * columns + column] + 0
      }
      if sign < 0 { for place in 0..<rows { columnsOfQ.value[place * inner + row].negate() } }
    }
    withExtendedLifetime((factors, scales)) {}
    q = orthonormal
    r = triangle
  }
}
