import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The lines of a text file, a pipe or standard input, read as they are asked for: memory holds a batch, not the file.
///
/// A line ends with LF or CRLF, which are no part of it; the last one may end with the file. An empty line is a line. A
/// byte order mark at the beginning is no part of the first line. Bytes that are no UTF-8 become U+FFFD, and are counted.
public struct TextLines: ~Copyable {
  /// What the path is called in messages.
  public let name: String
  /// The lines that were handed out.
  public private(set) var count = 0
  /// Of those, the lines that held bytes that are no UTF-8.
  public private(set) var damagedCount = 0
  /// The first of them; lines count from 1.
  public private(set) var firstDamaged: Int?

  /// A longer line is an error: it would have to be held in memory.
  public static let longestLine = 1 << 28

  private let descriptor: Int32
  private let ownsDescriptor: Bool
  private var chunk: [UInt8]
  /// What of the chunk is not handed out yet.
  private var rest = 0..<0
  private var isAtEnd = false

  /// Opens a file; "-" is standard input.
  ///
  /// - Throws: ``BenchmarkFileError/unreadable(file:problem:)`` when there is none, or it is a folder.
  public init(path: String) throws(BenchmarkFileError) {
    guard path != "-" else {
      self.init(descriptor: STDIN_FILENO, name: "standard input", ownsDescriptor: false)
      return
    }
    guard !path.isEmpty, !path.utf8.contains(0) else { throw .unreadable(file: path, problem: "this is no path") }
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
    guard descriptor >= 0 else { throw .unreadable(file: path, problem: Self.systemMessage()) }
    var status = stat()
    guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT != S_IFDIR else {
      close(descriptor)
      throw .unreadable(file: path, problem: "it is a folder")
    }
    self.init(descriptor: descriptor, name: path, ownsDescriptor: true)
  }

  /// Reads from an open file.
  package init(descriptor: Int32, name: String, ownsDescriptor: Bool, chunkSize: Int = 1 << 16) {
    self.descriptor = descriptor
    self.name = name
    self.ownsDescriptor = ownsDescriptor
    chunk = [UInt8](repeating: 0, count: chunkSize)
  }

  deinit { if ownsDescriptor { close(descriptor) } }

  /// The next line, or nil behind the last one.
  public mutating func next() throws(BenchmarkFileError) -> String? {
    var line: [UInt8] = []
    var isEnded = false
    while !isEnded {
      if rest.isEmpty, try !fill() { break }
      let end = chunk[rest].firstIndex(of: UInt8(ascii: "\n"))
      line += chunk[rest.lowerBound..<(end ?? rest.upperBound)]
      guard line.count <= Self.longestLine else {
        throw .notText(file: name, problem: "line \(count + 1) has more than \(Self.longestLine) bytes")
      }
      rest = (end.map { $0 + 1 } ?? rest.upperBound)..<rest.upperBound
      isEnded = end != nil
    }
    if isEnded, line.last == UInt8(ascii: "\r") { line.removeLast() }
    if count == 0, line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
    guard isEnded || !line.isEmpty else { return nil }
    count += 1
    if line.withUnsafeBufferPointer({ firstInvalidUTF8(in: $0) }) != nil {
      damagedCount += 1
      firstDamaged = firstDamaged ?? count
    }
    return String(decoding: line, as: UTF8.self)
  }

  /// The next lines, as many as asked for, or fewer once they have as many bytes, or when the next would have to be waited
  /// for: who writes a line and waits for the answer gets it. None behind the last one.
  public mutating func next(atMost lines: Int, bytes: Int) throws(BenchmarkFileError) -> [String] {
    var batch: [String] = []
    var size = 0
    while batch.count < lines, size < bytes, batch.isEmpty || isReadable, let line = try next() {
      batch.append(line)
      size += line.utf8.count
    }
    return batch
  }

  /// Whether a line is here, or a read would not wait.
  private var isReadable: Bool {
    guard !isAtEnd, chunk[rest].firstIndex(of: UInt8(ascii: "\n")) == nil else { return true }
    var request = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
    return poll(&request, 1, 0) != 0
  }

  /// What to tell about bytes that are no UTF-8; nil if there were none.
  public var warning: String? {
    guard let firstDamaged else { return nil }
    let place = damagedCount == 1 ? "line \(firstDamaged)" : "\(damagedCount) lines, first line \(firstDamaged),"
    let verb = damagedCount == 1 ? "holds" : "hold"
    return "\(quotedForMessage(name)): \(place) \(verb) bytes that are no UTF-8; they were read as U+FFFD"
  }

  /// Reads the next chunk; false at the end.
  private mutating func fill() throws(BenchmarkFileError) -> Bool {
    while !isAtEnd {
      let got = read(descriptor, &chunk, chunk.count)
      if got < 0 && errno == EINTR { continue }
      guard got >= 0 else { throw .unreadable(file: name, problem: Self.systemMessage()) }
      isAtEnd = got == 0
      rest = 0..<got
      return got > 0
    }
    return false
  }

  private static func systemMessage() -> String { String(cString: strerror(errno)) }
}
