import Attention
import Foundation

/// Where this package's files lie, seen from the test sources.
enum PackageFiles {
  static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  static func fixture(_ name: String) -> URL { root.appending(path: "Tests/AttentionCoreTests/Fixtures/\(name)") }

  /// What `scripts/fetch-onnx-cases` brought.
  static func onnx(_ name: String) -> URL { root.appending(path: ".build/onnx/\(name)") }

  static func decode<Value: Decodable>(_ type: Value.Type, from file: URL) throws -> Value {
    try JSONDecoder().decode(type, from: Data(contentsOf: file))
  }
}
