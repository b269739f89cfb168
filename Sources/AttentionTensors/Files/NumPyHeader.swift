/// The validated header of an .npy file.
struct NumPyHeader: Sendable {
  /// The first bytes of every file of the format.
  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  /// The longest header that is read or written, in bytes. NumPy itself stops far below that.
  static let lengthLimit = 1 << 20
  /// The data begin at a multiple of this many bytes, in files that this package writes.
  static let alignment = 64

  let type: NumPyType
  let shape: [Int]
  let isColumnMajor: Bool
  let count: Int
  let dataStart: Int

  /// Reads and checks the header of a source, and that the data fill the rest of the source.
  init(of source: some ByteSource) throws(TensorFileError) {
    func failure(_ reason: TensorFileError.Reason) -> TensorFileError {
      TensorFileError(file: source.name, reason: reason)
    }
    func requireSize(_ size: Int) throws(TensorFileError) {
      guard source.size >= size else { throw failure(.truncated(needed: size, found: source.size)) }
    }

    let versionEnd = Self.magic.count + 2
    try requireSize(versionEnd)
    let prefix = try source.bytes(in: 0..<versionEnd)
    guard prefix.starts(with: Self.magic) else { throw failure(.notThisFormat(expected: "an .npy file")) }
    let version = (major: prefix[versionEnd - 2], minor: prefix[versionEnd - 1])
    guard (1...3).contains(version.major), version.minor == 0 else {
      throw failure(.unsupportedVersion(major: version.major, minor: version.minor))
    }

    let headerStart = versionEnd + (version.major == 1 ? 2 : 4)
    try requireSize(headerStart)
    let length = try source.bytes(in: versionEnd..<headerStart).reversed().reduce(0) { $0 << 8 | Int($1) }
    guard length > 0, length <= Self.lengthLimit else {
      throw failure(.headerLengthOutOfRange(length: UInt64(length), limit: Self.lengthLimit))
    }
    dataStart = headerStart + length
    try requireSize(dataStart)

    let header = try source.bytes(in: headerStart..<dataStart)
    if version.major == 3, let invalid = header.withUnsafeBufferPointer({ firstInvalidUTF8(in: $0) }) {
      throw failure(.invalidUTF8(byte: headerStart + invalid))
    }
    let literal = try NumPyLiteral(header, at: headerStart, file: source.name)
    guard let type = NumPyType(rawValue: literal.typeName) else {
      throw failure(NumPyType.refusal(of: literal.typeName))
    }
    self.type = type
    shape = literal.shape
    isColumnMajor = literal.isColumnMajor

    guard let count = Tensor.checkedScalarCount(of: shape) else { throw failure(.sizeOverflow(shape: shape)) }
    let (size, overflow) = count.multipliedReportingOverflow(by: type.format.byteCount)
    let (end, carry) = dataStart.addingReportingOverflow(size)
    guard !overflow, !carry else { throw failure(.sizeOverflow(shape: shape)) }
    self.count = count
    try requireSize(end)
    guard end == source.size else { throw failure(.trailingBytes(count: source.size - end)) }
  }

  /// The bytes of a file in front of its data: version 1.0, or 2.0 when the header is too long for that.
  ///
  /// - Parameter count: as many bytes at the least, a multiple of ``alignment``.
  static func serialized(
    type: NumPyType, shape: [Int], atLeast count: Int = 0, file: String
  ) throws(TensorFileError) -> [UInt8] {
    // One axis still needs its comma to be a tuple.
    let tuple = shape.count == 1 ? "(\(shape[0]),)" : "(\(shape.map(String.init).joined(separator: ", ")))"
    let literal = Array("{'descr': '\(type.rawValue)', 'fortran_order': False, 'shape': \(tuple), }".utf8)

    func paddedLength(lengthFieldSize: Int) -> Int {
      let fixed = magic.count + 2 + lengthFieldSize
      return max(count, (fixed + literal.count + 1 + alignment - 1) / alignment * alignment) - fixed
    }
    let isShort = paddedLength(lengthFieldSize: 2) <= Int(UInt16.max)
    let lengthFieldSize = isShort ? 2 : 4
    let length = paddedLength(lengthFieldSize: lengthFieldSize)
    guard length <= lengthLimit else {
      throw TensorFileError(
        file: file, reason: .headerLengthOutOfRange(length: UInt64(length), limit: lengthLimit))
    }
    var bytes = magic + [isShort ? 1 : 2, 0]
    bytes += (0..<lengthFieldSize).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) }
    bytes += literal
    bytes += repeatElement(UInt8(ascii: " "), count: length - literal.count - 1)
    bytes.append(UInt8(ascii: "\n"))
    return bytes
  }
}
