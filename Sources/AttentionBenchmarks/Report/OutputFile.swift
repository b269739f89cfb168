#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A file that is written part by part. A regular one appears under its name when it is closed: until then, what was there
/// stays, and a run that breaks off leaves it so. Devices, and what lies behind /dev/stdout, are written in place.
public final class OutputFile {
  private let path: String
  /// What is renamed to the path at the end; nil where it is written in place.
  private let temporary: String?
  private let descriptor: Int32
  private var isOpen = true

  /// Creates the file.
  public init(path: String) throws(BenchmarkFileError) {
    self.path = path
    var status = stat()
    let isReplaced = stat(path, &status) != 0 || status.st_mode & S_IFMT == S_IFREG
    temporary = isReplaced && !path.hasPrefix("/dev/") ? "\(path).\(getpid())-\(UInt64.random(in: 0 ... .max))" : nil
    descriptor = open(temporary ?? path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .uncreatable(file: path, problem: String(cString: strerror(errno))) }
  }

  /// Appends bytes.
  public func write(_ bytes: [UInt8]) throws(BenchmarkFileError) {
    if let code = TextFile.write(bytes, to: descriptor) {
      throw .unwritable(file: path, problem: String(cString: strerror(code)))
    }
  }

  /// Brings the file under its name; what the system could not write so far is an error.
  public func close() throws(BenchmarkFileError) {
    isOpen = false
    guard Self.close(descriptor), temporary.map({ rename($0, path) == 0 }) ?? true else {
      let problem = String(cString: strerror(errno))
      if let temporary { unlink(temporary) }
      throw .unwritable(file: path, problem: problem)
    }
  }

  private static func close(_ descriptor: Int32) -> Bool {
    #if canImport(Glibc)
      Glibc.close(descriptor) == 0
    #else
      Darwin.close(descriptor) == 0
    #endif
  }

  deinit {
    guard isOpen else { return }
    _ = Self.close(descriptor)
    if let temporary { unlink(temporary) }
  }
}
