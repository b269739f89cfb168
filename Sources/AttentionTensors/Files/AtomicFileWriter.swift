#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Writes a file that appears under its name whole or not at all.
///
/// The bytes go to a temporary file in the same folder, which ``commit()`` flushes to the disk and renames. If the
/// writer goes away without that, the temporary file is deleted, and what was under the name stays. A process that is
/// killed leaves at worst the temporary file, whose name begins with `.tensors-`.
struct AtomicFileWriter: ~Copyable {
  private let path: String
  private let temporaryPath: String
  private let descriptor: Int32
  private var isCommitted = false

  /// Creates the temporary file. Under the path there may be nothing or a regular file; a symbolic link is replaced,
  /// not followed.
  init(path: String) throws(TensorFileError) {
    guard !path.isEmpty, !path.utf8.contains(0) else { throw TensorFileError(file: path, reason: .invalidPath) }
    // Renaming would replace a device such as /dev/null as readily as a file.
    var status = stat()
    let exists = stat(path, &status) == 0
    if exists, status.st_mode & S_IFMT != S_IFREG { throw TensorFileError(file: path, reason: .notARegularFile) }

    let (temporaryPath, descriptor) = try Self.createTemporaryFile(beside: path)
    // A file that is replaced hands its permissions on, so that a private one stays private.
    if exists { _ = fchmod(descriptor, status.st_mode & 0o777) }
    self.init(path: path, temporaryPath: temporaryPath, descriptor: descriptor)
  }

  private init(path: String, temporaryPath: String, descriptor: Int32) {
    self.path = path
    self.temporaryPath = temporaryPath
    self.descriptor = descriptor
  }

  deinit {
    close(descriptor)
    if !isCommitted { unlink(temporaryPath) }
  }

  private static func createTemporaryFile(beside path: String) throws(TensorFileError) -> (path: String, Int32) {
    let folder = path.lastIndex(of: "/").map { path[...$0] } ?? ""
    while true {
      let name = "\(folder)\(temporaryFilePrefix)\(String(UInt64.random(in: 0 ... .max), radix: 16))"
      let descriptor = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o666)
      if descriptor >= 0 { return (name, descriptor) }
      guard errno == EEXIST || errno == EINTR else {
        throw TensorFileError(file: path, reason: .cannotWrite(code: errno))
      }
    }
  }

  /// Appends bytes.
  func write(_ bytes: UnsafeRawBufferPointer) throws(TensorFileError) {
    // The systems write at most 2 GiB at a time, and one of them fails on more.
    let largestWrite = 1 << 30
    var done = 0
    while done < bytes.count {
      #if canImport(Glibc)
        let count = Glibc.write(descriptor, bytes.baseAddress! + done, min(bytes.count - done, largestWrite))
      #else
        let count = Darwin.write(descriptor, bytes.baseAddress! + done, min(bytes.count - done, largestWrite))
      #endif
      if count >= 0 {
        done += count
      } else if errno != EINTR {
        throw TensorFileError(file: path, reason: .cannotWrite(code: errno))
      }
    }
  }

  /// Appends the bytes of elements.
  func write(_ elements: [some BitwiseCopyable]) throws(TensorFileError) {
    let result: Result<Void, TensorFileError> = elements.withUnsafeBytes { buffer in
      do throws(TensorFileError) { return .success(try write(buffer)) } catch { return .failure(error) }
    }
    try result.get()
  }

  /// Writes over the first bytes.
  func overwriteStart(with bytes: [UInt8]) throws(TensorFileError) {
    guard lseek(descriptor, 0, SEEK_SET) == 0 else {
      throw TensorFileError(file: path, reason: .cannotWrite(code: errno))
    }
    try write(bytes)
  }

  /// Brings the bytes to the disk and the file under its name.
  mutating func commit() throws(TensorFileError) {
    while fsync(descriptor) != 0 {
      guard errno == EINTR else { throw TensorFileError(file: path, reason: .cannotWrite(code: errno)) }
    }
    guard rename(temporaryPath, path) == 0 else {
      throw TensorFileError(file: path, reason: .cannotWrite(code: errno))
    }
    isCommitted = true
    // The new name itself reaches the disk with its folder. Not every file system can do this; the file is whole
    // either way.
    let folder = path.lastIndex(of: "/").map { String(path[...$0]) } ?? "."
    let folderDescriptor = open(folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY)
    if folderDescriptor >= 0 {
      _ = fsync(folderDescriptor)
      close(folderDescriptor)
    }
  }
}

/// How the names of temporary files begin.
package let temporaryFilePrefix = ".tensors-"

/// Writes a file of these bytes, which appears under its name whole or not at all.
package func write(_ bytes: [UInt8], toFile path: String) throws(TensorFileError) {
  var writer = try AtomicFileWriter(path: path)
  try writer.write(bytes)
  try writer.commit()
}

/// Makes a folder, and those above it, where there is none.
package func makeFolder(_ path: String) throws(TensorFileError) {
  guard !path.isEmpty, !path.utf8.contains(0) else { throw TensorFileError(file: path, reason: .invalidPath) }
  var status = stat()
  if stat(path, &status) == 0 {
    guard status.st_mode & S_IFMT == S_IFDIR else {
      throw TensorFileError(file: path, reason: .cannotWrite(code: ENOTDIR))
    }
    return
  }
  var parent = Substring(path)
  while parent.last == "/" { parent.removeLast() }
  if let slash = parent.lastIndex(of: "/"), slash > parent.startIndex { try makeFolder(String(parent[..<slash])) }
  guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
    throw TensorFileError(file: path, reason: .cannotWrite(code: errno))
  }
}
