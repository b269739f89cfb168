import Attention

/// What is wrong with a file that a benchmark reads or writes. ``description`` is one line.
public enum BenchmarkFileError: Error, Sendable, Equatable {
  /// The file of tensors cannot be read.
  case tensors(TensorFileError)
  /// The tensors can be read, and are not a problem of attention.
  case notAnInput(file: String, problem: String)
  /// The file holds no lengths of sequences.
  case notLengths(file: String, problem: String)
  /// The file cannot be read as lines of text.
  case notText(file: String, problem: String)
  /// The file cannot be opened or read.
  case unreadable(file: String, problem: String)
  /// The saved report is not one that this command saves.
  case notAReport(file: String, problem: String)
  /// The file cannot be created.
  case uncreatable(file: String, problem: String)
  /// The file cannot be written to its end.
  case unwritable(file: String, problem: String)

  /// The exit code that `sysexits.h` has for it.
  public var exitCode: Int32 {
    switch self {
    case .tensors(let error):
      switch error.reason {
      case .cannotOpen, .invalidPath, .notARegularFile: 66
      case .cannotRead, .cannotWrite, .notEnoughMemory: 74
      default: 65
      }
    case .notAnInput, .notLengths, .notText, .notAReport: 65
    case .unreadable: 66
    case .uncreatable: 73
    case .unwritable: 74
    }
  }
}

extension BenchmarkFileError: CustomStringConvertible {
  /// One line that names the file and says what was expected.
  public var description: String {
    switch self {
    case .tensors(let error): error.description
    case .notAnInput(let file, let problem): "\(quotedForMessage(file)) is no input: \(problem)"
    case .notLengths(let file, let problem):
      "\(quotedForMessage(file)) is no list of lengths: \(problem)"
    case .notText(let file, let problem): "\(quotedForMessage(file)) is no text: \(problem)"
    case .unreadable(let file, let problem): "\(quotedForMessage(file)) cannot be read: \(problem)"
    case .notAReport(let file, let problem):
      "\(quotedForMessage(file)) is no report that --save wrote: \(problem)"
    case .uncreatable(let file, let problem): "\(quotedForMessage(file)) cannot be created: \(problem)"
    case .unwritable(let file, let problem): "\(quotedForMessage(file)) cannot be written: \(problem)"
    }
  }
}
