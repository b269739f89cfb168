import Foundation
import Testing

/// Help, version, and every wrong use: one line, a code of sysexits, no trap.
@Suite("Use of the command")
struct UsageTests {
  static let helps: [[String]] = [
    [], ["--help"], ["help"], ["bench", "--help"], ["help", "bench"], ["bench", "attention", "--help"],
    ["bench", "gemm", "-h"], ["bench", "decode", "--help"], ["bench", "backward", "--help"],
    ["bench", "ragged", "--help"], ["bench", "tune", "--help"], ["info", "--help"],
    ["tokenize", "--help"], ["bench", "tokenize", "--help"],
  ]

  @Test(arguments: helps)
  func help(arguments: [String]) throws {
    let run = try AttentionProcess(arguments)
    #expect(run.exitCode == 0 && run.errors.isEmpty)
    #expect(run.output.contains("OVERVIEW") && run.output.contains("USAGE: attention"))
  }

  /// A default subcommand's options are the options of whoever does not name it.
  @Test(arguments: [["bench", "--help"], ["help", "bench"]])
  func helpOfBenchShowsTheOptions(arguments: [String]) throws {
    let text = try AttentionProcess(arguments).output
    for option in [
      "--cases", "--paths", "--input", "--plot", "--threads", "--seed", "--repeats", "--format", "--save", "--baseline",
      "--noise-threshold",
    ] {
      #expect(text.contains("\n  \(option) <"), "\(option)")
    }
    #expect(text.contains("USAGE: attention bench [<options>]") && text.components(separatedBy: "--help  ").count == 2)
  }

  @Test func version() throws {
    let run = try AttentionProcess(["--version"])
    #expect(run.exitCode == 0 && run.output.split(separator: ".").count == 3)
  }

  static let wrongUses: [[String]] = [
    ["nonsense"], ["--nonsense"], ["info", "--nonsense"], ["info", "extra"], ["info", "--format", "xml"],
    ["bench", "nonsense"], ["bench", "--nonsense"], ["bench", "--cases"], ["bench", "--cases", ""],
    ["bench", "--cases", "nonsense"], ["bench", "--cases", "h0q8d8"], ["bench", "--cases", "h2q8d0"],
    ["bench", "--cases", "h2q0d8"], ["bench", "--cases", "h3q8d8-kv2"], ["bench", "--cases", "h2q8d8-foo"],
    ["bench", "--cases", "h2q8d8", "--cases", "x"], ["bench", "--cases", "h2q99999999d64"],
    ["bench", "--cases", "b2147483647h2147483647q2147483647d2147483647"], ["bench", "--cases", "h2q8d8\n\u{1}"],
    ["bench", "--cases", "h1q1-100000d1"], ["bench", "--paths", "fast"], ["bench", "--paths", ""],
    ["bench", "--paths", "naive,"], ["bench", "--threads", "0"], ["bench", "--threads", "-1"],
    ["bench", "--threads", "65537"], ["bench", "--threads", "two"], ["bench", "--threads", "99999999999999999999"],
    ["bench", "--seed", "-1"], ["bench", "--seed", "1.5"], ["bench", "--repeats", "0"], ["bench", "--repeats", "x"],
    ["bench", "--format", "xml"], ["bench", "--noise-threshold", "nan"], ["bench", "--noise-threshold", "-0.1"],
    ["bench", "--paths", "naive, ,blas"], ["bench", "--save", "/tmp/x", "--plot", "/tmp/x"],
    ["bench", "--save", "/tmp/x", "--plot", "/tmp/../tmp/x"], ["bench", "--input", "./x", "--save", "x"],
    ["bench", "--baseline", "/tmp/./x", "--plot", "/tmp/x"],
    ["bench", "--noise-threshold", "inf"], ["bench", "gemm", "--cases", "h2q8d8"], ["bench", "gemm", "--threads", "0"],
    ["bench", "decode", "--depths", "0"], ["bench", "decode", "--depths", "x"], ["bench", "decode", "--batch", "1.5"],
    ["bench", "decode", "--heads", "h2"], ["bench", "decode", "--heads", "h2q8d8"],
    ["bench", "decode", "--cases", "x"],
    ["bench", "decode", "--depths", "2147483647"], ["bench", "ragged", "--lengths", ""],
    ["bench", "ragged", "--lengths", "gauss:3x4"], ["bench", "ragged", "--lengths", "0"],
    ["bench", "ragged", "--lengths", "@"], ["bench", "ragged", "--lengths", "uniform:1000000x2147483647"],
    ["bench", "ragged", "--heads", "h2q3d4"], ["bench", "ragged", "--paths", "fast"],
    ["bench", "ragged", "--lengths", "@/tmp/../tmp/x", "--save", "/tmp/x"],
  ]

