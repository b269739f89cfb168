/// An .npy file, the format in which NumPy stores one array: open for reading.
///
///     let ids = try NumPyFile(path: "ids.npy").integers()
///     try NumPyFile.write(.float32(result), to: "result.npy")
///
/// Versions 1.0, 2.0 and 3.0 are read. Opening checks the header and that the data are exactly as long as it says. The
/// header is parsed as the literal that it is and never evaluated. An array in column-major (Fortran) order is
/// converted to row-major when it is read. Any number of tasks may read from one file at once.
public struct NumPyFile: Sendable {
  /// The path that the file was opened under.
  public var path: String { source.name }
  /// The type of the elements.
  public var type: NumPyType { header.type }
  /// The length of each axis, outermost first.
  public var shape: [Int] { header.shape }
  /// Whether the file holds the elements with the first axis running fastest. What is read is row-major regardless.
  public var isColumnMajor: Bool { header.isColumnMajor }

  private let source: any ByteSource
  private let header: NumPyHeader

  /// Opens a file and checks its header.
  public init(path: String) throws(TensorFileError) {
    try self.init(source: FileSource(path: path))
  }

  /// Opens a file that lies in memory, for tests.
  package init(bytes: [UInt8], name: String) throws(TensorFileError) {
    try self.init(source: MemorySource(name: name, bytes: bytes))
  }

  private init(source: some ByteSource) throws(TensorFileError) {
    header = try NumPyHeader(of: source)
    self.source = source
  }

  /// The array of `<f4`, or of `<f2` widened, which is exact. Any other element type is an error.
  public func tensor() throws(TensorFileError) -> Tensor {
    try tensor(rounding: false)
  }

  /// The array of any float or integer type, each element rounded to the nearest float32.
  public func tensorRoundedToFloat32() throws(TensorFileError) -> Tensor {
    try tensor(rounding: true)
  }

  /// The array of `|b1`; a byte other than 0 and 1 is an error, and so is any other element type.
  public func booleanTensor() throws(TensorFileError) -> BooleanTensor {
    BooleanTensor(
      try rowMajorElements { (buffer) throws(TensorFileError) in try elements.readBooleans(into: buffer) },
      shape: shape)
  }

  /// The shape and the elements, row-major, of an array of integers of any width.
  public func integers() throws(TensorFileError) -> (shape: [Int], values: [Int]) {
    (shape, try rowMajorElements { (buffer) throws(TensorFileError) in try elements.readIntegers(into: buffer) })
  }

  /// The shape and the elements, row-major, of an array of `<f8`.
  public func doubles() throws(TensorFileError) -> (shape: [Int], values: [Double]) {
    (shape, try rowMajorElements { (buffer) throws(TensorFileError) in try elements.readDoubles(into: buffer) })
  }

  private var elements: StoredElements {
    StoredElements(
      source: source, tensor: nil, position: header.dataStart, count: header.count, format: type.format,
      formatName: type.rawValue)
  }

  private func tensor(rounding: Bool) throws(TensorFileError) -> Tensor {
    guard isColumnMajor else { return try elements.tensor(shape: shape, rounding: rounding) }
    let stored: [Float] = try elements.array { (buffer) throws(TensorFileError) in
      try elements.readFloats(into: buffer, rounding: rounding)
    }
    try elements.requireMemory(stride: MemoryLayout<Float>.stride)
    return Tensor(uninitialized: shape) { buffer in
      stored.withUnsafeBufferPointer { copyToRowMajor($0, shape: shape, into: buffer) }
    }
  }

  private func rowMajorElements<Element: BitwiseCopyable>(
    _ read: (UnsafeMutableBufferPointer<Element>) throws(TensorFileError) -> Void
  ) throws(TensorFileError) -> [Element] {
    let stored = try elements.array(read)
    guard isColumnMajor, !stored.isEmpty else { return stored }
    try elements.requireMemory(stride: MemoryLayout<Element>.stride)
    return [Element](unsafeUninitializedCapacity: stored.count) { buffer, count in
      let target = UnsafeMutableBufferPointer(rebasing: buffer[..<stored.count])
      stored.withUnsafeBufferPointer { copyToRowMajor($0, shape: shape, into: target) }
      count = stored.count
    }
  }
}
