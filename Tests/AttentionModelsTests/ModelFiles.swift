import Attention
import AttentionModels
import Foundation
import Testing

/// Where this package's files lie, seen from the test sources.
enum ModelFiles {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  static func fixture(_ name: String) -> URL { root.appending(path: "Tests/AttentionModelsTests/Fixtures/\(name)") }

  /// What `scripts/fetch-model` brings.
  static let miniLM = ModelFolder(path: root.appending(path: ".build/models/all-MiniLM-L6-v2").path)

  static let isMiniLMThere = FileManager.default.fileExists(atPath: miniLM.path + "/model.safetensors")

  /// The folders in a folder of fixtures.
  static func folders(in name: String) -> [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: fixture(name).path)) ?? []).sorted()
  }

  /// Calls `body` with a new folder, which is deleted afterwards.
  static func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
    let folder = FileManager.default.temporaryDirectory.appending(path: "attention-models-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    return try body(folder)
  }
}

/// The largest distance between two lists of numbers of equal length; infinite if a number is not a number in one only.
func largestDistance(_ found: [Float], _ expected: [Double]) -> Double {
  #expect(found.count == expected.count)
  return zip(found, expected).reduce(0) { largest, pair in
    let distance = abs(Double(pair.0) - pair.1)
    return distance.isNaN ? .infinity : max(largest, distance)
  }
}
