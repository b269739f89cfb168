import AttentionTensors
import Foundation
import Testing

/// Files of rows that come part by part.
@Suite struct TensorRowsWriterTests {
  static func withFolder(_ body: (URL) throws -> Void) throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "attention-rows-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    try body(folder)
  }

  static func files(_ folder: URL) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path)
  }

  @Test("Parts read back as one tensor", arguments: [[], [0], [1], [3, 0, 4, 1], [120, 1000]], [1, 8, 385])
  func parts(_ counts: [Int], _ width: Int) throws {
    var generator = SeededGenerator(seed: UInt64(width))
    let parts = counts.map { Tensor(randomNormal: [$0, width], using: &generator) }
    let scalars = parts.flatMap(\.scalars)
    let shape = [counts.reduce(0, +), width]
    try Self.withFolder { folder in
      let paths = ["rows.npy", "rows.safetensors"].map { folder.appending(path: $0).path }
      for (path, format) in zip(paths, [TensorRowsWriter.Format.npy, .safetensors(name: "é")]) {
        // What was there stays until the new file is whole.
        try Data("old".utf8).write(to: URL(filePath: path))
        var writer = try TensorRowsWriter(format, width: width, to: path)
        for part in parts { try writer.append(part) }
        let before = try Data(contentsOf: URL(filePath: path))
        #expect(before == Data("old".utf8))
        try writer.commit()
      }
      let array = try NumPyFile(path: paths[0]).tensor()
      #expect(array.shape == shape && array.scalars == scalars)
      let file = try SafetensorsFile(path: paths[1])
      #expect(file.entries.map(\.name) == ["é"])
      let tensor = try file.tensor(named: "é")
      #expect(tensor.shape == shape && tensor.scalars == scalars)
      #expect(try Self.files(folder).count == 2)
    }
  }

  @Test("A writer that goes away before its end leaves nothing")
  func abandoned() throws {
    try Self.withFolder { folder in
      func begin() throws {
        var writer = try TensorRowsWriter(.npy, width: 2, to: folder.appending(path: "rows.npy").path)
        try writer.append(Tensor(zeros: [3, 2]))
        let count = try Self.files(folder).count
        #expect(count == 1)
      }
      try begin()
      #expect(try Self.files(folder).isEmpty)
      #expect(throws: TensorFileError.self) {
        _ = try TensorRowsWriter(.npy, width: 2, to: folder.appending(path: "none/rows.npy").path)
      }
    }
  }
}
