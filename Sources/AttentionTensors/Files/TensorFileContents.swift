/// What is written for one tensor: its shape and its elements in row-major order.
public enum TensorFileContents: Sendable, Equatable {
  /// Floats of 32 bits.
  case float32(Tensor)
  /// Truth values.
  case boolean(BooleanTensor)
  /// Floats of 64 bits; as many as the shape asks for.
  case float64(shape: [Int], values: [Double])
  /// Signed integers of 64 bits; as many as the shape asks for.
  case signed64(shape: [Int], values: [Int])

  /// The length of each axis, outermost first.
  public var shape: [Int] {
    switch self {
    case .float32(let tensor): tensor.shape
    case .boolean(let tensor): tensor.shape
    case .float64(let shape, _): shape
    case .signed64(let shape, _): shape
    }
  }

  /// The number of bytes of the elements as they are.
  var byteCount: Int { withUnsafeBytes { $0.count } }

  /// Calls `body` with the bytes of the elements as they are.
  func withUnsafeBytes<Result, Failure: Error>(
    _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    // The elements' own methods rethrow untyped errors, so the result travels as a value.
    func attempt(_ bytes: UnsafeRawBufferPointer) -> Swift.Result<Result, Failure> {
      do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    let result =
      switch self {
      case .float32(let tensor): tensor.withUnsafeBufferPointer { attempt(UnsafeRawBufferPointer($0)) }
      case .boolean(let tensor): tensor.cells.withUnsafeBytes { attempt($0) }
      case .float64(_, let values): values.withUnsafeBytes { attempt($0) }
      case .signed64(_, let values): values.withUnsafeBytes { attempt($0) }
      }
    return try result.get()
  }

  /// Throws when the shape of an array does not fit its elements.
  func check(file: String, tensor: String?) throws(TensorFileError) {
    let found: Int
    switch self {
    case .float32, .boolean: return
    case .float64(_, let values): found = values.count
    case .signed64(_, let values): found = values.count
    }
    guard shape.allSatisfy({ $0 >= 0 }) else { throw TensorFileError(file: file, tensor: tensor, reason: .badShape) }
    guard let count = Tensor.checkedScalarCount(of: shape), count <= Int.max / 8 else {
      throw TensorFileError(file: file, tensor: tensor, reason: .sizeOverflow(shape: shape))
    }
    guard count == found else {
      throw TensorFileError(file: file, tensor: tensor, reason: .sizeMismatch(expected: count * 8, found: found * 8))
    }
  }
}
