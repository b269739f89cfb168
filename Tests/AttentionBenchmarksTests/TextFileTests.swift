import AttentionBenchmarks
import Foundation
import Testing

/// Files that are replaced: whole or not at all.
@Suite("Text files")
struct TextFileTests {
  private func withFolder(_ body: (String) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("text-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder.path)
  }

  @Test func aFileIsReplacedAndKeepsItsPermissions() throws {
    try withFolder { folder in
      let file = "\(folder)/file"
      try TextFile.write("first", to: file)
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: file)
      try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "file")
      try TextFile.write("2", to: "\(folder)/link")
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(text == "2")
      let permissions = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
      #expect(permissions == 0o600)
      let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
      #expect(names == ["file", "link"])
    }
  }

  /// Who has the old file open reads it to its end: it is not truncated under them.
  @Test func theOldContentsStayUntilAllIsWritten() throws {
    try withFolder { folder in
      let file = "\(folder)/file"
      try TextFile.write("old contents", to: file)
      let reader = try #require(FileHandle(forReadingAtPath: file))
      try TextFile.write("new", to: file)
      let old = try reader.readToEnd()
      #expect(old == Data("old contents".utf8))
      #expect(try TextFile.bytes(of: file) == Array("new".utf8))
    }
  }

  @Test func devicesAndLinksThatLeadNowhere() throws {
    try TextFile.write("gone", to: "/dev/null")
    try withFolder { folder in
      try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "target")
      try TextFile.write("text", to: "\(folder)/link")
      #expect(try TextFile.bytes(of: "\(folder)/target") == Array("text".utf8))
    }
    #expect(throws: BenchmarkFileError.self) { try TextFile.write("x", to: "/nonexistent/file") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.write("x", to: "/") }
  }
}
