import CLAPACKE
import COpenBLAS

/// Calls of the C libraries, apart from the tests: their headers and the test macros do not go together in one file.
enum SystemLibraries {
  static var openBLASThreads: Int { Int(openblas_get_num_threads()) }

  static func setOpenBLASThreads(_ count: Int32) { openblas_set_num_threads(count) }

  /// The factors Q and R of a square matrix by LAPACKE, or nil when it reports an error.
  static func factorise(_ matrix: [Float], order: Int) -> (orthogonal: [Float], upper: [Float])? {
    var factors = [Float](repeating: 0, count: order)
    var orthogonal = matrix
    let size = Int32(order)
    guard LAPACKE_sgeqrf(LAPACK_ROW_MAJOR, size, size, &orthogonal, size, &factors) == 0 else { return nil }
    let upper = matrix.indices.map { $0 % order >= $0 / order ? orthogonal[$0] : 0 }
    guard LAPACKE_sorgqr(LAPACK_ROW_MAJOR, size, size, size, &orthogonal, size, &factors) == 0 else { return nil }
    return (orthogonal, upper)
  }
}
