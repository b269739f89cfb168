extension SafetensorsFile {
  /// Writes a safetensors file with the tensors in the given order.
  ///
  /// The header is padded with spaces so that the data begin at a multiple of 8 bytes. The tensors follow each other
  /// without a gap, as the format demands: whoever wants every tensor aligned puts the wide element types first.
  /// Metadata are sorted by key, so that equal contents give equal files.
  ///
  /// The file appears under `path` whole or not at all: it is written under a temporary name in the same folder,
  /// flushed to the disk and renamed. A file that was there is replaced.
  ///
  /// - Throws: ``TensorFileError`` when a name occurs twice or is `__metadata__`, when a shape does not fit its
  ///   elements, or when the system refuses.
  public static func write(
    _ tensors: [(name: String, contents: TensorFileContents)], metadata: [String: String] = [:], to path: String
  ) throws(TensorFileError) {
    let header = try serializedHeader(of: tensors, metadata: metadata, file: path)
    var writer = try AtomicFileWriter(path: path)
    try writer.write(header)
    for (_, contents) in tensors {
      try contents.withUnsafeBytes { (bytes) throws(TensorFileError) in try writer.write(bytes) }
    }
    try writer.commit()
  }

  /// The length of the header and the header, for the tensors in their order.
  package static func serializedHeader(
    of tensors: [(name: String, contents: TensorFileContents)], metadata: [String: String], file: String
  ) throws(TensorFileError) -> [UInt8] {
    for (name, contents) in tensors { try contents.check(file: file, tensor: name) }
    return try serializedHeader(
      of: tensors.map { ($0.name, $0.contents.safetensorsType, $0.contents.shape, $0.contents.byteCount) },
      metadata: metadata, file: file)
  }

  /// The length of the header and the header.
  ///
  /// - Parameter count: as many bytes at the least, a multiple of 8.
  static func serializedHeader(
    of tensors: [(name: String, type: SafetensorsType, shape: [Int], byteCount: Int)], metadata: [String: String] = [:],
    atLeast count: Int = 0, file: String
  ) throws(TensorFileError) -> [UInt8] {
    var json = JSONWriter()
    json.beginObject()
    if !metadata.isEmpty {
      json.key(SafetensorsHeader.metadataKey)
      json.beginObject()
      for (key, text) in metadata.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
        json.key(key)
        json.string(text)
      }
      json.endObject()
    }
    var names: Set<UTF8Key> = []
    var end = 0
    for (name, type, shape, byteCount) in tensors {
      guard !name.utf8.elementsEqual(SafetensorsHeader.metadataKey.utf8) else {
        throw TensorFileError(file: file, tensor: name, reason: .reservedName)
      }
      guard names.insert(UTF8Key(name)).inserted else {
        throw TensorFileError(file: file, tensor: name, reason: .duplicateName)
      }
      let begin = end
      end += byteCount
      json.key(name)
      json.beginObject()
      json.key("dtype")
      json.string(type.rawValue)
      json.key("shape")
      json.integers(shape)
      json.key("data_offsets")
      json.integers([begin, end])
      json.endObject()
    }
    json.endObject()

    var header = json.bytes
    let padding = max((8 - header.count % 8) % 8, count - 8 - header.count)
    header.append(contentsOf: repeatElement(UInt8(ascii: " "), count: padding))
    guard header.count <= SafetensorsHeader.lengthLimit else {
      throw TensorFileError(
        file: file,
        reason: .headerLengthOutOfRange(length: UInt64(header.count), limit: SafetensorsHeader.lengthLimit))
    }
    return (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header
  }
}

extension TensorFileContents {
  /// The element type under which a safetensors file holds the contents.
  fileprivate var safetensorsType: SafetensorsType {
    switch self {
    case .float32: .float32
    case .boolean: .boolean
    case .float64: .float64
    case .signed64: .signed64
    }
  }
}
