/// Writes a file of one float32 tensor `[rows, width]` whose rows come part by part, and in a number that is known at the end:
/// memory holds none of them.
///
/// The header has room for any number of rows and is written last. The file appears under its name then, whole; if the
/// writer goes away before, there is none.
package struct TensorRowsWriter: ~Copyable {
  /// The formats of tensors' files.
  package enum Format: Sendable, Equatable {
    case npy
    /// With the name of the tensor.
    case safetensors(name: String)
  }

  private let path: String
  private let format: Format
  private let width: Int
  private let headerLength: Int
  private var rowCount = 0
  private var writer: AtomicFileWriter

  /// Creates the file under a temporary name.
  package init(_ format: Format, width: Int, to path: String) throws(TensorFileError) {
    // Counts have most digits where they are largest.
    let longest = try TensorRowsWriter.header(format, rows: Int.max / (4 * max(1, width)), width, atLeast: 0, path)
    let writer = try AtomicFileWriter(path: path)
    try writer.write(longest)
    self.init(path: path, format: format, width: width, headerLength: longest.count, writer: writer)
  }

  private init(path: String, format: Format, width: Int, headerLength: Int, writer: consuming AtomicFileWriter) {
    self.path = path
    self.format = format
    self.width = width
    self.headerLength = headerLength
    self.writer = writer
  }

  /// Appends rows `[n, width]`.
  ///
  /// - Precondition: they are as wide as the file's.
  package mutating func append(_ rows: Tensor) throws(TensorFileError) {
    require(rows.rank == 2 && rows.shape[1] == width, "TensorRowsWriter: rows \(rows.shape) of a width of \(width)")
    try TensorFileContents.float32(rows).withUnsafeBytes { (bytes) throws(TensorFileError) in try writer.write(bytes) }
    rowCount += rows.shape[0]
  }

  /// Brings the file under its name.
  package mutating func commit() throws(TensorFileError) {
    try writer.overwriteStart(
      with: TensorRowsWriter.header(format, rows: rowCount, width, atLeast: headerLength, path))
    try writer.commit()
  }

  private static func header(
    _ format: Format, rows: Int, _ width: Int, atLeast count: Int, _ path: String
  ) throws(TensorFileError) -> [UInt8] {
    switch format {
    case .npy: try NumPyHeader.serialized(type: .float32, shape: [rows, width], atLeast: count, file: path)
    case .safetensors(let name):
      try SafetensorsFile.serializedHeader(
        of: [(name, .float32, [rows, width], 4 * rows * width)], atLeast: count, file: path)
    }
  }
}
