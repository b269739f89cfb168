import AttentionTensors

/// Why a text cannot be trained on: the file, and what is wrong with it.
public struct TextDataError: Error, Sendable, Equatable, CustomStringConvertible {
  /// The path of the file, or what the text was called.
  public let file: String
  /// What is wrong.
  public let reason: Reason

  package init(file: String, reason: Reason) {
    self.file = file
    self.reason = reason
  }

  /// What is wrong with a text.
  public enum Reason: Sendable, Equatable {
    /// The system refuses, or it is no regular file.
    case unreadable(TensorFileError.Reason)
    /// There is nothing in it but white space.
    case empty
    /// It is not UTF-8 from this byte on; lines count from 1, bytes from 0.
    case invalidUTF8(line: Int, byte: Int)
    /// A line is not what it should be; lines count from 1.
    case badLine(Int, problem: String)
    /// So few documents leave nothing to hold out, or nothing to train on.
    case tooFewToSplit(documents: Int)
    /// No token of it is predicted from another one.
    case nothingToPredict
  }

  /// The exit code that `sysexits.h` has for it: 66 for what cannot be read, 65 for contents.
  package var exitCode: Int32 { if case .unreadable = reason { 66 } else { 65 } }

  /// One line that names the file and what is wrong.
  public var description: String {
    let problem =
      switch reason {
      case .unreadable(let why): "\(why)"
      case .empty: "it holds no text"
      case .invalidUTF8(let line, let byte): "line \(line): it is not UTF-8 from byte \(byte) of the file on"
      case .badLine(let line, let problem): "line \(line): \(problem)"
      case .tooFewToSplit(let documents):
        documents == 1
          ? "it is one document, which cannot be split into one to train on and one to hold out"
          : "\(documents) documents are too few to hold some of them out"
      case .nothingToPredict: "it has too few tokens for one to be predicted from another"
      }
    return "\(quotedForMessage(file)): \(problem)"
  }
}
