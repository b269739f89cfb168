import AttentionTensors

/// How LAPACK is called here.
///
/// LAPACK calls BLAS, which only the engine's threads may enter (``AttentionTensors/OpenBLAS`` says why): so every call is
/// a job of one part, which runs in place.
enum LAPACK {
  /// Runs a routine, and throws what its answer means.
  static func call(
    _ routine: String, shape: [Int], _ body: @Sendable () -> Int32
  ) throws(DecompositionError) {
    var info: Int32 = 0
    withUnsafeMutablePointer(to: &info) { pointer in
      let answer = Unchecked(pointer)
      WorkerPool.shared.forEach(1, inline: true) { _ in
        OpenBLAS.takingTurns { answer.value.pointee = body() }
      }
    }
    if let error = DecompositionError(routine: routine, info: Int(info), shape: shape) { throw error }
  }

  /// Checks what a routine does not check itself, or answers by ending the process or by never ending.
  ///
  /// - Parameter workspace: the scalars that the routine asks for, which it counts in 32-bit integers.
  /// - Precondition: the tensor is a matrix.
  static func check(
    _ matrix: Tensor, for routine: String, workspace: (_ rows: Double, _ columns: Double) -> Double
  ) throws(DecompositionError) {
    require(matrix.rank == 2, "\(routine): a tensor of shape \(matrix.shape) is no matrix [rows, columns]")
    let (rows, columns) = (matrix.shape[0], matrix.shape[1])
    let limit = Double(Int32.max)
    guard
      Double(rows) <= limit, Double(columns) <= limit, workspace(Double(rows), Double(columns)) <= limit
    else { throw DecompositionError(routine: routine, shape: matrix.shape, reason: .tooLarge) }
    let wrong = matrix.withUnsafeBufferPointer { $0.firstIndex { !$0.isFinite } }
    if let wrong {
      let (row, column) = wrong.quotientAndRemainder(dividingBy: columns)
      throw DecompositionError(routine: routine, shape: matrix.shape, reason: .notFinite(row: row, column: column))
    }
  }
}

extension Tensor {
  /// The scalars for a routine to work in.
  ///
  /// - Returns: a copy that nobody else holds, and a pointer to it, which is valid as long as the copy lives unchanged.
  static func scratch(copying matrix: Tensor) -> (tensor: Tensor, base: Unchecked<UnsafeMutablePointer<Float>>) {
    scratch(matrix.shape) { $0.update(from: matrix.unsafeBase, count: matrix.count) }
  }

  /// A new tensor for a routine to write, and a pointer to it, which is valid as long as the tensor lives unchanged.
  static func scratch(
    _ shape: [Int], _ fill: (UnsafeMutablePointer<Float>) -> Void = { _ in }
  ) -> (tensor: Tensor, base: Unchecked<UnsafeMutablePointer<Float>>) {
    var base: UnsafeMutablePointer<Float>?
    let tensor = Tensor(uninitialized: shape) { buffer in
      base = buffer.baseAddress
      fill(buffer.baseAddress!)
    }
    return (tensor, Unchecked(base!))
  }
}
