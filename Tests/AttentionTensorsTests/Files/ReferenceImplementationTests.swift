import AttentionTensors
import Foundation
import Testing

/// The files that scripts/make-file-fixtures --check reads with the reference implementations.
struct ReferenceImplementationTests {
  static let folder = ProcessInfo.processInfo.environment["ATTENTION_WRITTEN_FILES"]

  @Test(.enabled(if: folder != nil))
  func `Files for the reference implementations`() throws {
    let folder = try #require(Self.folder)
    let tensors = SafetensorsWritingTests.tensors
    try SafetensorsFile.write(
      tensors, metadata: SafetensorsWritingTests.metadata, to: "\(folder)/written.safetensors")
    for (name, contents) in tensors.prefix(6) { try NumPyFile.write(contents, to: "\(folder)/\(name).npy") }
    try NumPyFile.write(tensors[1].contents, as: .float16, to: "\(folder)/half.npy")
    let limits = [Int(Int32.min), Int(Int32.max)]
    try NumPyFile.write(.signed64(shape: [2], values: limits), as: .signed32, to: "\(folder)/int.npy")
  }
}
