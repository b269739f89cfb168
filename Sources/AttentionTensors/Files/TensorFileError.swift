#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Why a file of tensors could not be read or written: the file, the tensor in it if one is concerned, and the reason.
///
/// ``description`` is one line, meant for a person.
public struct TensorFileError: Error, Sendable, Equatable {
  /// The path of the file, as it was given.
  public let file: String
  /// The tensor concerned, if the reason concerns one.
  public let tensor: String?
  /// What is wrong.
  public let reason: Reason

  /// Creates an error from its parts.
  public init(file: String, tensor: String? = nil, reason: Reason) {
    self.file = file
    self.tensor = tensor
    self.reason = reason
  }

  /// What is wrong with a file. Positions count bytes from the beginning of the file, unless said otherwise.
  public enum Reason: Sendable, Equatable {
    /// The system refused to open the file; the payload is its `errno`.
    case cannotOpen(code: Int32)
    /// The system refused to read the file; the payload is its `errno`.
    case cannotRead(code: Int32)
    /// The system refused to write the file; the payload is its `errno`.
    case cannotWrite(code: Int32)
    /// The path is empty or holds a NUL character.
    case invalidPath
    /// The path leads to a folder, a pipe, a device or a socket.
    case notARegularFile
    /// The system has not this much memory.
    case notEnoughMemory(bytes: Int)

    /// The file ends before the byte that its contents promise.
    case truncated(needed: Int, found: Int)
    /// Bytes follow the last byte that the contents account for.
    case trailingBytes(count: Int)
    /// The file does not begin with the bytes that mark its format.
    case notThisFormat(expected: String)
    /// The version of the format is unknown.
    case unsupportedVersion(major: UInt8, minor: UInt8)
    /// The header's length is 0 or over the limit.
    case headerLengthOutOfRange(length: UInt64, limit: Int)
    /// The header is not UTF-8 from this byte on.
    case invalidUTF8(byte: Int)
    /// The header is not JSON from this byte on.
    case invalidJSON(byte: Int, problem: String)
    /// The header is JSON, but not what the format asks for.
    case invalidHeader(problem: String)
    /// The header of an .npy file is not the literal that the format asks for, from this byte on.
    case invalidLiteral(byte: Int, problem: String)
    /// A key occurs twice in one object.
    case duplicateKey(String)
    /// A key that the format asks for is missing.
    case missingKey(String)

    /// No tensor has this name.
    case missingTensor
    /// Two tensors that are to be written have this name.
    case duplicateName
    /// The name is set aside by the format.
    case reservedName
    /// The element type is not one that the format defines.
    case unknownType(String)
    /// The element type is defined, and this package does not read or write it.
    case unsupportedType(String)
    /// The element type is big-endian, which this package does not read.
    case bigEndian(String)
    /// The tensor holds one element type, and the caller asked for another.
    case wrongType(found: String, expected: String)
    /// The shape is not a list of whole numbers, 0 or more.
    case badShape
    /// The shape's product or its size in bytes is over what an integer holds.
    case sizeOverflow(shape: [Int])
    /// The elements do not fill whole bytes.
    case partialByte(bits: Int)
    /// The byte range is not a pair of whole numbers in order.
    case badRange
    /// The byte range is not as long as shape and element type make it.
    case sizeMismatch(expected: Int, found: Int)
    /// The tensor begins before the one in front of it ends; the position counts from the beginning of the data.
    case overlap(byte: Int)
    /// No tensor owns the bytes from this one on; the position counts from the beginning of the data.
    case hole(byte: Int)
    /// A truth value is stored as a byte other than 0 and 1.
    case invalidBoolean(byte: UInt8, index: Int)
    /// An integer does not fit the type that is asked for.
    case integerOutOfRange(index: Int)
  }
}

extension TensorFileError: CustomStringConvertible {
  /// One line that names the file, the tensor if there is one, and what is wrong.
  public var description: String {
    let place = tensor.map { ": tensor \(quotedForMessage($0))" } ?? ""
    return "\(quotedForMessage(file))\(place): \(reason)"
  }
}

