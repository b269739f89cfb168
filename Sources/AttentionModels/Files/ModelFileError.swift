import AttentionTensors

/// Why a model, or a tokenizer, could not be made from files.
public struct ModelFileError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The path of the file, as it was given.
  public let file: String
  /// What is wrong.
  public let reason: Reason

  package init(file: String, reason: Reason) {
    self.file = file
    self.reason = reason
  }

  /// What is wrong with a file.
  public enum Reason: Sendable, Equatable {
    /// It cannot be read.
    case unreadable(String)
    /// It is not a file of its kind, or is cut short.
    case damaged(String)
    /// It is not JSON from this byte on.
    case invalidJSON(byte: Int, problem: String)
    /// A field is missing.
    case missing(field: String)
    /// A field is not what it should be.
    case invalid(field: String, expected: String)
    /// A field asks for something that this package does not do.
    case unsupported(field: String, value: String)
    /// The vocabulary contradicts itself or something else in the file.
    case inconsistent(problem: String)
    /// A weight is missing.
    case missingTensor(name: String)
    /// A weight has another shape than the configuration says.
    case wrongShape(tensor: String, found: [Int], expected: [Int])
  }

  /// The exit code that `sysexits.h` has for it: 66 for what cannot be read, 65 for contents.
  package var exitCode: Int32 { if case .unreadable = reason { 66 } else { 65 } }

  /// One line that names the file and what is wrong.
  public var description: String {
    let problem =
      switch reason {
      case .unreadable(let why), .damaged(let why): why
      case .invalidJSON(let byte, let problem): "not JSON at byte \(byte): \(problem)"
      case .missing(let field): "\(field) is missing"
      case .invalid(let field, let expected): "\(field) is not \(expected)"
      case .unsupported(let field, let value): "\(field): \(quotedForMessage(value)) is not supported"
      case .inconsistent(let problem): problem
      case .missingTensor(let name): "the tensor \(quotedForMessage(name)) is missing"
      case .wrongShape(let name, let found, let expected):
        "the tensor \(quotedForMessage(name)) is \(found), and the configuration says \(expected)"
      }
    return "\(quotedForMessage(file)): \(problem)"
  }
}
