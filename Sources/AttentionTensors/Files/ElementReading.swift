#if _endian(big)
  #error("The tensor files are little-endian, and so must be the machine.")
#endif

/// How the elements of a tensor are stored in a file, as far as this package converts them.
enum ElementFormat: Sendable {
  case boolean
  case signed8, unsigned8, signed16, unsigned16, signed32, unsigned32, signed64, unsigned64
  case half, brainFloat, float32, float64

  /// The number of bytes of an element.
  var byteCount: Int {
    switch self {
    case .boolean, .signed8, .unsigned8: 1
    case .signed16, .unsigned16, .half, .brainFloat: 2
    case .signed32, .unsigned32, .float32: 4
    case .signed64, .unsigned64, .float64: 8
    }
  }
}

/// Elements that lie one after the other in a source, and the ways to read them.
struct StoredElements {
  let source: any ByteSource
  /// The tensor that errors name, if the format names its tensors.
  let tensor: String?
  /// The position of the first byte in the source.
  let position: Int
  let count: Int
  let format: ElementFormat
  /// What error messages call the format.
  let formatName: String

  /// Some of them.
  func part(_ range: Range<Int>) -> StoredElements {
    StoredElements(
      source: source, tensor: tensor, position: position + range.lowerBound * format.byteCount, count: range.count,
      format: format, formatName: formatName)
  }

  private func failure(_ reason: TensorFileError.Reason) -> TensorFileError {
    TensorFileError(file: source.name, tensor: tensor, reason: reason)
  }

  /// Checks that the elements fit in memory once they are `stride` bytes each.
  func requireMemory(stride: Int) throws(TensorFileError) {
    let (bytes, overflow) = count.multipliedReportingOverflow(by: stride)
    guard !overflow else { throw failure(.notEnoughMemory(bytes: .max)) }
    try source.requireMemory(forBytes: bytes, tensor: tensor)
  }

  /// Fills `buffer` with floats: the widths of 32 bits and less exactly; the wider ones only if `rounding` allows it.
  func readFloats(into buffer: UnsafeMutableBufferPointer<Float>, rounding: Bool) throws(TensorFileError) {
    switch format {
    case .float32: try readInPlace(UnsafeMutableRawBufferPointer(buffer))
    case .half: try readConverted(into: buffer) { (bits: UInt16, _) in float(fromHalf: bits) }
    case .brainFloat: try readConverted(into: buffer) { (bits: UInt16, _) in float(fromBrainFloat: bits) }
    case .float64 where rounding: try readConverted(into: buffer) { (value: Double, _) in Float(value) }
    case .signed8 where rounding: try readConverted(into: buffer) { (value: Int8, _) in Float(value) }
    case .unsigned8 where rounding: try readConverted(into: buffer) { (value: UInt8, _) in Float(value) }
    case .signed16 where rounding: try readConverted(into: buffer) { (value: Int16, _) in Float(value) }
    case .unsigned16 where rounding: try readConverted(into: buffer) { (value: UInt16, _) in Float(value) }
    case .signed32 where rounding: try readConverted(into: buffer) { (value: Int32, _) in Float(value) }
    case .unsigned32 where rounding: try readConverted(into: buffer) { (value: UInt32, _) in Float(value) }
    case .signed64 where rounding: try readConverted(into: buffer) { (value: Int64, _) in Float(value) }
    case .unsigned64 where rounding: try readConverted(into: buffer) { (value: UInt64, _) in Float(value) }
    default:
      throw failure(.wrongType(found: formatName, expected: rounding ? "a number" : "a float of 16 or 32 bits"))
    }
  }

  /// Fills `buffer` with doubles, from float64 elements only.
  func readDoubles(into buffer: UnsafeMutableBufferPointer<Double>) throws(TensorFileError) {
    guard case .float64 = format else { throw failure(.wrongType(found: formatName, expected: "a float of 64 bits")) }
    try readInPlace(UnsafeMutableRawBufferPointer(buffer))
  }

