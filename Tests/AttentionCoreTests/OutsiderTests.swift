import Foundation
import Testing

/// The README's example is a package that links the library from outside: it is built and run as a user would.
// One build at a time: both are of one package.
@Suite(.serialized) struct OutsiderTests {
  static let package = PackageFiles.root.appending(path: "Tests/Outsider")

  /// Each example, and what it prints in the end.
  static let examples = [
    ("Outsider", "[1, 12, 128, 64] [1, 12, 128, 128]\n"), ("Training", "true\n"), ("Embedding", "true\n"),
  ]

  @Test(arguments: examples) func readmeShowsTheExample(_ name: String, _ output: String) throws {
    let readme = try String(contentsOf: PackageFiles.root.appending(path: "README.md"), encoding: .utf8)
    let example = try String(contentsOf: Self.package.appending(path: "Sources/\(name)/main.swift"), encoding: .utf8)
    #expect(readme.contains("```swift\n\(example)```"))
  }

  /// Once in a run of the whole suite: the configurations that `scripts/test` repeats it for leave this one out.
  @Test(arguments: examples) func examplesBuildAndRun(_ name: String, _ expected: String) throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [
      "swift", "run", "-c", "release", "--package-path", Self.package.path, "--scratch-path",
      PackageFiles.root.appending(path: ".build/outsider").path, name,
    ]
    process.currentDirectoryURL = PackageFiles.root
    let output = Pipe()
    process.standardOutput = output
    try process.run()
    let printed = String(decoding: try output.fileHandleForReading.readToEnd() ?? Data(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0)
    #expect(printed.hasSuffix(expected))
  }
}
