/// Why a matrix could not be decomposed: the LAPACK routine, what it answered, the matrix's shape, and what that means.
///
/// ``description`` is one line, meant for a person.
public struct DecompositionError: Error, Sendable, Equatable {
  /// What is wrong.
  public enum Reason: Sendable, Equatable {
    /// An element is NaN or infinite.
    case notFinite(row: Int, column: Int)
    /// An element and the one across the diagonal differ by more than the tolerance.
    case notSymmetric(row: Int, column: Int)
    /// The matrix, or what the routine needs beside it, has more elements than LAPACK's 32-bit integers count.
    case tooLarge
    /// The system has no memory for what the routine needs.
    case outOfMemory
    /// The routine refused its argument of this number, from 1; for the matrix itself, because of a NaN in it.
    case illegalArgument(Int)
    /// The iteration did not come to an end; the routine's documentation says what `info` counts.
    case didNotConverge
  }

  /// The LAPACK routine, such as "sgesdd".
  public let routine: String
  /// What it answered; 0 when it was not called.
  public let info: Int
  /// The shape of the matrix.
  public let shape: [Int]
  /// What is wrong.
  public let reason: Reason

  /// Creates an error from its parts.
  public init(routine: String, info: Int = 0, shape: [Int], reason: Reason) {
    self.routine = routine
    self.info = info
    self.shape = shape
    self.reason = reason
  }

  /// What a routine's answer means, or nil for 0, which is success.
  package init?(routine: String, info: Int, shape: [Int]) {
    guard info != 0 else { return nil }
    let reason: Reason =
      switch info {
      // LAPACK_WORK_MEMORY_ERROR and LAPACK_TRANSPOSE_MEMORY_ERROR.
      case -1010, -1011: .outOfMemory
      case ..<0: .illegalArgument(-info)
      default: .didNotConverge
      }
    self.init(routine: routine, info: info, shape: shape, reason: reason)
  }
}

extension DecompositionError: CustomStringConvertible {
  /// One line that names the routine, its answer, the shape, and what is wrong.
  public var description: String {
    let answer = info == 0 ? "not called" : "info \(info)"
    return "\(routine) (\(answer)) of a matrix \(shape): \(reason)"
  }
}

extension DecompositionError.Reason: CustomStringConvertible {
  /// A few words that say what is wrong.
  public var description: String {
    switch self {
    case .notFinite(let row, let column): "the element [\(row), \(column)] is NaN or infinite"
    case .notSymmetric(let row, let column):
      "the elements [\(row), \(column)] and [\(column), \(row)] differ by more than the tolerance"
    case .tooLarge: "it has more elements, or needs more memory, than 32-bit integers count"
    case .outOfMemory: "the system has no memory for it"
    case .illegalArgument(let number): "argument \(number) is illegal or holds a NaN"
    case .didNotConverge: "the iteration did not converge"
    }
  }
}
