import Foundation
import Testing

import AttentionBenchmarks

@Suite("Lines of a text")
struct TextLinesTests {
  /// The lines of a file of these bytes, read in chunks of a few bytes.
  static func lines(of bytes: [UInt8], chunk: Int) throws -> (lines: [String], damaged: Int, first: Int?) {
    let pipe = Pipe()
    pipe.fileHandleForWriting.write(Data(bytes))
    try pipe.fileHandleForWriting.close()
    var lines = TextLines(
      descriptor: pipe.fileHandleForReading.fileDescriptor, name: "pipe", ownsDescriptor: false, chunkSize: chunk)
    var result: [String] = []
    try withExtendedLifetime(pipe) {
      while let line = try lines.next() { result.append(line) }
    }
    #expect(try lines.next() == nil)
    #expect(lines.count == result.count)
    return (result, lines.damagedCount, lines.firstDamaged)
  }

  static let cases: [(String, [String])] = [
    ("", []), ("\n", [""]), ("\n\n", ["", ""]), ("a", ["a"]), ("a\n", ["a"]), ("a\nb", ["a", "b"]),
    ("a\r\nb\r\n", ["a", "b"]), ("a\r\r\n", ["a\r"]), ("a\rb\n", ["a\rb"]), ("\r\n\r\n", ["", ""]), ("\r", ["\r"]),
    ("\u{FEFF}a\n", ["a"]), ("\u{FEFF}", []), ("\u{FEFF}\n", [""]), ("a\n\u{FEFF}b", ["a", "\u{FEFF}b"]),
    ("\u{2028}\u{85}\u{B}\u{C}\n", ["\u{2028}\u{85}\u{B}\u{C}"]), ("日本\n👨‍👩‍👧\n", ["日本", "👨‍👩‍👧"]), ("\0\n", ["\0"]),
  ]

  @Test(arguments: cases, [1, 2, 3, 65_536])
  func linesEndWithLineFeeds(example: (text: String, lines: [String]), chunk: Int) throws {
    let found = try Self.lines(of: Array(example.text.utf8), chunk: chunk)
    #expect(found.lines.map { Array($0.utf8) } == example.lines.map { Array($0.utf8) } && found.damaged == 0)
  }

  @Test(arguments: [1, 3, 65_536])
  func bytesThatAreNoUTF8AreReplacedAndCounted(chunk: Int) throws {
    let found = try Self.lines(
      of: [0x61, 0x0A, 0x62, 0xFF, 0x63, 0x0A, 0xC3, 0x0A, 0xED, 0xA0, 0x80, 0x0A, 0x64], chunk: chunk)
    #expect(found.lines == ["a", "b\u{FFFD}c", "\u{FFFD}", "\u{FFFD}\u{FFFD}\u{FFFD}", "d"])
    #expect(found.damaged == 3 && found.first == 2)
  }

  @Test func batchesAreBounded() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("lines-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data((0..<10).map { "line \($0)\n" }.joined().utf8).write(to: file)
    var lines = try TextLines(path: file.path)
    #expect(try lines.next(atMost: 3, bytes: 1000) == ["line 0", "line 1", "line 2"])
    #expect(try lines.next(atMost: 100, bytes: 7) == ["line 3", "line 4"])
    #expect(try lines.next(atMost: 100, bytes: 1000).count == 5)
    #expect(try lines.next(atMost: 100, bytes: 1000).isEmpty)
    #expect(lines.warning == nil)
  }

  /// Who writes lines and waits for the answer gets it: a batch ends where the next line would have to be waited for.
  @Test(.timeLimit(.minutes(1)), arguments: [3, 65_536])
  func aBatchDoesNotWaitForLinesToCome(chunk: Int) throws {
    let pipe = Pipe()
    var lines = TextLines(
      descriptor: pipe.fileHandleForReading.fileDescriptor, name: "pipe", ownsDescriptor: false, chunkSize: chunk)
    for batch in [["a", "b"], ["longer than a chunk"], ["c", "", "d"]] {
      pipe.fileHandleForWriting.write(Data(batch.map { $0 + "\n" }.joined().utf8))
      var found: [String] = []
      while found.count < batch.count { found += try lines.next(atMost: 100, bytes: 1000) }
      #expect(found == batch)
    }
    // A line without its end is waited for: the rest of it comes.
    pipe.fileHandleForWriting.write(Data("begun".utf8))
    try pipe.fileHandleForWriting.close()
    #expect(try lines.next(atMost: 100, bytes: 1000) == ["begun"])
    #expect(try lines.next(atMost: 100, bytes: 1000).isEmpty)
  }

  @Test func aLongLineIsRead() throws {
    let text = String(repeating: "é", count: 1 << 14)
    #expect(try Self.lines(of: Array((text + "\nb").utf8), chunk: 1 << 12).lines == [text, "b"])
  }

  @Test func theWarningNamesTheFirstLine() throws {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("lines-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data([0x61, 0x0A, 0xFF, 0x0A, 0xFE]).write(to: file)
    var lines = try TextLines(path: file.path)
    _ = try lines.next(atMost: 2, bytes: 100)
    let first = lines.warning
    #expect(try #require(first).hasSuffix(": line 2 holds bytes that are no UTF-8; they were read as U+FFFD"))
    _ = try lines.next()
    let both = lines.warning
    #expect(try #require(both).contains(": 2 lines, first line 2, hold bytes"))
  }

  @Test(arguments: ["/nonexistent", "/", "", "a\0b"])
  func whatCannotBeReadIsSaid(path: String) {
    let error = #expect(throws: BenchmarkFileError.self) { _ = try TextLines(path: path).count }
    #expect(error?.exitCode == 66)
  }
}
