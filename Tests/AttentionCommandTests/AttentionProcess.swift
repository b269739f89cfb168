import Foundation
import Testing

/// One run of the built command: what it printed and how it ended.
struct AttentionProcess {
  let output: String
  let errors: String
  let exitCode: Int32
  let wasKilled: Bool

  /// Runs the command that was built beside the tests.
  init(_ arguments: [String], environment: [String: String] = [:]) throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("attention-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    // Files, not pipes: nobody has to read while the command writes.
    let (out, err) = (folder.appendingPathComponent("out"), folder.appendingPathComponent("err"))
    for file in [out, err] { try Data().write(to: file) }
    let process = Process()
    process.executableURL = try Self.executable()
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = try FileHandle(forWritingTo: out)
    process.standardError = try FileHandle(forWritingTo: err)
    try process.run()
    process.waitUntilExit()
    output = String(decoding: try Data(contentsOf: out), as: UTF8.self)
    errors = String(decoding: try Data(contentsOf: err), as: UTF8.self)
    exitCode = process.terminationStatus
    wasKilled = process.terminationReason == .uncaughtSignal
  }

  /// The lines on standard error.
  var errorLines: [Substring] { errors.split(separator: "\n") }

  /// The lines on standard error that are no warnings; a debug build warns that it is one.
  var complaints: [Substring] { errorLines.filter { !$0.hasPrefix("attention: warning: ") } }

  /// The command lies in the folder of build products, where the test bundle lies or is.
  static func executable() throws -> URL {
    var folder = Bundle.main.executableURL?.deletingLastPathComponent()
    for bundle in Bundle.allBundles where bundle.bundlePath.hasSuffix(".xctest") {
      folder = bundle.bundleURL.deletingLastPathComponent()
    }
    let file = try #require(folder).appendingPathComponent("attention")
    try #require(FileManager.default.isExecutableFile(atPath: file.path), "\(file.path) is not there")
    return file
  }
}

/// Calls `body` with the path of an empty folder, and deletes it.
func withTemporaryFolder(_ body: (URL) throws -> Void) throws {
  let folder = FileManager.default.temporaryDirectory.appendingPathComponent("attention-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  defer { try? FileManager.default.removeItem(at: folder) }
  try body(folder)
}

/// Arguments of a benchmark that takes a moment.
let tinyBenchmark = ["bench", "--cases", "b1h2q16d8", "--repeats", "2"]

/// The report that a benchmark prints with `--format json`.
func benchmarkReport(_ arguments: [String]) throws -> (machine: [String: Any], rows: [[String: Any]]) {
  let run = try AttentionProcess(arguments)
  #expect(run.exitCode == 0 && run.complaints.isEmpty, "\(run.errors)")
  let object = try #require(try JSONSerialization.jsonObject(with: Data(run.output.utf8)) as? [String: Any])
  return (try #require(object["machine"] as? [String: Any]), try #require(object["rows"] as? [[String: Any]]))
}
