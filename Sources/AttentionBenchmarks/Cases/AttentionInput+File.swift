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
    do throws(TensorFileError) {
      file = try SafetensorsFile(path: path)
    } catch {
      guard let format = AttentionInput.otherFormat(of: path) else { throw .tensors(error) }
      throw .notAnInput(file: path, problem: "it is \(format); expected a safetensors file with tensors q, k and v")
    }
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
    if let lengths = file.entry(named: "lengths"), lengths.shape != [q[0]] {
      throw .notAnInput(file: path, problem: "lengths is \(lengths.shape); expected \([q[0]]), one for each sequence")
    }
    let whole = [q[0], q[1], q[2], k[2]]
    if let mask = file.entry(named: "mask"),
      mask.shape.count > 4 || !zip(mask.shape, whole.suffix(mask.shape.count)).allSatisfy({ $0 == 1 || $0 == $1 })
    {
      throw .notAnInput(file: path, problem: "mask is \(mask.shape); expected a shape that broadcasts to \(whole)")
    }
    do throws(TensorFileError) {
      self.init(
        name: name, query: try file.tensor(named: "q"), key: try file.tensor(named: "k"),
        value: try file.tensor(named: "v"))
      if file.entry(named: "lengths") != nil { keyLengths = try file.integers(named: "lengths").values }
      if file.entry(named: "mask") != nil { allowed = try file.booleanTensor(named: "mask") }
    } catch {
      throw .tensors(error)
    }
    for (index, length) in (keyLengths ?? []).enumerated() where !(0...keyLength).contains(length) {
      throw .notAnInput(
        file: path, problem: "lengths[\(index)] is \(length); expected 0 to \(keyLength), as k is \(k)")
    }
  }

  /// What a file is that people take for one of safetensors; nil when it is nothing that is known by its first bytes.
  private static func otherFormat(of path: String) -> String? {
    guard let start = try? TextFile.bytes(of: path, upTo: 6) else { return nil }
    if start.starts(with: [0x93] + Array("NUMPY".utf8)) { return "an .npy file" }
    return start.starts(with: Array("PK".utf8) + [3, 4]) ? "a zip archive, as .npz and .pt files are" : nil
  }

  private static func check(
    _ q: [Int], _ k: [Int], _ v: [Int], path: String, limits: CaseLimits
  ) throws(BenchmarkFileError) {
    let shapes = "q \(q), k \(k), v \(v)"
    guard q[0] == k[0], k[0] == v[0], k[1] == v[1], k[2] == v[2], q[3] == k[3] else {
      throw .notAnInput(
        file: path, problem: "\(shapes); expected [B, Hq, Lq, dk], [B, Hkv, Lk, dk], [B, Hkv, Lk, dv]")
    }
    let sizes = [
      ("B", q[0]), ("Hq", q[1]), ("Lq", q[2]), ("dk", q[3]), ("Hkv", k[1]), ("Lk", k[2]), ("dv", v[3]),
    ]
    if let empty = sizes.first(where: { $0.1 == 0 }) {
      throw .notAnInput(file: path, problem: "\(shapes); there is nothing to measure where \(empty.0) is 0")
    }
    do throws(BenchmarkCaseError) {
      _ = try BenchmarkCase(
        batch: q[0], heads: q[1], queryLength: q[2], keyLength: k[2], keyWidth: q[3], keyValueHeads: k[1],
        valueWidth: v[3], limits: limits)
    } catch {
      throw .notAnInput(file: path, problem: "\(shapes); \(error)")
    }
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
