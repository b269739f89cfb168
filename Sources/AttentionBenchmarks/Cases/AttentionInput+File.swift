import Attention
import Foundation

extension AttentionInput {
  /// Reads an input from a safetensors file.
  ///
  /// Float tensors `q` `[B, Hq, Lq, dk]`, `k` `[B, Hkv, Lk, dk]` and `v` `[B, Hkv, Lk, dv]`; on top of them `lengths`,
  /// B integers in 0...Lk, the keys that exist, and `mask`, truth values that broadcast to `[B, Hq, Lq, Lk]`, true where
  /// a query may attend. The input is named after the file.
  public init(file path: String, limits: CaseLimits = .init()) throws(BenchmarkFileError) {
    let name = AttentionInput.name(ofFile: path)
    let file: SafetensorsFile
    do throws(TensorFileError) { file = try SafetensorsFile(path: path) } catch { throw .tensors(error) }
    func entry(_ name: String, rank: Int) throws(BenchmarkFileError) -> [Int] {
      guard let entry = file.entry(named: name) else {
        throw .notAnInput(file: path, problem: "it has no tensor \(name); expected q, k and v of rank 4")
      }
      guard entry.shape.count == rank else {
        throw .notAnInput(file: path, problem: "\(name) is \(entry.shape); expected rank \(rank)")
      }
      return entry.shape
    }
    // Shapes first: nothing is read of a file whose tensors do not fit each other.
    let (q, k, v) = (try entry("q", rank: 4), try entry("k", rank: 4), try entry("v", rank: 4))
    try AttentionInput.check(q, k, v, path: path, limits: limits)
    do throws(TensorFileError) {
      self.init(
        name: name, query: try file.tensor(named: "q"), key: try file.tensor(named: "k"),
        value: try file.tensor(named: "v"))
      if file.entry(named: "lengths") != nil { keyLengths = try file.integers(named: "lengths").values }
    } catch {
      throw .tensors(error)
    }
    if let keyLengths {
      let shape = try entry("lengths", rank: 1)
      guard shape[0] == batch, keyLengths.allSatisfy((0...keyLength).contains) else {
        throw .notAnInput(
          file: path, problem: "lengths is \(shape); expected \(batch) integers from 0 to \(keyLength)")
      }
    }
    guard let mask = file.entry(named: "mask") else { return }
    let whole = [batch, heads, queryLength, keyLength]
    guard mask.shape.count <= 4, zip(mask.shape, whole.suffix(mask.shape.count)).allSatisfy({ $0 == 1 || $0 == $1 })
    else {
      throw .notAnInput(file: path, problem: "mask is \(mask.shape); expected a shape that broadcasts to \(whole)")
    }
    do throws(TensorFileError) { allowed = try file.booleanTensor(named: "mask") } catch { throw .tensors(error) }
  }

  private static func check(
    _ q: [Int], _ k: [Int], _ v: [Int], path: String, limits: CaseLimits
  ) throws(BenchmarkFileError) {
    let shapes = "q \(q), k \(k), v \(v)"
    guard q[0] == k[0], k[0] == v[0], k[1] == v[1], k[2] == v[2], q[3] == k[3] else {
      throw .notAnInput(
        file: path, problem: "\(shapes); expected [B, Hq, Lq, dk], [B, Hkv, Lk, dk], [B, Hkv, Lk, dv]")
    }
    do throws(BenchmarkCaseError) {
      _ = try BenchmarkCase(
        batch: q[0], heads: q[1], queryLength: q[2], keyLength: k[2], keyWidth: q[3], keyValueHeads: max(1, k[1]),
        valueWidth: v[3], limits: limits)
    } catch {
      throw .notAnInput(file: path, problem: "\(shapes); \(error)")
    }
    guard k[1] > 0 else { throw .notAnInput(file: path, problem: "\(shapes); expected at least one kv head") }
  }

  /// The input that the repository carries: queries, keys and values of a middle layer of all-MiniLM-L6-v2 over a real
  /// paragraph.
  ///
  /// It lies in the resource folder beside the executable; an executable that was moved away from it has none.
  public static func sample() throws(BenchmarkFileError) -> AttentionInput {
    try AttentionInput(file: samplePath)
  }

  static var samplePath: String {
    // Not `Bundle.module`, which ends the process when there is no bundle.
    #if os(Linux)
      let suffix = "resources"
    #else
      let suffix = "bundle"
    #endif
    let folder = "swift-attention_AttentionBenchmarks.\(suffix)"
    let executable = Bundle.main.executableURL?.deletingLastPathComponent()
    let paths = [Bundle.main.bundleURL, Bundle.main.resourceURL, executable].compactMap {
      $0?.appendingPathComponent("\(folder)/minilm-layer3.safetensors").path
    }
    return paths.first { FileManager.default.fileExists(atPath: $0) } ?? paths[0]
  }
}

extension AttentionInput {
  /// The last part of the path without ".safetensors", and with a mark where it would move a terminal's cursor.
  package static func name(ofFile path: String) -> String {
    var name = path.split(separator: "/").last.map(String.init) ?? path
    if name.hasSuffix(".safetensors"), name != ".safetensors" { name.removeLast(".safetensors".count) }
    var scalars = String.UnicodeScalarView()
    scalars.append(
      contentsOf: name.unicodeScalars.map { $0.properties.generalCategory == .control ? "\u{FFFD}" : $0 })
    return String(scalars)
  }
}
