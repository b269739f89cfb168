import Attention
import Foundation
import Testing

/// PyTorch's float64 results, made by `scripts/make-attention-fixtures`.
@Suite struct PyTorchFixtureTests {
  struct Fixture: Decodable, Sendable, CustomTestStringConvertible {
    struct Mask: Decodable, Sendable {
      let kind: String
      let alignment: String?
      let lengths: [Int]?
      let left: Int?
      let right: Int?
      let query: [[Int]]?
      let key: [[Int]]?
      let slopes: [Float]?

      func aligned() throws -> AttentionMask.Alignment {
        try #require(alignment.flatMap(AttentionMask.Alignment.init))
      }
    }

    struct Layout: Decodable, Sendable {
      let query_lengths: [Int]
      let key_lengths: [Int]
      let heads: Int
      let kv_heads: Int
    }

    let name: String
    let scale: Float?
    let softcap: Float?
    let masks: [Mask]
    let layout: Layout?

    var testDescription: String { name }
  }

  static let fixtures = Result {
    try PackageFiles.decode([Fixture].self, from: PackageFiles.fixture("attention.json"))
  }

  static func file() throws -> SafetensorsFile {
    try SafetensorsFile(path: PackageFiles.fixture("attention.safetensors").path)
  }

  private static let operands = ["query", "key", "value", "allowed", "bias"]

  @Test func allFixturesAreThere() throws {
    #expect(try Self.fixtures.get().count == 83)
    // What the comparisons below come to in all: each expects to compare every result that its fixture holds.
    let names = try Self.fixtures.get().map(\.name)
    let results = try Self.file().entries.map(\.name).filter { entry in
      !Self.operands.contains { entry.hasSuffix("/\($0)") } && names.contains { entry.hasPrefix("\($0)/") }
    }
    #expect(results.count == 267)
  }

  @Test(arguments: (try? fixtures.get()) ?? [], paths)
  func agreesWithPyTorch(_ fixture: Fixture, _ path: AttentionPath) throws {
    let file = try Self.file()
    let query = try file.tensor(named: "\(fixture.name)/query")
    let key = try file.tensor(named: "\(fixture.name)/key")
    let value = try file.tensor(named: "\(fixture.name)/value")
    let mask = try Self.mask(fixture, file)
    let options = AttentionOptions(scale: fixture.scale, softcap: fixture.softcap, path: path)
    var results: [String: Tensor] = [:]
    if let layout = fixture.layout {
      let result = scaledDotProductAttention(
        query: query, key: key, value: value, layout: SequenceLayout(lengths: layout.query_lengths),
        keyLayout: SequenceLayout(lengths: layout.key_lengths), heads: layout.heads, keyValueHeads: layout.kv_heads,
        mask: mask, options: options, returning: [.logSumExp])
      results["output"] = result.output
      results["log_sum_exp"] = result.logSumExp
    } else {
      let result = scaledDotProductAttention(
        query: query, key: key, value: value, mask: mask, options: options, returning: allExtras)
      results["output"] = result.output
      results["log_sum_exp"] = result.logSumExp
      results["weights"] = result.weights
      for (stage, scores) in result.scores { results["scores_\(stage.rawValue)"] = scores }
    }
    var compared = 0
    let largestScore =
      fixture.layout != nil || file.entry(named: "\(fixture.name)/scores_biased") == nil
      ? Self.largestScore(query, key, options)
      : try file.doubles(named: "\(fixture.name)/scores_biased").values.filter(\.isFinite).map(abs).max() ?? 0
    for (name, tensor) in results {
      guard file.entry(named: "\(fixture.name)/\(name)") != nil else { continue }
      let expected = try file.doubles(named: "\(fixture.name)/\(name)")
      // A ragged log-sum-exp may be stored as [tokens, heads] or not at all; the counts must agree either way.
      #expect(tensor.count == expected.values.count, "\(name): \(tensor.shape) for \(expected.shape)")
      var difference = Difference()
      for (index, (actual, wanted)) in zip(tensor.scalars, expected.values).enumerated() {
        // PyTorch multiplies by padding; here keys past the length are never read, and their scores are −∞.
        let isPadding = name.hasPrefix("scores") && Self.isPadding(index, shape: expected.shape, fixture)
        difference.add("\(name)[\(index)]", actual, isPadding ? -.infinity : wanted)
      }
      #expect(difference.mismatch == nil, "\(name)")
      // Past scores of 64, float32 itself misses the bound in proportion to the scores.
      #expect(difference.excess <= (largestScore <= 64 ? 0 : largestScore * 1e-6), "\(name)")
      compared += 1
    }
    // Every tensor that the fixture holds beside its operands.
    let operands = Self.operands.map { "\(fixture.name)/\($0)" }
    let stored = file.entries.map(\.name).filter { $0.hasPrefix("\(fixture.name)/") && !operands.contains($0) }
    #expect(stored.contains("\(fixture.name)/output"))
    #expect(compared == stored.count, "\(stored)")
  }

  /// Whether a cell of `[B, Hq, Lq, Lk]` lies past its sequence's key length.
  private static func isPadding(_ index: Int, shape: [Int], _ fixture: Fixture) -> Bool {
    let sequence = index / (shape[1] * shape[2] * shape[3])
    return fixture.masks.contains { mask in mask.lengths.map { index % shape[3] >= $0[sequence] } ?? false }
  }

  /// A bound by Cauchy and Schwarz on the scores before the softcap.
  private static func largestScore(_ query: Tensor, _ key: Tensor, _ options: AttentionOptions) -> Double {
    func norm(_ tensor: Tensor) -> Double { Double(tensor.scalars.map(abs).max() ?? 0) }
    return norm(query) * norm(key) * Double(options.scale ?? 1) * 16
  }

  private static func mask(_ fixture: Fixture, _ file: SafetensorsFile) throws -> AttentionMask {
    try fixture.masks.reduce(.none) { mask, description in
      mask & (try condition(description, fixture, file))
    }
  }

  private static func condition(
    _ mask: Fixture.Mask, _ fixture: Fixture, _ file: SafetensorsFile
  ) throws -> AttentionMask {
    switch mask.kind {
    case "causal": .causal(try mask.aligned())
    case "key_lengths": .keyLengths(try #require(mask.lengths))
    case "window": .window(left: mask.left, right: mask.right, alignment: try mask.aligned())
    case "documents": .documents(query: try #require(mask.query), key: try #require(mask.key))
    case "allowed": .allowed(try file.booleanTensor(named: "\(fixture.name)/allowed"))
    case "bias": .bias(try file.tensor(named: "\(fixture.name)/bias"))
    case "alibi": .linearBias(slopes: try #require(mask.slopes), alignment: try mask.aligned())
    default: throw UnknownMask(kind: mask.kind)
    }
  }

  struct UnknownMask: Error { let kind: String }
}
