import AttentionTensors
import Foundation

/// The path of a file that the reference implementations wrote (scripts/make-file-fixtures).
func fixture(_ name: String) -> String {
  URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures").appending(path: name).path(percentEncoded: false)
}

/// Calls `body` with the path of a new folder, and removes the folder afterwards.
func withTemporaryFolder<Result>(_ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "attention-tests-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder.path(percentEncoded: false))
}

/// Calls `body` with the path of a new file of these bytes, and removes it afterwards.
func withTemporaryFile<Result>(_ bytes: [UInt8], _ body: (String) throws -> Result) throws -> Result {
  try withTemporaryFolder { folder in
    let path = folder + "/file"
    try Data(bytes).write(to: URL(filePath: path))
    return try body(path)
  }
}

func readBytes(_ path: String) throws -> [UInt8] {
  [UInt8](try Data(contentsOf: URL(filePath: path)))
}

/// A safetensors file of this header and data.
func safetensorsBytes(_ header: [UInt8], data: [UInt8] = []) -> [UInt8] {
  (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) } + header + data
}

func safetensorsBytes(_ header: String, data: [UInt8] = []) -> [UInt8] {
  safetensorsBytes(Array(header.utf8), data: data)
}

/// An .npy file of this header and data, neither padded nor aligned.
func npyBytes(_ header: String, version: UInt8 = 1, data: [UInt8] = []) -> [UInt8] {
  let length = header.utf8.count
  return [0x93] + Array("NUMPY".utf8) + [version, 0]
    + (0..<(version == 1 ? 2 : 4)).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) } + Array(header.utf8) + data
}

/// The error that opening these bytes gives, or nil.
func safetensorsFailure(_ bytes: [UInt8]) -> TensorFileError? {
  do throws(TensorFileError) { _ = try SafetensorsFile(bytes: bytes, name: "f") } catch { return error }
  return nil
}

func npyFailure(_ bytes: [UInt8]) -> TensorFileError? {
  do throws(TensorFileError) { _ = try NumPyFile(bytes: bytes, name: "f") } catch { return error }
  return nil
}

/// The error that `body` gives, or nil.
func failure<Result>(of body: () throws(TensorFileError) -> Result) -> TensorFileError.Reason? {
  do throws(TensorFileError) { _ = try body() } catch { return error.reason }
  return nil
}

/// Floats by their bits, so that −0 and NaN count.
func bits(_ tensor: Tensor) -> [UInt32] { tensor.scalars.map(\.bitPattern) }
