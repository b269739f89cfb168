/// A safetensors file, open for reading.
///
///     let file = try SafetensorsFile(path: "model.safetensors")
///     for entry in file.entries { print(entry.name, entry.shape) }
///     let weight = try file.tensor(named: "encoder.weight")
///
/// Opening reads and checks the whole header: that it is JSON without a key twice, that every byte range is as long as
/// its shape and element type make it, and that the ranges cover the file without overlap, hole or remainder. A tensor
/// is read when it is asked for, straight into its own memory; nothing is mapped, so a file that is cut short
/// meanwhile gives an error and no signal. Any number of tasks may read from one file at once. Names are compared byte
/// by byte. The file is closed with the last copy of the value.
public struct SafetensorsFile: Sendable {
  /// What the header says about one tensor.
  public struct Entry: Sendable, Equatable {
    /// The tensor's name.
    public let name: String
    /// The type of its elements.
    public let type: SafetensorsType
    /// The length of each axis, outermost first.
    public let shape: [Int]
    /// The positions of its bytes in the file.
    public private(set) var byteRange: Range<Int>

    init(name: String, type: SafetensorsType, shape: [Int], byteRange: Range<Int>) {
      self.name = name
      self.type = type
      self.shape = shape
      self.byteRange = byteRange
    }

    mutating func moveRange(by distance: Int) {
      byteRange = byteRange.lowerBound + distance..<byteRange.upperBound + distance
    }
  }

  /// The path that the file was opened under.
  public var path: String { source.name }
  /// The tensors in the order of their data.
  public let entries: [Entry]
  /// The strings under `__metadata__`; empty if there are none.
  public let metadata: [String: String]

  private let source: any ByteSource
  private let places: [UTF8Key: Int]

  /// Opens a file and checks its header.
  public init(path: String) throws(TensorFileError) {
    try self.init(source: FileSource(path: path))
  }

  /// Opens a file that lies in memory, for tests.
  package init(bytes: [UInt8], name: String) throws(TensorFileError) {
    try self.init(source: MemorySource(name: name, bytes: bytes))
  }

  private init(source: some ByteSource) throws(TensorFileError) {
    let header = try SafetensorsHeader(of: source)
    self.source = source
    entries = header.entries
    metadata = header.metadata
    var places: [UTF8Key: Int] = [:]
    for (place, entry) in header.entries.enumerated() { places[UTF8Key(entry.name)] = place }
    self.places = places
  }

  /// What the header says about a tensor, or nil if the file has none of this name.
  public func entry(named name: String) -> Entry? {
    places[UTF8Key(name)].map { entries[$0] }
  }

  /// A tensor of `F32`, or of `F16` or `BF16` widened, which is exact. Any other element type is an error.
  public func tensor(named name: String) throws(TensorFileError) -> Tensor {
    let (entry, elements) = try find(name, as: "a float of 16 or 32 bits")
    return try elements.tensor(shape: entry.shape, rounding: false)
  }

  /// A tensor of any float or integer type of 8 bits (integers) or 16 bits (floats) and more, each element rounded to
  /// the nearest float32.
  public func tensorRoundedToFloat32(named name: String) throws(TensorFileError) -> Tensor {
    let (entry, elements) = try find(name, as: "a number")
    return try elements.tensor(shape: entry.shape, rounding: true)
  }

  /// A tensor of `BOOL`; a byte other than 0 and 1 is an error, and so is any other element type.
  public func booleanTensor(named name: String) throws(TensorFileError) -> BooleanTensor {
    let (entry, elements) = try find(name, as: "a truth value")
    return BooleanTensor(
      try elements.array { (buffer) throws(TensorFileError) in try elements.readBooleans(into: buffer) },
      shape: entry.shape)
  }

  /// The shape and the elements, row-major, of a tensor of integers of any width.
  public func integers(named name: String) throws(TensorFileError) -> (shape: [Int], values: [Int]) {
    let (entry, elements) = try find(name, as: "an integer")
    let values = try elements.array { (buffer) throws(TensorFileError) in try elements.readIntegers(into: buffer) }
    return (entry.shape, values)
  }

  /// The shape and the elements, row-major, of a tensor of `F64`.
  public func doubles(named name: String) throws(TensorFileError) -> (shape: [Int], values: [Double]) {
    let (entry, elements) = try find(name, as: "a float of 64 bits")
    let values = try elements.array { (buffer) throws(TensorFileError) in try elements.readDoubles(into: buffer) }
    return (entry.shape, values)
  }

  /// The bytes of a tensor of any element type, as they are in the file.
  public func bytes(named name: String) throws(TensorFileError) -> [UInt8] {
    let entry = try requireEntry(name)
    do throws(TensorFileError) {
      return try source.bytes(in: entry.byteRange)
    } catch {
      throw TensorFileError(file: path, tensor: name, reason: error.reason)
    }
  }

  /// Reads some rows of a tensor, along its first axis, to where they are used; types as ``tensor(named:)``.
  ///
  /// - Parameters:
  ///   - name: the tensor's.
  ///   - rows: of those that the tensor has; its scalars in all if it has rank 0.
  ///   - target: has room for them.
  /// - Precondition: the tensor has these rows.
  package func readRows(
    _ rows: Range<Int>, of name: String, into target: UnsafeMutablePointer<Float>
  ) throws(TensorFileError) {
    let (entry, elements) = try find(name, as: "a float of 16 or 32 bits")
    let width = entry.shape.dropFirst().reduce(1, *)
    require(
      rows.lowerBound >= 0 && rows.upperBound <= entry.shape.first ?? 1,
      "SafetensorsFile: the rows \(rows) of a tensor \(entry.shape)")
    let part = elements.part(rows.lowerBound * width..<rows.upperBound * width)
    try part.readFloats(into: UnsafeMutableBufferPointer(start: target, count: rows.count * width), rounding: false)
  }

  private func requireEntry(_ name: String) throws(TensorFileError) -> Entry {
    guard let entry = entry(named: name) else {
      throw TensorFileError(file: path, tensor: name, reason: .missingTensor)
    }
    return entry
  }

  /// The entry of a tensor and its elements in the file.
  private func find(_ name: String, as expected: String) throws(TensorFileError) -> (Entry, StoredElements) {
    let entry = try requireEntry(name)
    guard let format = entry.type.format else {
      throw TensorFileError(
        file: path, tensor: name, reason: .wrongType(found: entry.type.rawValue, expected: expected))
    }
    let elements = StoredElements(
      source: source, tensor: name, position: entry.byteRange.lowerBound,
      count: entry.byteRange.count / format.byteCount, format: format, formatName: entry.type.rawValue)
    return (entry, elements)
  }
}
