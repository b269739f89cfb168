#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file that is written part by part, and replaces what was there. A run that breaks off leaves the parts that were done.
public final class OutputFile {
  private let path: String
  private let descriptor: Int32
  private var isOpen = true

  /// Creates or empties the file.
  public init(path: String) throws(BenchmarkFileError) {
    descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else {
      throw .uncreatable(file: path, problem: String(cString: strerror(errno)))
    }
    self.path = path
  }

  /// Appends bytes.
  public func write(_ bytes: [UInt8]) throws(BenchmarkFileError) {
    if let code = TextFile.write(bytes, to: descriptor) {
      throw .unwritable(file: path, problem: String(cString: strerror(code)))
    }
  }

  /// Closes the file; what the system could not write so far is an error.
  public func close() throws(BenchmarkFileError) {
    isOpen = false
    #if canImport(Glibc)
      let status = Glibc.close(descriptor)
    #else
      let status = Darwin.close(descriptor)
    #endif
    guard status == 0 else { throw .unwritable(file: path, problem: String(cString: strerror(errno))) }
  }

  deinit {
    guard isOpen else { return }
    #if canImport(Glibc)
      _ = Glibc.close(descriptor)
    #else
      _ = Darwin.close(descriptor)
    #endif
  }
}