extension TensorFileError.Reason: CustomStringConvertible {
  /// One line that says what is wrong.
  public var description: String {
    switch self {
    case .cannotOpen(let code): "cannot be opened: \(systemMessage(code))"
    case .cannotRead(let code): "cannot be read: \(systemMessage(code))"
    case .cannotWrite(let code): "cannot be written: \(systemMessage(code))"
    case .invalidPath: "a path must not be empty or hold a NUL character"
    case .notARegularFile: "not a regular file"
    case .notEnoughMemory(let bytes): "\(bytes) bytes of memory are needed, and the system has not as many"
    case .truncated(let needed, let found): "the file ends after \(found) bytes where \(needed) are needed"
    case .trailingBytes(let count): "\(count) bytes too many at the end"
    case .notThisFormat(let expected): "not \(expected)"
    case .unsupportedVersion(let major, let minor): "version \(major).\(minor) of the format is not supported"
    case .headerLengthOutOfRange(let length, let limit): "a header of \(length) bytes is not in 1...\(limit)"
    case .invalidUTF8(let byte): "the header is not UTF-8 at byte \(byte)"
    case .invalidJSON(let byte, let problem): "the header is not JSON at byte \(byte): \(problem)"
    case .invalidHeader(let problem): "the header is not valid: \(problem)"
    case .invalidLiteral(let byte, let problem): "the header is not valid at byte \(byte): \(problem)"
    case .duplicateKey(let key): "the key \(quotedForMessage(key)) occurs twice in the header"
    case .missingKey(let key): "the key \(quotedForMessage(key)) is missing in the header"
    case .missingTensor: "there is no such tensor"
    case .duplicateName: "two tensors have this name"
    case .reservedName: "this name is reserved by the format"
    case .unknownType(let type): "the element type \(quotedForMessage(type)) is unknown"
    case .unsupportedType(let type): "the element type \(quotedForMessage(type)) is not supported"
    case .bigEndian(let type): "the element type \(quotedForMessage(type)) is big-endian, which is not supported"
    case .wrongType(let found, let expected): "the elements are \(found) where \(expected) is expected"
    case .badShape: "the shape is not a list of whole numbers, 0 or more"
    case .sizeOverflow(let shape): "the shape \(shortened(shape)) is larger than memory can hold"
    case .partialByte(let bits): "the elements take \(bits) bits, which is no whole number of bytes"
    case .badRange: "data_offsets is not a pair of whole numbers in order"
    case .sizeMismatch(let expected, let found):
      "shape and element type make \(expected) bytes, and \(found) are given"
    case .overlap(let byte): "begins at data byte \(byte), inside the tensor before it"
    case .hole(let byte): "no tensor owns the data from byte \(byte) on"
    case .invalidBoolean(let byte, let index): "element \(index) is \(byte), which is no truth value (0 or 1)"
    case .integerOutOfRange(let index): "element \(index) does not fit the integer type that is asked for"
    }
  }
}

/// The system's words for an `errno`.
private func systemMessage(_ code: Int32) -> String {
  String(cString: strerror(code))
}

/// A shape for a message: the first axes of one with very many.
private func shortened(_ shape: [Int]) -> String {
  shape.count <= 16 ? "\(shape)" : "[\(shape.prefix(16).map(String.init).joined(separator: ", ")), …]"
}

/// Text from a file for a message: in quotes, on one line, and not longer than 200 characters.
package func quotedForMessage(_ text: String) -> String {
  let limit = 200
  var result = "\""
  var count = 0
  for scalar in text.unicodeScalars {
    guard count < limit else {
      result += "…"
      break
    }
    count += 1
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .privateUse, .unassigned:
      result += "\\u{\(String(scalar.value, radix: 16))}"
    default:
      if scalar == "\"" || scalar == "\\" { result.unicodeScalars.append("\\") }
      result.unicodeScalars.append(scalar)
    }
  }
  return result + "\""
}
