/// A float32 array of any rank: row-major, contiguous, a value.
///
///     var x = Tensor(zeros: [2, 3])
///     x[1, 2] = 5
///     let y = x.reshaped(to: [3, 2])
///
/// Copying a tensor shares its storage until one of the copies is written to (copy-on-write), so passing tensors
/// between tasks copies nothing. Storage is recycled through ``TensorStorage``'s free lists: results of the same size
/// class do not go back to the operating system between calls.
///
/// A dimension may be 0; a tensor of rank 0 holds one scalar.
public struct Tensor: Sendable {
  /// The length of each axis, outermost first.
  public private(set) var shape: [Int]
  /// The number of scalars: the product of ``shape``.
  public let count: Int
  var storage: TensorStorage
  /// The operation that computed it, where gradients flow back through it.
  package internal(set) var source: GradientSource?

  /// Creates a tensor whose contents `initialize` writes, in row-major order.
  ///
  /// The memory that `initialize` receives is *not* zeroed: every element must be written.
  public init(
    uninitialized shape: [Int], initializingWith initialize: (UnsafeMutableBufferPointer<Float>) throws -> Void
  ) rethrows {
    self.count = Tensor.scalarCount(of: shape)
    self.shape = shape
    self.storage = TensorStorage(minimumCapacity: count)
    try initialize(UnsafeMutableBufferPointer(start: storage.base, count: count))
  }

  /// Creates a tensor of zeros.
  public init(zeros shape: [Int]) {
    self.init(repeating: 0, shape: shape)
  }

  /// Creates a tensor whose scalars are all `value`.
  public init(repeating value: Float, shape: [Int]) {
    self.init(uninitialized: shape) { $0.update(repeating: value) }
  }

  /// Creates a tensor from its scalars in row-major order.
  ///
  /// - Precondition: `scalars.count` is the product of `shape`.
  public init(_ scalars: some Collection<Float>, shape: [Int]) {
    let count = scalars.count
    require(
      Tensor.scalarCount(of: shape) == count, "Tensor: \(count) scalars do not fill the shape \(shape)")
    self.init(uninitialized: shape) { buffer in
      let (_, written) = buffer.initialize(from: scalars)
      require(written == count, "Tensor: the collection held fewer scalars than its count of \(count)")
    }
  }

  /// The number of axes.
  public var rank: Int { shape.count }

  /// The scalars in row-major order. O(count).
  public var scalars: [Float] { withUnsafeBufferPointer { Array($0) } }

  /// The same scalars under another shape of equal count. O(1): the storage is shared.
  ///
  /// - Precondition: the product of `newShape` is ``count``.
  public func reshaped(to newShape: [Int]) -> Tensor {
    require(
      Tensor.scalarCount(of: newShape) == count, "Tensor: cannot reshape \(shape) to \(newShape): the counts differ")
    var copy = self
    copy.shape = newShape
    guard source != nil else { return copy }
    let shape = shape
    return copy.derived(from: self) { $0.reshaped(to: shape) }
  }

  /// Calls `body` with the scalars in row-major order. The pointer must not outlive the call.
  @inlinable
  public func withUnsafeBufferPointer<Result>(
    _ body: (UnsafeBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    let storage = storageForReading
    defer { withExtendedLifetime(storage) {} }
    return try body(UnsafeBufferPointer(start: storage.base, count: count))
  }

  /// Calls `body` with the scalars for writing; copies them first if another tensor shares the storage.
  public mutating func withUnsafeMutableBufferPointer<Result>(
    _ body: (UnsafeMutableBufferPointer<Float>) throws -> Result
  ) rethrows -> Result {
    makeUnique()
    defer { withExtendedLifetime(storage) {} }
    return try body(UnsafeMutableBufferPointer(start: storage.base, count: count))
  }

  /// The scalar at one position, an index for each axis. O(rank).
  ///
  /// - Precondition: as many indices as axes, each inside its axis.
  public subscript(indices: Int...) -> Float {
    get { storage.base[offset(of: indices)] }
    set {
      let position = offset(of: indices)
      makeUnique()
      storage.base[position] = newValue
    }
  }

  /// The first scalar. The pointer is valid as long as this tensor or a copy of it lives and none is written to.
  package var unsafeBase: UnsafePointer<Float> { UnsafePointer(storage.base) }

  @usableFromInline var storageForReading: TensorStorage { storage }

  private mutating func makeUnique() {
    // What is written to is no longer what was computed.
    source = nil
    guard !isKnownUniquelyReferenced(&storage) else { return }
    let copy = TensorStorage(minimumCapacity: count)
    copy.base.update(from: storage.base, count: count)
    storage = copy
  }

  private func offset(of indices: [Int]) -> Int {
    require(indices.count == rank, "Tensor: \(indices.count) indices for the shape \(shape)")
    var position = 0
    for (index, length) in zip(indices, shape) {
      require(index >= 0 && index < length, "Tensor: the indices \(indices) lie outside the shape \(shape)")
      position = position * length + index
    }
    return position
  }

  /// The product of the dimensions, with a message that shows the shape when one is negative or the product overflows.
  package static func scalarCount(of shape: [Int]) -> Int {
    guard let count = checkedScalarCount(of: shape) else {
      fatalError("Tensor: the shape \(shape) has a negative dimension or more scalars than memory can hold")
    }
    return count
  }

  /// The product of the dimensions, or nil when one is negative or the bytes of that many floats overflow `Int`.
  package static func checkedScalarCount(of shape: [Int]) -> Int? {
    var count = 1
    for length in shape {
      guard length >= 0 else { return nil }
      let (product, overflow) = count.multipliedReportingOverflow(by: length)
      guard !overflow else { return nil }
      count = product
    }
    return count <= Int.max / MemoryLayout<Float>.stride ? count : nil
  }
}

extension Tensor: Equatable {
  /// Whether both tensors have the same shape and equal scalars, by IEEE comparison (NaN differs from itself). O(count).
  public static func == (left: Tensor, right: Tensor) -> Bool {
    guard left.shape == right.shape else { return false }
    return left.withUnsafeBufferPointer { a in right.withUnsafeBufferPointer { b in a.elementsEqual(b) } }
  }
}

extension Tensor: CustomStringConvertible {
  /// The shape, and the first scalars of a short tensor.
  public var description: String {
    let shown = withUnsafeBufferPointer { $0.prefix(8).map { "\($0)" }.joined(separator: ", ") }
    return "Tensor\(shape)(\(shown)\(count > 8 ? ", …" : ""))"
  }
}
