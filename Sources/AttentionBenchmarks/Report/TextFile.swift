#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The text files that the command reads and writes.
public enum TextFile {
  /// Writes the whole text, replacing what was there: a regular file keeps its old contents until all is written.
  public static func write(_ text: String, to path: String) throws(BenchmarkFileError) {
    var status = stat()
    let exists = stat(path, &status) == 0
    let isLink = lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    let isReplaced = exists ? stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG : !isLink
    // Devices, a link whose target is yet to be created, and the file behind /dev/stdout, which others write to as well.
    guard isReplaced, !path.hasPrefix("/dev/") else { return try writeInPlace(text, to: path) }
    let target = exists ? resolved(path) : path
    let temporary = "\(target).\(getpid())-\(UInt64.random(in: 0 ... .max))"
    let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
    // A file may be writable in a folder that is not.
    guard descriptor >= 0 else { return try writeInPlace(text, to: path) }
    if exists { _ = fchmod(descriptor, status.st_mode & 0o777) }
    do throws(BenchmarkFileError) {
      try write(text, to: descriptor, closing: path)
      guard rename(temporary, target) == 0 else { throw .unwritable(file: path, problem: systemMessage()) }
    } catch {
      unlink(temporary)
      throw error
    }
  }

  private static func writeInPlace(_ text: String, to path: String) throws(BenchmarkFileError) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    guard descriptor >= 0 else { throw .uncreatable(file: path, problem: systemMessage()) }
    try write(text, to: descriptor, closing: path)
  }

  private static func write(
    _ text: String, to descriptor: Int32, closing path: String
  ) throws(BenchmarkFileError) {
    let failure = write(text, to: descriptor)
    let closed = close(descriptor)
    if let failure { throw .unwritable(file: path, problem: String(cString: strerror(failure))) }
    if closed != 0 { throw .unwritable(file: path, problem: systemMessage()) }
  }

  /// The path with all links followed.
  private static func resolved(_ path: String) -> String {
    guard let target = realpath(path, nil) else { return path }
    defer { free(target) }
    return String(cString: target)
  }

  /// Writes the whole text to an open file; answers the error number if that fails.
  public static func write(_ text: String, to descriptor: Int32) -> Int32? { write(Array(text.utf8), to: descriptor) }

  /// Writes all bytes to an open file; answers the error number if that fails.
  public static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
    var bytes = bytes[...]
    while !bytes.isEmpty {
      #if canImport(Glibc)
        let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
      #else
        let count = bytes.withUnsafeBytes { Darwin.write(descriptor, $0.baseAddress, $0.count) }
      #endif
      if count < 0 {
        guard errno == EINTR else { return errno }
      } else {
        bytes = bytes.dropFirst(count)
      }
    }
    return nil
  }

  /// Whether a regular file lies there.
  public static func isRegular(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// Whether two paths lead to one file, whether it is there yet or not.
  public static func areSame(_ one: String, _ other: String) -> Bool {
    var (first, second) = (stat(), stat())
    if stat(one, &first) == 0, stat(other, &second) == 0 {
      return first.st_dev == second.st_dev && first.st_ino == second.st_ino
    }
    return place(of: one) == place(of: other)
  }

  /// The path with the links of its folder followed.
  private static func place(of path: String) -> String {
    let name = path.split(separator: "/").last.map(String.init) ?? ""
    let folder = path.contains("/") ? String(path.dropLast(path.reversed().prefix { $0 != "/" }.count)) : "."
    guard let resolved = realpath(folder.isEmpty ? "/" : folder, nil) else { return path }
    defer { free(resolved) }
    return String(cString: resolved) + "/" + name
  }

  /// Throws if a file of this name could not be written: before a long run, not after it. A file that is there is left
  /// as it is, and none is left behind that was not.
  public static func checkWritable(_ path: String) throws(BenchmarkFileError) {
    guard !path.isEmpty else { throw .uncreatable(file: path, problem: "the path is empty") }
    var status = stat()
    if stat(path, &status) == 0 {
      let kind = status.st_mode & S_IFMT
      guard kind != S_IFDIR else { throw .uncreatable(file: path, problem: "it is a folder") }
      // Opening a pipe would wait for its reader. Devices such as /dev/stdout and /dev/null may be.
      let isOwnOutput = ["/dev/stdout", "/dev/stderr"].contains(path) || path.hasPrefix("/dev/fd/")
      guard kind == S_IFREG || kind == S_IFCHR || isOwnOutput else {
        throw .uncreatable(file: path, problem: "it is neither a regular file nor a device")
      }
      guard access(path, W_OK) == 0 else { throw .uncreatable(file: path, problem: systemMessage()) }
      return
    }
    // Only creating it tells: root has permission in /proc, too. A link that leads nowhere has its target created.
    let isLink = lstat(path, &status) == 0
    let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (isLink ? 0 : O_EXCL), 0o644)
    guard descriptor >= 0 else { throw .uncreatable(file: path, problem: systemMessage()) }
    close(descriptor)
    guard let target = realpath(path, nil) else { return }
    unlink(target)
    free(target)
  }

  /// The bytes of a regular file of at most 64 MiB.
  public static func bytes(of path: String) throws(BenchmarkFileError) -> [UInt8] {
    try bytes(of: path, limit: 64 << 20) { .notAReport(file: path, problem: $0) }
  }

  /// The bytes of a regular file of at most `limit` bytes; for a longer one, the error that `tooLong` makes of the problem.
  static func bytes(
    of path: String, limit: Int, tooLong: (String) -> BenchmarkFileError
  ) throws(BenchmarkFileError) -> [UInt8] {
    let bytes = try bytes(of: path, upTo: limit + 1)
    guard bytes.count <= limit else { throw tooLong("it has more than \(limit) bytes") }
    return bytes
  }

  /// The first bytes of a regular file, `count` of them if it has as many.
  static func bytes(of path: String, upTo count: Int) throws(BenchmarkFileError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .unreadable(file: path, problem: systemMessage()) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
      throw .unreadable(file: path, problem: "it is not a regular file")
    }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 65_536)
    while bytes.count < count {
      let got = read(descriptor, &chunk, min(chunk.count, count - bytes.count))
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .unreadable(file: path, problem: systemMessage()) }
      if got == 0 { break }
      bytes += chunk[..<got]
    }
    return bytes
  }

  private static func systemMessage() -> String { String(cString: strerror(errno)) }
}
