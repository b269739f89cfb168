import Attention
import Foundation
import Testing

/// A case that PyTorch computed in float64, forward and back: see `scripts/make-layer-fixtures`.
package struct LayerFixture: Sendable, CustomTestStringConvertible {
  package let name: String
  package let settings: [String: JSONValue]
  private let file: SafetensorsFile

  package var testDescription: String { name }

  /// The cases of a module, in their order.
  package static func all(_ module: String) throws -> [LayerFixture] {
    let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .appending(path: "AttentionLayersTests/Fixtures")
    let file = try SafetensorsFile(path: folder.appending(path: "\(module).safetensors").path)
    let cases = try JSONDecoder().decode(
      [Case].self, from: Data(contentsOf: folder.appending(path: "\(module).json")))
    return cases.map { LayerFixture(name: $0.name, settings: $0.settings, file: file) }
  }

  private struct Case: Decodable {
    let name: String
    let settings: [String: JSONValue]
  }

  /// What a setting may be.
  package enum JSONValue: Sendable, Decodable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case string(String)
    case array([JSONValue])

    package init(from decoder: any Decoder) throws {
      let container = try decoder.singleValueContainer()
      if container.decodeNil() {
        self = .null
      } else if let value = try? container.decode(Bool.self) {
        self = .bool(value)
      } else if let value = try? container.decode(Double.self) {
        self = .number(value)
      } else if let value = try? container.decode(String.self) {
        self = .string(value)
      } else {
        self = .array(try container.decode([JSONValue].self))
      }
    }
  }

  // MARK: Settings

  package func string(_ key: String) throws -> String {
    guard case .string(let value)? = settings[key] else { throw MissingSetting(name: name, key: key) }
    return value
  }

  package func integer(_ key: String) throws -> Int {
    guard case .number(let value)? = settings[key] else { throw MissingSetting(name: name, key: key) }
    return Int(value)
  }

  package func float(_ key: String) throws -> Float {
    guard case .number(let value)? = settings[key] else { throw MissingSetting(name: name, key: key) }
    return Float(value)
  }

  package func bool(_ key: String) throws -> Bool {
    guard case .bool(let value)? = settings[key] else { throw MissingSetting(name: name, key: key) }
    return value
  }

  package func integers(_ key: String) throws -> [Int] {
    guard case .array(let values)? = settings[key] else { throw MissingSetting(name: name, key: key) }
    return try values.map {
      guard case .number(let value) = $0 else { throw MissingSetting(name: name, key: key) }
      return Int(value)
    }
  }

  package struct MissingSetting: Error {
    let name: String
    let key: String
  }

  // MARK: Tensors

  /// The names of the tensors of a kind: "input", "output", "upstream" or "gradient".
  package func roles(_ kind: String) -> [String] {
    let prefix = "\(name)/\(kind)/"
    return file.entries.map(\.name).filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) }
  }

  package func has(_ role: String) -> Bool { file.entry(named: "\(name)/input/\(role)") != nil }
  package func input(_ role: String) throws -> Tensor { try file.tensor(named: "\(name)/input/\(role)") }
  package func integerInput(_ role: String) throws -> [Int] { try file.integers(named: "\(name)/input/\(role)").values }
  package func booleanInput(_ role: String) throws -> BooleanTensor {
    try file.booleanTensor(named: "\(name)/input/\(role)")
  }

  /// The floating inputs.
  package func inputs() throws -> [String: Tensor] {
    var inputs: [String: Tensor] = [:]
    for role in roles("input") where file.entry(named: "\(name)/input/\(role)")?.type == .float32 {
      inputs[role] = try input(role)
    }
    return inputs
  }

  // MARK: Comparison

  /// Runs `body` on tracked inputs and compares every output and every input's gradient with PyTorch's.
  ///
  /// Also runs it untracked, where outputs must have the same bits. Outputs may miss by 1e-5 + 5e-6·|x|, gradients by
  /// 1e-5 + 1e-5·|x|, where |x| is at least the tensor's root mean square, times `factor`.
  package func check(
    factor: Double = 1, sameBits: Bool = true, _ body: (_ inputs: [String: Tensor]) throws -> [String: Tensor]
  ) throws {
    let inputs = try inputs()
    let untracked = try body(inputs)
    let tracked = inputs.mapValues { $0.tracked() }
    let results = try body(tracked)
    #expect(Set(results.keys) == Set(roles("output")), "\(name): the outputs")
    for (role, result) in results.sorted(by: { $0.key < $1.key }) {
      try compare(result, "output/\(role)", absolute: 1e-5 * factor, relative: 5e-6 * factor)
      guard let plain = untracked[role] else { continue }
      #expect(!plain.isTracked, "\(name)/\(role): nothing was tracked")
      if sameBits {
        #expect(
          zip(plain.scalars, result.scalars).allSatisfy { $0.bitPattern == $1.bitPattern || ($0.isNaN && $1.isNaN) },
          "\(name)/\(role): other bits when tracked")
      }
    }
    let flowing = roles("upstream")
    guard !flowing.isEmpty else { return }
    let names = tracked.keys.sorted()
    #expect(Set(names) == Set(roles("gradient")), "\(name): the gradients")
    let found = gradients(
      of: flowing.compactMap { results[$0] },
      upstream: try flowing.map { try file.tensor(named: "\(name)/upstream/\($0)") },
      withRespectTo: names.map { tracked[$0]! })
    for (role, gradient) in zip(names, found) {
      try compare(gradient, "gradient/\(role)", absolute: 1e-5 * factor, relative: 1e-5 * factor)
    }
  }

  /// Compares one tensor with what the fixture holds under a name such as "output/result".
  package func compare(_ actual: Tensor, _ path: String, absolute: Double = 1e-5, relative: Double = 5e-6) throws {
    let expected = try file.doubles(named: "\(name)/\(path)")
    #expect(actual.shape == expected.shape, "\(name)/\(path)")
    guard actual.count == expected.values.count else { return }
    let finite = expected.values.filter(\.isFinite)
    let size = finite.isEmpty ? 0 : (finite.reduce(0) { $0 + $1 * $1 } / Double(finite.count)).squareRoot()
    var worst = (excess: -Double.infinity, text: "")
    for (index, (value, wanted)) in zip(actual.scalars, expected.values).enumerated() {
      let error = Double(value) - wanted
      var excess = abs(error) - absolute - relative * max(abs(wanted), size)
      if wanted.isNaN || wanted.isInfinite {
        excess = (wanted.isNaN && value.isNaN) || Double(value) == wanted ? -1 : .infinity
      } else if !value.isFinite {
        excess = .infinity
      }
      if excess > worst.excess { worst = (excess, "[\(index)]: \(value) for \(wanted)") }
    }
    #expect(worst.excess <= 0, "\(name)/\(path)\(worst.text)")
  }
}
