extension NumPyFile {
  /// Writes an .npy file in row-major order, version 1.0 (2.0 when the header is too long for that), its data at a
  /// multiple of 64 bytes.
  ///
  /// The file appears under `path` whole or not at all: it is written under a temporary name in the same folder,
  /// flushed to the disk and renamed. A file that was there is replaced.
  ///
  /// - Parameters:
  ///   - contents: The array.
  ///   - type: The element type in the file; the type of the contents unless given. Two types narrow:
  ///     `.float16` rounds floats of 32 bits to the nearest float of 16, ties to even, those from 65520 on to infinity;
  ///     `.signed32` takes integers that fit into 32 bits, and throws for others. Every other change of type throws.
  ///   - path: The file.
  public static func write(
    _ contents: TensorFileContents, as type: NumPyType? = nil, to path: String
  ) throws(TensorFileError) {
    let type = type ?? contents.numPyType
    try contents.check(file: path, tensor: nil)
    let header = try NumPyHeader.serialized(type: type, shape: contents.shape, file: path)

    switch (contents, type) {
    case (_, contents.numPyType):
      var writer = try AtomicFileWriter(path: path)
      try writer.write(header)
      try contents.withUnsafeBytes { (bytes) throws(TensorFileError) in try writer.write(bytes) }
      try writer.commit()
    case (.float32(let tensor), .float16):
      try write(header, tensor.withUnsafeBufferPointer { $0.map(half(fromFloat:)) }, to: path)
    case (.signed64(_, let values), .signed32):
      var narrowed: [Int32] = []
      narrowed.reserveCapacity(values.count)
      for (index, value) in values.enumerated() {
        guard let value = Int32(exactly: value) else {
          throw TensorFileError(file: path, reason: .integerOutOfRange(index: index))
        }
        narrowed.append(value)
      }
      try write(header, narrowed, to: path)
    default:
      throw TensorFileError(
        file: path, reason: .wrongType(found: contents.numPyType.rawValue, expected: type.rawValue))
    }
  }

  private static func write(
    _ header: [UInt8], _ elements: [some BitwiseCopyable], to path: String
  ) throws(TensorFileError) {
    var writer = try AtomicFileWriter(path: path)
    try writer.write(header)
    try writer.write(elements)
    try writer.commit()
  }
}

extension TensorFileContents {
  /// The element type under which an .npy file holds the contents as they are.
  fileprivate var numPyType: NumPyType {
    switch self {
    case .float32: .float32
    case .boolean: .boolean
    case .float64: .float64
    case .signed64: .signed64
    }
  }
}
