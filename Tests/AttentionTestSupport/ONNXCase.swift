import Attention
import Foundation
import Testing

/// One of ONNX's own cases of an operator (onnx 1.22.0), brought by `scripts/fetch-onnx-cases`.
package struct ONNXCase: Decodable, Sendable, CustomTestStringConvertible {
  package struct Operand: Decodable, Sendable {
    package let role: String
    package let tensor: String
    package let shape: [Int]
  }

  package let name: String
  package let op: String
  package let opset: Int
  package let attributes: [String: LayerFixture.JSONValue]
  package let inputs: [Operand]
  package let outputs: [Operand]

  package var testDescription: String { name }

  /// The cases of an operator; none where they have not been brought, which a test of their count says.
  package static func all(_ op: String) -> [ONNXCase] {
    let cases = try? JSONDecoder().decode([ONNXCase].self, from: Data(contentsOf: file("cases.json")))
    return (cases ?? []).filter { $0.op == op }
  }

  private static func file(_ name: String) -> URL {
    URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: ".build/onnx/\(name)")
  }

  package func tensor(_ role: String) throws -> Tensor? {
    guard let operand = (inputs + outputs).first(where: { $0.role == role }) else { return nil }
    return try SafetensorsFile(path: ONNXCase.file("cases.safetensors").path).tensor(named: operand.tensor)
  }

  package func integers(_ role: String) throws -> [Int]? {
    guard let operand = (inputs + outputs).first(where: { $0.role == role }) else { return nil }
    return try SafetensorsFile(path: ONNXCase.file("cases.safetensors").path).integers(named: operand.tensor).values
  }

  package func number(_ attribute: String) -> Double? {
    guard case .number(let value)? = attributes[attribute] else { return nil }
    return value
  }

  package func string(_ attribute: String) -> String? {
    guard case .string(let value)? = attributes[attribute] else { return nil }
    return value
  }

  /// Whether it says nothing that the test does not honour.
  package func hasOnly(attributes known: String...) -> Bool { attributes.keys.allSatisfy(known.contains) }

  /// Compares a result with the case's output of that role.
  package func expect(_ role: String, _ actual: Tensor, relative: Float = 1e-4, absolute: Float = 1e-6) throws {
    let expected = try #require(try tensor(role), "\(name) has no \(role)")
    #expect(actual.shape == expected.shape, "\(name)/\(role)")
    for (index, (x, y)) in zip(actual.scalars, expected.scalars).enumerated() {
      let agree = y.isFinite ? abs(x - y) <= absolute + relative * abs(y) : x == y || (x.isNaN && y.isNaN)
      guard agree else {
        Issue.record("\(name)/\(role)[\(index)]: \(x) for \(y)")
        return
      }
    }
  }
}
