import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels
import AttentionTraining
import Foundation

/// Standard output and standard error.
enum Terminal {
  /// Writes a result to standard output. A reader that has seen enough and closed its end is no error.
  static func write(_ text: String) throws(BenchmarkFileError) {
    guard let code = TextFile.write(text, to: STDOUT_FILENO), code != EPIPE else { return }
    throw .unwritable(file: "standard output", problem: String(cString: strerror(code)))
  }

  /// Writes a part of a result that goes on; answers false when the reader has seen enough and closed its end.
  static func writeStream(_ bytes: [UInt8]) throws(BenchmarkFileError) -> Bool {
    guard let code = TextFile.write(bytes, to: STDOUT_FILENO) else { return true }
    guard code == EPIPE else {
      throw .unwritable(file: "standard output", problem: String(cString: strerror(code)))
    }
    return false
  }

  /// Writes a warning to standard error.
  static func warn(_ text: String) { writeError("attention: warning: \(oneLine(text))\n") }

  static func writeError(_ text: String) { _ = TextFile.write(text, to: STDERR_FILENO) }

  /// Says on one line of standard error what went wrong, and answers the exit code. Help and version, which the parser
  /// throws too, go to standard output.
  static func explain(_ error: any Error) -> Int32 {
    if let code = error as? ExitCode { return code.rawValue }
    if let error = error as? BenchmarkFileError {
      writeError("attention: \(oneLine(error.description))\n")
      return error.exitCode
    }
    if let error = error as? ModelFileError {
      writeError("attention: \(oneLine(error.description))\n")
      return error.exitCode
    }
    if let error = error as? TextDataError {
      writeError("attention: \(oneLine(error.description))\n")
      return error.exitCode
    }
    if let error = error as? TrainingError {
      writeError("attention: \(oneLine(error.description))\n")
      return error.exitCode
    }
    guard AttentionTool.exitCode(for: error) != .success else {
      do throws(BenchmarkFileError) {
        let text = AttentionTool.fullMessage(for: error)
        try write(text.hasSuffix("\n") ? text : text + "\n")
        return 0
      } catch {
        return error.exitCode
      }
    }
    let message = oneLine(AttentionTool.message(for: error))
    writeError("attention: \(message.isEmpty ? "\(error)" : message) (see \(helpCommand(for: error)))\n")
    return AttentionTool.exitCode(for: error).rawValue
  }

  /// The command that explains the one that was misused: the parser names it in quotes, at the end.
  private static func helpCommand(for error: any Error) -> String {
    let quoted = AttentionTool.fullMessage(for: error).split(separator: "'")
    return quoted.last { $0.hasPrefix("attention ") && $0.hasSuffix(" --help") }.map(String.init) ?? "attention --help"
  }

  /// Text of any origin for a line of its own.
  static func oneLine(_ text: String) -> String {
    text.split(whereSeparator: \.isWhitespace).joined(separator: " ").printable
  }
}

/// A line on standard error that tells how far a run is; nothing when that is not a terminal.
final class ProgressLine: Sendable {
  private let isShown = isatty(STDERR_FILENO) == 1
  private let isPending = Guarded(false)

  func show(_ progress: BenchmarkProgress) {
    show(progress.stage.printable + (progress.all > 0 ? " (\(progress.done)/\(progress.all))" : ""))
  }

  func show(_ text: String) {
    guard isShown else { return }
    Terminal.writeError("\r\u{1B}[K\(text.prefix(100))")
    isPending.withLock { $0 = true }
  }

  /// Takes the line away.
  func clear() {
    isPending.withLock {
      if $0 { Terminal.writeError("\r\u{1B}[K") }
      $0 = false
    }
  }
}