  @Test(arguments: wrongUses)
  func wrongUse(arguments: [String]) throws {
    let run = try AttentionProcess(arguments)
    #expect(run.exitCode == 64 && !run.wasKilled)
    #expect(run.output.isEmpty)
    #expect(run.errorLines.count == 1 && run.errors.hasSuffix("\n"), "\(run.errors)")
    #expect(run.errors.hasPrefix("attention: "))
  }

  static let expectations: [([String], String)] = [
    (["bench", "--threads", "x"], "from 1 to"), (["bench", "--paths", "x"], "naive, blas"),
    (["bench", "--cases", "h2q8d8-foo"], "-causal"), (["bench", "--format", "x"], "'markdown'"),
    (["bench", "--cases", "h12q8d8-kv5"], "divisor"), (["bench", "--cases", "h2q8"], "d (the width of a head)"),
    (["bench", "--cases", "h2q99999999d64"], "GiB of memory are needed"),
  ]

  @Test(arguments: expectations)
  func theLineSaysWhatWasExpected(arguments: [String], expectation: String) throws {
    #expect(try AttentionProcess(arguments).errors.contains(expectation))
  }

  static let missingFiles: [([String], Int32)] = [
    (["--input", "/nonexistent"], 66), (["--input", "/"], 66), (["--input", ""], 66),
    (["--baseline", "/nonexistent"], 66), (["--baseline", "/"], 66), (["--save", "/nonexistent/file"], 73),
    (["--save", "/proc/x"], 73), (["--plot", "/proc/x"], 73), (["--plot", "/nonexistent/file"], 73),
    (["--save", "/"], 73), (["--plot", ""], 73),
  ]

  @Test(arguments: missingFiles)
  func filesThatAreNotThere(arguments: [String], code: Int32) throws {
    let run = try AttentionProcess(["bench", "--cases", "b1h2q16d8", "--repeats", "1"] + arguments)
    #expect(run.exitCode == code && run.output.isEmpty && run.errorLines.count == 1, "\(run.errors)")
  }

  @Test(arguments: ["--input", "--baseline"])
  func filesOfSomethingElse(option: String) throws {
    try withTemporaryFolder { folder in
      for text in ["", "{}", "nonsense\u{0}", String(repeating: "a", count: 1000)] {
        let file = folder.appendingPathComponent("file")
        try Data(text.utf8).write(to: file)
        let run = try AttentionProcess(["bench", option, file.path])
        #expect(run.exitCode == 65 && run.output.isEmpty && run.errorLines.count == 1, "\(text): \(run.errors)")
      }
    }
  }

  @Test(
    "Nothing that is said carries an escape sequence",
    arguments: [["\u{1B}[31m"], ["bench", "--cases", "h\u{1B}[31m"]])
  func escapeSequences(arguments: [String]) throws {
    let run = try AttentionProcess(arguments)
    #expect(run.exitCode == 64 && !run.errors.contains("\u{1B}") && run.errors.contains("\\u{1b}"), "\(run.errors)")
  }

  @Test func aReaderThatLeavesIsNoCrash() throws {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "{ \"$0\" info; echo $? >&2; } | true", try AttentionProcess.executable().path]
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(text.split(separator: "\n").last == "0", "\(text)")
  }

  #if os(Linux)
    /// OpenBLAS would wait for ever; before it is asked, the command ends.
    @Test func tooLittleAddressSpaceIsSaid() throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = [
        "-c", "ulimit -v 500000; exec \"$@\"", "sh", try AttentionProcess.executable().path, "bench", "--threads", "2",
      ]
      let errors = Pipe()
      process.standardError = errors
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
      process.waitUntilExit()
      #expect(process.terminationStatus == 64 && text.contains("2 threads may take 400 MiB"), "\(text)")
    }

    @Test func aFullDiskIsSaid() throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/bin/sh")
      process.arguments = ["-c", "\"$0\" info > /dev/full 2> /dev/null", try AttentionProcess.executable().path]
      try process.run()
      process.waitUntilExit()
      #expect(process.terminationStatus == 74)
    }
  #endif
}
