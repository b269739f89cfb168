import Attention
import AttentionModels
import Foundation
import Testing

/// Folders that the scripts of `scripts/` made.
func fixtureFolder(_ path: String) -> URL {
  URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Fixtures").appending(path: path)
}

/// The cases of a kind of model, by name.
func fixtureNames(_ kind: String) throws -> [String] {
  let folder = fixtureFolder(kind).path(percentEncoded: false)
  let names = try FileManager.default.contentsOfDirectory(atPath: folder).sorted()
  try #require(!names.isEmpty)
  return names
}

/// Calls `body` with an empty folder, and removes it afterwards.
func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "attention-models-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  return try body(folder)
}

extension URL {
  var modelFolder: ModelFolder { ModelFolder(path: path(percentEncoded: false)) }
}

/// Whether both have one shape and the same bits.
func haveSameBits(_ left: Tensor, _ right: Tensor) -> Bool {
  left.shape == right.shape && zip(left.scalars, right.scalars).allSatisfy { $0.bitPattern == $1.bitPattern }
}

/// The largest difference; infinite where shapes differ or a NaN is.
func distance(_ left: Tensor, _ right: Tensor) -> Float {
  guard left.shape == right.shape else { return .infinity }
  return zip(left.scalars, right.scalars).reduce(0) { ($1.0 - $1.1).isNaN ? .infinity : max($0, abs($1.0 - $1.1)) }
}

/// The determinism contract: the same bits on cores with small-matrix kernels, 1e-5 elsewhere.
func agree(_ left: Tensor, _ right: Tensor) -> Bool {
  OpenBLAS.hasSmallMatrixKernels ? haveSameBits(left, right) : distance(left, right) <= 1e-5
}

/// By how much the worst element misses what it may: so much, and so much of the element or of the root mean square of all,
/// whichever is more. Infinite where shapes differ.
func excess(
  _ found: Tensor, _ expected: (shape: [Int], values: [Double]), absolute: Double = 1e-5, relative: Double = 1e-5
) -> Double {
  guard found.shape == expected.shape else { return .infinity }
  let size = (expected.values.reduce(0) { $0 + $1 * $1 } / Double(max(1, expected.values.count))).squareRoot()
  return zip(found.scalars, expected.values).reduce(-Double.infinity) { worst, pair in
    let error = abs(Double(pair.0) - pair.1) - absolute - relative * max(abs(pair.1), size)
    return error.isNaN ? .infinity : max(worst, error)
  }
}
