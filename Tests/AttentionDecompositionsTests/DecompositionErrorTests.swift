import Attention
import AttentionDecompositions
import AttentionTestSupport
import Testing

@Suite struct DecompositionErrorTests {
  /// What decomposes a matrix, by its routine's name.
  enum Routine: String, CaseIterable {
    case sgeqrf, sgesdd, ssyevd, principal

    func run(_ matrix: Tensor) throws(DecompositionError) {
      switch self {
      case .sgeqrf: _ = try QRDecomposition(of: matrix)
      case .sgesdd: _ = try SingularValueDecomposition(of: matrix)
      case .ssyevd: _ = try SymmetricEigendecomposition(of: matrix)
      case .principal: _ = try PrincipalComponents(of: matrix)
      }
    }

    var name: String { self == .principal ? "sgesdd" : rawValue }
  }

  @Test(arguments: Routine.allCases, [Float.nan, .infinity, -.infinity])
  func elementsThatAreNotFinite(_ routine: Routine, _ value: Float) {
    var matrix = Matrices.hilbert(5)
    matrix[3, 2] = value
    let error = #expect(throws: DecompositionError.self) { try routine.run(matrix) }
    #expect(
      error
        == DecompositionError(routine: routine.name, shape: [5, 5], reason: .notFinite(row: 3, column: 2)))
    #expect(
      error?.description
        == "\(routine.name) (not called) of a matrix [5, 5]: the element [3, 2] is NaN or infinite")
  }

  /// Answers of routines, of which most cannot be provoked.
  @Test func answers() {
    func error(_ info: Int) -> DecompositionError? {
      DecompositionError(routine: "sgesdd", info: info, shape: [7, 3])
    }
    #expect(error(0) == nil)
    #expect(
      error(-5)?.description == "sgesdd (info -5) of a matrix [7, 3]: argument 5 is illegal or holds a NaN")
    #expect(error(-1010)?.reason == .outOfMemory && error(-1011)?.reason == .outOfMemory)
    #expect(error(2)?.description == "sgesdd (info 2) of a matrix [7, 3]: the iteration did not converge")
  }

  /// Extents of an empty tensor may be past what LAPACK's integers hold.
  @Test func tooLarge() {
    let error = #expect(throws: DecompositionError.self) {
      _ = try QRDecomposition(of: Tensor(zeros: [1 << 31, 0]))
    }
    #expect(error?.reason == .tooLarge && error?.info == 0)
  }

  @Test(arguments: [[4], [2, 2, 2]]) func otherRanks(_ shape: [Int]) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [shape] in
      _ = try QRDecomposition(of: Tensor(zeros: shape))
    }
    #expect(message(result).contains("\(shape) is no matrix"))
  }

  @Test func eigenvaluesOfNoSquare() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try SymmetricEigendecomposition(of: Tensor(zeros: [2, 3]))
    }
    #expect(message(result).contains("[2, 3] is no square matrix"))
  }

  /// Tasks that decompose beside tasks that multiply: the same bits as alone.
  @Test func concurrentCallers() async throws {
    let matrix = Matrices.normal([90, 60])
    let alone = try SingularValueDecomposition(of: matrix)
    let triangle = try QRDecomposition(of: matrix).r
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<16 {
        group.addTask {
          index.isMultiple(of: 2)
            ? try SingularValueDecomposition(of: matrix).leftVectors == alone.leftVectors
            : try QRDecomposition(of: matrix).r == triangle
        }
      }
      for try await isEqual in group { #expect(isEqual) }
    }
  }
}
