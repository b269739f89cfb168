/// The validated header of a safetensors file.
struct SafetensorsHeader: Sendable {
  /// The longest header that the format allows, in bytes.
  static let lengthLimit = 100_000_000
  /// The key that is no tensor's name.
  static let metadataKey = "__metadata__"

  private(set) var entries: [SafetensorsFile.Entry] = []
  private(set) var metadata: [String: String] = [:]

  private let file: String

  /// Reads and checks the header of a source, and that its tensors cover the rest of the source.
  init(of source: some ByteSource) throws(TensorFileError) {
    file = source.name
    let prefixLength = 8
    guard source.size >= prefixLength else {
      throw failure(.truncated(needed: prefixLength, found: source.size))
    }
    let prefix = try source.bytes(in: 0..<prefixLength)
    let length = prefix.reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
    guard length > 0, length <= UInt64(Self.lengthLimit) else {
      throw failure(.headerLengthOutOfRange(length: length, limit: Self.lengthLimit))
    }
    let dataStart = prefixLength + Int(length)
    guard dataStart <= source.size else { throw failure(.truncated(needed: dataStart, found: source.size)) }

    let root = try parse(try source.bytes(in: prefixLength..<dataStart), at: prefixLength)
    for (key, value) in root.members {
      if key.utf8.elementsEqual(Self.metadataKey.utf8) {
        metadata = try parseMetadata(value)
      } else {
        entries.append(try parseEntry(name: key, value, dataStart: dataStart))
      }
    }
    // Stable, so that empty tensors at one place keep the header's order.
    let order = entries.indices.sorted {
      let (a, b) = (entries[$0].byteRange, entries[$1].byteRange)
      return (a.lowerBound, a.upperBound, $0) < (b.lowerBound, b.upperBound, $1)
    }
    entries = order.map { entries[$0] }
    try checkCoverage(dataStart: dataStart, size: source.size)
  }

  private func failure(_ reason: TensorFileError.Reason, tensor: String? = nil) -> TensorFileError {
    TensorFileError(file: file, tensor: tensor, reason: reason)
  }

  private func parse(_ bytes: [UInt8], at position: Int) throws(TensorFileError) -> JSONObject {
    let result: Result<JSONValue, JSONError> = bytes.withUnsafeBufferPointer { buffer in
      do throws(JSONError) {
        return .success(try JSONParser.parse(buffer, maximumDepth: 16, maximumValueCount: 10_000_000))
      } catch { return .failure(error) }
    }
    switch result {
    case .success(let value):
      // The format asks for the brace as the very first byte; white space may follow the object, not precede it.
      guard bytes[0] == UInt8(ascii: "{"), let object = value.objectValue else {
        throw failure(.invalidHeader(problem: "it does not begin with an object"))
      }
      return object
    case .failure(let error):
      switch error.reason {
      case .invalidUTF8: throw failure(.invalidUTF8(byte: position + error.byte))
      case .duplicateKey(let key): throw failure(.duplicateKey(key))
      default: throw failure(.invalidJSON(byte: position + error.byte, problem: error.reason.description))
      }
    }
  }

  private func parseMetadata(_ value: JSONValue) throws(TensorFileError) -> [String: String] {
    guard let object = value.objectValue else {
      throw failure(.invalidHeader(problem: "\(Self.metadataKey) is not an object"))
    }
    var metadata: [String: String] = [:]
    for (key, value) in object.members {
      guard let text = value.stringValue else {
        throw failure(.invalidHeader(problem: "the metadata \(quotedForMessage(key)) are not a string"))
      }
      // Two keys that differ by bytes can still be one key to a Swift dictionary.
      guard metadata.updateValue(text, forKey: key) == nil else { throw failure(.duplicateKey(key)) }
    }
    return metadata
  }

  private func parseEntry(
    name: String, _ value: JSONValue, dataStart: Int
  ) throws(TensorFileError) -> SafetensorsFile.Entry {
    guard let object = value.objectValue else {
      throw failure(.invalidHeader(problem: "it is not described by an object"), tensor: name)
    }
    func member(_ key: String) throws(TensorFileError) -> JSONValue {
      guard let member = object[key] else { throw failure(.missingKey(key), tensor: name) }
      return member
    }
    guard let typeName = try member("dtype").stringValue else {
      throw failure(.invalidHeader(problem: "dtype is not a string"), tensor: name)
    }
    guard let type = SafetensorsType(rawValue: typeName) else { throw failure(.unknownType(typeName), tensor: name) }

    guard let lengths = try member("shape").arrayValue else { throw failure(.badShape, tensor: name) }
    var shape: [Int] = []
    shape.reserveCapacity(lengths.count)
    for length in lengths {
      // A length that only UInt64 holds is a whole number, and too large for anything.
      if case .unsigned = length { throw failure(.sizeOverflow(shape: shape + [.max]), tensor: name) }
      guard let length = length.integerValue, length >= 0 else { throw failure(.badShape, tensor: name) }
      shape.append(length)
    }

    guard let offsets = try member("data_offsets").arrayValue, offsets.count == 2,
      let begin = offsets[0].integerValue, let end = offsets[1].integerValue, begin >= 0, begin <= end
    else { throw failure(.badRange, tensor: name) }

    // Float32 storage and `Tensor` count in floats, so that no shape passes here that they could not express.
    guard let count = Tensor.checkedScalarCount(of: shape) else {
      throw failure(.sizeOverflow(shape: shape), tensor: name)
    }
    let (bits, overflow) = count.multipliedReportingOverflow(by: type.bitCount)
    guard !overflow else { throw failure(.sizeOverflow(shape: shape), tensor: name) }
    guard bits % 8 == 0 else { throw failure(.partialByte(bits: bits), tensor: name) }
    guard end - begin == bits / 8 else {
      throw failure(.sizeMismatch(expected: bits / 8, found: end - begin), tensor: name)
    }
    return SafetensorsFile.Entry(name: name, type: type, shape: shape, byteRange: begin..<end)
  }

  /// Checks that each tensor begins where the one before it ends, and that the last ends with the file; then moves the
  /// ranges from the data to the file.
  private mutating func checkCoverage(dataStart: Int, size: Int) throws(TensorFileError) {
    let dataSize = size - dataStart
    var end = 0
    for entry in entries {
      let begin = entry.byteRange.lowerBound
      guard begin >= end else { throw failure(.overlap(byte: begin), tensor: entry.name) }
      guard begin == end else { throw failure(.hole(byte: end), tensor: entry.name) }
      end = entry.byteRange.upperBound
      guard end <= dataSize else {
        let (needed, overflow) = end.addingReportingOverflow(dataStart)
        throw failure(.truncated(needed: overflow ? .max : needed, found: size), tensor: entry.name)
      }
    }
    guard end == dataSize else { throw failure(.trailingBytes(count: dataSize - end)) }
    for index in entries.indices { entries[index].moveRange(by: dataStart) }
  }
}