  /// Fills `buffer` with integers, from integers of any width.
  func readIntegers(into buffer: UnsafeMutableBufferPointer<Int>) throws(TensorFileError) {
    switch format {
    case .signed8: try readConverted(into: buffer) { (value: Int8, _) in Int(value) }
    case .unsigned8: try readConverted(into: buffer) { (value: UInt8, _) in Int(value) }
    case .signed16: try readConverted(into: buffer) { (value: Int16, _) in Int(value) }
    case .unsigned16: try readConverted(into: buffer) { (value: UInt16, _) in Int(value) }
    case .signed32: try readConverted(into: buffer) { (value: Int32, _) in Int(value) }
    case .unsigned32: try readConverted(into: buffer) { (value: UInt32, _) in Int(value) }
    case .signed64: try readInPlace(UnsafeMutableRawBufferPointer(buffer))
    case .unsigned64:
      try readConverted(into: buffer) { (value: UInt64, index) throws(TensorFileError) in
        guard let integer = Int(exactly: value) else { throw failure(.integerOutOfRange(index: index)) }
        return integer
      }
    default: throw failure(.wrongType(found: formatName, expected: "an integer"))
    }
  }

  /// Fills `buffer` with truth values; a byte other than 0 and 1 is an error.
  func readBooleans(into buffer: UnsafeMutableBufferPointer<Bool>) throws(TensorFileError) {
    guard case .boolean = format else { throw failure(.wrongType(found: formatName, expected: "a truth value")) }
    try readConverted(into: buffer) { (byte: UInt8, index) throws(TensorFileError) in
      guard byte <= 1 else { throw failure(.invalidBoolean(byte: byte, index: index)) }
      return byte == 1
    }
  }

  /// Reads the elements as they are into the place where they are used.
  private func readInPlace(_ buffer: UnsafeMutableRawBufferPointer) throws(TensorFileError) {
    do throws(TensorFileError) {
      try source.read(into: buffer, at: position)
    } catch {
      throw failure(error.reason)
    }
  }

  /// Reads the elements in pieces that stay in the cache, and converts each; `convert` receives its index as well.
  private func readConverted<Stored: BitwiseCopyable, Element: BitwiseCopyable>(
    into buffer: UnsafeMutableBufferPointer<Element>,
    _ convert: (Stored, Int) throws(TensorFileError) -> Element
  ) throws(TensorFileError) {
    guard count > 0 else { return }
    let pieceLength = min(count, 1 << 15)
    let piece = UnsafeMutableBufferPointer<Stored>.allocate(capacity: pieceLength)
    defer { piece.deallocate() }
    var done = 0
    while done < count {
      let length = min(pieceLength, count - done)
      do throws(TensorFileError) {
        try source.read(
          into: UnsafeMutableRawBufferPointer(start: piece.baseAddress, count: length * MemoryLayout<Stored>.stride),
          at: position + done * MemoryLayout<Stored>.stride)
      } catch {
        throw failure(error.reason)
      }
      for index in 0..<length { buffer[done + index] = try convert(piece[index], done + index) }
      done += length
    }
  }
}

extension StoredElements {
  /// A tensor of the elements, in the order of the file.
  func tensor(shape: [Int], rounding: Bool) throws(TensorFileError) -> Tensor {
    try requireMemory(stride: MemoryLayout<Float>.stride)
    var failure: TensorFileError?
    let tensor = Tensor(uninitialized: shape) { buffer in
      do throws(TensorFileError) { try readFloats(into: buffer, rounding: rounding) } catch { failure = error }
    }
    if let failure { throw failure }
    return tensor
  }

  /// An array of the elements, in the order of the file, that `read` fills.
  func array<Element: BitwiseCopyable>(
    _ read: (UnsafeMutableBufferPointer<Element>) throws(TensorFileError) -> Void
  ) throws(TensorFileError) -> [Element] {
    try requireMemory(stride: MemoryLayout<Element>.stride)
    // All empty arrays share one object, whose count the initializer would write to.
    guard count > 0 else { return [] }
    var failure: TensorFileError?
    let elements = [Element](unsafeUninitializedCapacity: count) { buffer, initialized in
      do throws(TensorFileError) {
        try read(UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
        initialized = count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return elements
  }
}
