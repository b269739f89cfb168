import AttentionTensors
import CLAPACKE

/// The thin singular value decomposition of a matrix: M = U · diag(s) · Vᵀ.
///
/// Divide and conquer (LAPACK's sgesdd); where that does not converge, QR iteration (sgesvd), which is slower and more
/// patient. The sign of a pair of vectors is the routine's. O(m · n · min(m, n)).
public struct SingularValueDecomposition: Sendable {
  /// U, `[m, k]` with k = min(m, n): orthonormal columns.
  public let leftVectors: Tensor
  /// s: k values, the largest first.
  public let singularValues: SingularValues
  /// Vᵀ, `[k, n]`: orthonormal rows, one right singular vector each.
  public let rightVectorsTransposed: Tensor

  /// Decomposes a matrix `[m, n]`, either of which may be 0.
  ///
  /// - Throws: ``DecompositionError`` when an element is not finite, the matrix is too large, or neither routine
  ///   converges.
  /// - Precondition: the tensor is a matrix.
  public init(of matrix: Tensor) throws(DecompositionError) {
    do {
      try self.init(of: matrix, by: .divideAndConquer)
    } catch  where error.reason == .didNotConverge {
      try self.init(of: matrix, by: .iteration)
    }
  }

  /// The ways to the decomposition.
  package enum Algorithm: String, Sendable, CaseIterable {
    case divideAndConquer = "sgesdd"
    case iteration = "sgesvd"
  }

  package init(of matrix: Tensor, by algorithm: Algorithm) throws(DecompositionError) {
    try SingularValueDecomposition.check(matrix, for: algorithm)
    let (rows, columns) = (matrix.shape[0], matrix.shape[1])
    let inner = min(rows, columns)
    let (left, u) = Tensor.scratch([rows, inner])
    let (right, vt) = Tensor.scratch([inner, columns])
    singularValues = try SingularValueDecomposition.run(matrix, algorithm, vectors: (u, vt))
    leftVectors = left
    rightVectorsTransposed = right
  }

  static func singularValues(of matrix: Tensor) throws(DecompositionError) -> SingularValues {
    try check(matrix, for: .divideAndConquer)
    do {
      return try run(matrix, .divideAndConquer, vectors: nil)
    } catch  where error.reason == .didNotConverge {
      return try run(matrix, .iteration, vectors: nil)
    }
  }

  static func check(_ matrix: Tensor, for algorithm: Algorithm) throws(DecompositionError) {
    // Four squares of the short side at the most, and blocks of the long one.
    try LAPACK.check(matrix, for: algorithm.rawValue) {
      max($0 * $1, 4 * min($0, $1) * min($0, $1) + 128 * ($0 + $1))
    }
  }

  private typealias Place = Unchecked<UnsafeMutablePointer<Float>>

  private static func run(
    _ matrix: Tensor, _ algorithm: Algorithm, vectors: (left: Place, right: Place)?
  ) throws(DecompositionError) -> SingularValues {
    let (rows, columns) = (matrix.shape[0], matrix.shape[1])
    let inner = min(rows, columns)
    guard inner > 0 else { return SingularValues(values: [], shape: matrix.shape) }
    let (m, n, k) = (Int32(rows), Int32(columns), Int32(inner))
    let (work, a) = Tensor.scratch(copying: matrix)
    let (values, s) = Tensor.scratch([inner])
    let (superdiagonal, rest) = Tensor.scratch([inner])
    let job = CChar(bitPattern: UInt8(ascii: vectors == nil ? "N" : "S"))
    let (u, vt) = (vectors?.left, vectors?.right)
    try LAPACK.call(algorithm.rawValue, shape: matrix.shape) {
      switch algorithm {
      case .divideAndConquer:
        LAPACKE_sgesdd(LAPACK_ROW_MAJOR, job, m, n, a.value, n, s.value, u?.value, k, vt?.value, n)
      case .iteration:
        LAPACKE_sgesvd(LAPACK_ROW_MAJOR, job, job, m, n, a.value, n, s.value, u?.value, k, vt?.value, n, rest.value)
      }
    }
    withExtendedLifetime((work, superdiagonal)) {}
    return SingularValues(values: values.scalars, shape: matrix.shape)
  }
}
