import AttentionTensors

/// Why tensors do not fit a layer.
public struct ParameterError: Error, Sendable, Equatable, CustomStringConvertible {
  /// A tensor that is there and does not fit.
  public struct Mismatch: Sendable, Equatable {
    /// The parameter's name.
    public let name: String
    /// The shape that the layer has.
    public let expected: [Int]
    /// The shape that was found.
    public let found: [Int]
  }

  /// Where the tensors came from.
  public let source: String
  /// Names that the layer expects and the source lacks.
  public let missing: [String]
  /// Names that the source holds and the layer does not expect.
  public let unexpected: [String]
  /// Tensors of another shape than the layer's.
  public let mismatched: [Mismatch]

  /// Everything that is wrong, with the names expected and found.
  public var description: String { "\(source): \(parts)" }

  /// What is wrong, without where the tensors came from.
  package var parts: String {
    var parts: [String] = []
    if !missing.isEmpty { parts.append("expected and not found: \(missing.joined(separator: ", "))") }
    if !unexpected.isEmpty { parts.append("found and not expected: \(unexpected.joined(separator: ", "))") }
    for tensor in mismatched { parts.append("\(tensor.name): expected \(tensor.expected), found \(tensor.found)") }
    return parts.joined(separator: "; ")
  }
}

/// Why a layer could not be loaded from a file.
public enum LayerLoadingError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The file could not be read.
  case file(TensorFileError)
  /// Its tensors are not the layer's.
  case parameters(ParameterError)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .file(let error): "\(error)"
    case .parameters(let error): "\(error)"
    }
  }
}
