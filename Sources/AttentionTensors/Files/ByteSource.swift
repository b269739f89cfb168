#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Bytes that can be read at any position, by many readers at once: an open file, or memory in tests.
protocol ByteSource: Sendable {
  /// What error messages call the source.
  var name: String { get }
  /// The number of bytes when the source was opened.
  var size: Int { get }
  /// Fills `buffer` with the bytes from `position` on.
  func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int) throws(TensorFileError)
}

extension ByteSource {
  /// The bytes of a range that lies inside the source.
  func bytes(in range: Range<Int>) throws(TensorFileError) -> [UInt8] {
    try requireMemory(forBytes: range.count)
    // All empty arrays share one object, whose count the initializer would write to.
    guard !range.isEmpty else { return [] }
    var failure: TensorFileError?
    let bytes = [UInt8](unsafeUninitializedCapacity: range.count) { buffer, count in
      do throws(TensorFileError) {
        try read(
          into: UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[..<range.count]),
          at: range.lowerBound)
        count = range.count
      } catch {
        failure = error
      }
    }
    if let failure { throw failure }
    return bytes
  }

  /// Throws when an allocation of this size is more than the machine's memory, or than the system would grant now:
  /// for an array or a tensor that is fatal.
  ///
  /// A file with holes may be far larger than memory. Small sizes are not tried.
  func requireMemory(forBytes bytes: Int, tensor: String? = nil) throws(TensorFileError) {
    guard bytes >= 1 << 28 else { return }
    // A tensor's storage is up to a quarter larger than asked for.
    let (needed, overflow) = bytes.addingReportingOverflow(bytes / 4)
    guard !overflow, isAvailable(bytes: needed) else {
      throw TensorFileError(file: name, tensor: tensor, reason: .notEnoughMemory(bytes: bytes))
    }
  }

  /// Whether the system would hand out this much memory now. It is asked for and given back, untouched.
  private func isAvailable(bytes: Int) -> Bool {
    // A system may be set up to grant anything, and to kill the process once it uses what it was granted.
    let (pages, pageSize) = (sysconf(Int32(_SC_PHYS_PAGES)), sysconf(Int32(_SC_PAGESIZE)))
    if pages > 0, pageSize > 0, bytes / pageSize >= pages { return false }
    // Not by malloc and free: an optimizing compiler removes the pair and takes it for a success.
    let block = mmap(nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0)
    guard block != MAP_FAILED, let block else { return false }
    munmap(block, bytes)
    return true
  }
}

/// An open file. It is closed with the last reference.
final class FileSource: ByteSource {
  let name: String
  let size: Int
  private let descriptor: Int32

  /// Opens a regular file for reading; anything else, such as a folder or a pipe, is an error.
  init(path: String) throws(TensorFileError) {
    guard !path.isEmpty, !path.utf8.contains(0) else { throw TensorFileError(file: path, reason: .invalidPath) }
    var descriptor: Int32
    repeat {
      // Without O_NONBLOCK, opening a pipe would wait for its writer.
      descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    } while descriptor < 0 && errno == EINTR
    guard descriptor >= 0 else { throw TensorFileError(file: path, reason: .cannotOpen(code: errno)) }

    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      let code = errno
      close(descriptor)
      throw TensorFileError(file: path, reason: .cannotOpen(code: code))
    }
    guard status.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw TensorFileError(file: path, reason: .notARegularFile)
    }
    name = path
    size = Int(status.st_size)
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int) throws(TensorFileError) {
    // The systems read at most 2 GiB at a time, and one of them fails on more.
    let largestRead = 1 << 30
    var done = 0
    while done < buffer.count {
      let count = pread(
        descriptor, buffer.baseAddress! + done, min(buffer.count - done, largestRead), off_t(position + done))
      if count > 0 {
        done += count
      } else if count == 0 {
        throw TensorFileError(
          file: name, reason: .truncated(needed: position + buffer.count, found: position + done))
      } else if errno != EINTR {
        throw TensorFileError(file: name, reason: .cannotRead(code: errno))
      }
    }
  }
}

/// All bytes of a regular file.
package func contents(ofFile path: String) throws(TensorFileError) -> [UInt8] {
  let source = try FileSource(path: path)
  return try source.bytes(in: 0..<source.size)
}

/// Whether something lies under this path, of whatever kind. A path that no system call takes leads to nothing.
package func fileExists(_ path: String) -> Bool { !path.utf8.contains(0) && access(path, F_OK) == 0 }

/// A file's bytes in memory.
struct MemorySource: ByteSource {
  let name: String
  let bytes: [UInt8]

  var size: Int { bytes.count }

  func read(into buffer: UnsafeMutableRawBufferPointer, at position: Int) throws(TensorFileError) {
    guard position + buffer.count <= bytes.count else {
      throw TensorFileError(
        file: name, reason: .truncated(needed: position + buffer.count, found: bytes.count))
    }
    bytes.withUnsafeBytes {
      buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[position..<position + buffer.count]))
    }
  }
}
