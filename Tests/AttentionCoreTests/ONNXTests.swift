import Attention
import Foundation
import Testing

/// ONNX's own cases of Attention and Softmax (onnx 1.22.0), brought by `scripts/fetch-onnx-cases`.
@Suite struct ONNXTests {
  struct Case: Decodable, Sendable, CustomTestStringConvertible {
    struct Operand: Decodable, Sendable {
      let role: String
      let tensor: String
      let dtype: String
      let shape: [Int]
    }

    struct Attributes: Decodable, Sendable {
      let scale: Float?
      let softcap: Float?
      let is_causal: Int?
      let q_num_heads: Int?
      let kv_num_heads: Int?
      let qk_matmul_output_mode: Int?
      let axis: Int?
    }

    let name: String
    let op: String
    let attributes: Attributes
    let inputs: [Operand]
    let outputs: [Operand]

    var testDescription: String { name }

    func input(_ role: String) -> Operand? { inputs.first { $0.role == role } }
  }

  static let cases = Result { try PackageFiles.decode([Case].self, from: PackageFiles.onnx("cases.json")) }

  static func cases(_ op: String) -> [Case] { ((try? cases.get()) ?? []).filter { $0.op == op } }

  static func file() throws -> SafetensorsFile {
    try SafetensorsFile(path: PackageFiles.onnx("cases.safetensors").path)
  }

  @Test func allCasesAreThere() throws {
    let cases = try Self.cases.get()
    #expect(cases.count { $0.op == "Attention" } == 64)
    #expect(cases.count { $0.op == "Softmax" } == 7)
  }

  @Test(arguments: cases("Attention"), paths)
  func attention(_ testCase: Case, _ path: AttentionPath) throws {
    let file = try Self.file()
    let attributes = testCase.attributes
    func tensor(_ role: String) throws -> Tensor? {
      try testCase.input(role).map { try file.tensor(named: $0.tensor) }
    }
    // Rank 3 is [B, L, heads · d].
    let is3D = testCase.input("Q")?.shape.count == 3
    func separated(_ role: String, heads: Int?) throws -> Tensor {
      let operand = try #require(try tensor(role))
      return is3D ? operand.separatingHeads(try #require(heads)) : operand
    }
    let query = try separated("Q", heads: attributes.q_num_heads)
    var key = try separated("K", heads: attributes.kv_num_heads)
    var value = try separated("V", heads: attributes.kv_num_heads)
    var past = 0
    if let pastKey = try tensor("past_key"), let pastValue = try tensor("past_value") {
      past = pastKey.shape[2]
      key = pastKey.appendingRows(of: key)
      value = pastValue.appendingRows(of: value)
    }
    let mask = try Self.mask(testCase, file, past: past, key: key)
    let result = scaledDotProductAttention(
      query: query, key: key, value: value, mask: mask,
      options: AttentionOptions(
        scale: attributes.scale, softcap: attributes.softcap.flatMap { $0 > 0 ? $0 : nil }, path: path),
      returning: [.weights, .rawScores, .cappedScores, .biasedScores])
    for output in testCase.outputs {
      let actual: Tensor =
        switch output.role {
        case "Y": is3D ? result.output.mergingHeads() : result.output
        case "present_key": key
        case "present_value": value
        case "qk_matmul_output":
          switch attributes.qk_matmul_output_mode ?? 0 {
          case 0: try #require(result.scores[.raw])
          case 1: try #require(result.scores[.capped])
          case 2: try #require(result.scores[.biased])
          default: try #require(result.weights)
          }
        default: throw UnknownRole(role: output.role)
        }
      #expect(actual.shape == output.shape, "\(output.role)")
      let isHalf = output.dtype != "FLOAT"
      try Self.expectClose(
        actual, file.tensor(named: output.tensor), relative: isHalf ? 4e-3 : 1e-3, absolute: isHalf ? 1e-3 : 1e-7,
        output.role)
    }
  }

  @Test(arguments: cases("Softmax"))
  func softmax(_ testCase: Case) throws {
    let file = try Self.file()
    let input = try file.tensor(named: testCase.inputs[0].tensor)
    let result = input.softmax(along: testCase.attributes.axis ?? -1)
    let expected = try file.tensor(named: testCase.outputs[0].tensor)
    #expect(result.shape == expected.shape)
    try Self.expectClose(result, expected, relative: 1e-5, absolute: 1e-7, "softmax")
  }

  private static func mask(
    _ testCase: Case, _ file: SafetensorsFile, past: Int, key: Tensor
  ) throws -> AttentionMask {
    var mask = AttentionMask.none
    let keys = key.shape[2]
    if testCase.attributes.is_causal == 1 {
      // ONNX puts query 0 right behind the past keys, which need not be the end of the keys.
      mask = mask & (past == 0 ? .causal(.start) : .predicate { query, key in key <= query + past })
    }
    if let operand = testCase.input("attn_mask") {
      // A mask shorter than the keys hides the rest of them.
      let shape = Array(operand.shape.dropLast()) + [keys]
      if operand.dtype == "BOOL" {
        let cells = try file.booleanTensor(named: operand.tensor).cells
        mask = mask & .allowed(BooleanTensor(widen(cells, from: operand.shape, to: keys, filling: false), shape: shape))
      } else {
        let values = try file.tensor(named: operand.tensor).scalars
        mask = mask & .bias(Tensor(widen(values, from: operand.shape, to: keys, filling: -.infinity), shape: shape))
      }
    }
    if let operand = testCase.input("nonpad_kv_seqlen") {
      mask = mask & .keyLengths(try file.integers(named: operand.tensor).values)
    }
    return mask
  }

  private static func widen<Element>(
    _ cells: [Element], from shape: [Int], to keys: Int, filling filler: Element
  ) -> [Element] {
    let width = shape[shape.count - 1]
    return stride(from: 0, to: cells.count, by: width).flatMap {
      cells[$0..<$0 + width] + [Element](repeating: filler, count: keys - width)
    }
  }

  private static func expectClose(
    _ actual: Tensor, _ expected: Tensor, relative: Float, absolute: Float, _ name: String
  ) throws {
    for (index, (x, y)) in zip(actual.scalars, expected.scalars).enumerated() {
      let agree = y.isFinite ? abs(x - y) <= absolute + relative * abs(y) : x == y || (x.isNaN && y.isNaN)
      if !agree {
        Issue.record("\(name)[\(index)]: \(x) for \(y)")
        return
      }
    }
  }

  struct UnknownRole: Error { let role: String }
}

extension Tensor {
  /// `[B, L, heads · d]` as `[B, heads, L, d]`.
  func separatingHeads(_ heads: Int) -> Tensor {
    permuted(outer: shape[0], first: shape[1], second: heads, inner: shape[2] / heads)
      .reshaped(to: [shape[0], heads, shape[1], shape[2] / heads])
  }

  /// `[B, heads, L, d]` as `[B, L, heads · d]`.
  func mergingHeads() -> Tensor {
    permuted(outer: shape[0], first: shape[1], second: shape[2], inner: shape[3])
      .reshaped(to: [shape[0], shape[2], shape[1] * shape[3]])
  }

  /// Swaps two middle axes.
  private func permuted(outer: Int, first: Int, second: Int, inner: Int) -> Tensor {
    let source = scalars
    var result: [Float] = []
    result.reserveCapacity(source.count)
    for o in 0..<outer {
      for s in 0..<second {
        for f in 0..<first {
          let start = ((o * first + f) * second + s) * inner
          result += source[start..<start + inner]
        }
      }
    }
    return Tensor(result, shape: [outer, second, first, inner])
  }

  /// Concatenates along axis 2.
  func appendingRows(of other: Tensor) -> Tensor {
    let (mine, theirs) = (scalars, other.scalars)
    let (count, otherCount) = (shape[2] * shape[3], other.shape[2] * shape[3])
    var result: [Float] = []
    for head in 0..<shape[0] * shape[1] {
      result += mine[head * count..<(head + 1) * count]
      result += theirs[head * otherCount..<(head + 1) * otherCount]
    }
    return Tensor(result, shape: [shape[0], shape[1], shape[2] + other.shape[2], shape[3]])
  }
}
