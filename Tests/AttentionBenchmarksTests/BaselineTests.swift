import AttentionBenchmarks
import Foundation
import Testing

/// Verdicts of a comparison: beyond the threshold, and beyond three deviations of both.
@Suite("Baseline")
struct BaselineTests {
  @Test(
    arguments: [
      // before, its deviation, now, its deviation
      (10.0, 0.1, 10.9, 0.1, Comparison.Verdict.same), (10, 0.1, 11.1, 0.1, .slower), (10, 0.1, 8.9, 0.1, .faster),
      (10, 0.5, 11.4, 0.1, .same), (10, 0.1, 11.4, 0.5, .same), (10, 0.5, 11.6, 0.5, .slower), (10, 0, 10, 0, .same),
      (10, 0, 11, 0, .same), (10, 0, 11.01, 0, .slower), (10, 0.5, 8.6, 0.1, .same),
    ])
  func verdicts(before: Double, spread: Double, now: Double, spreadNow: Double, verdict: Comparison.Verdict) {
    let comparison = Comparison(
      of: Sample.report([Sample.row(median: now, deviation: spreadNow)]),
      with: Baseline(Sample.report([Sample.row(median: before, deviation: spread)])), noiseThreshold: 0.1)
    #expect(comparison.changes.map(\.verdict) == [verdict])
    #expect(comparison.hasRegression == (verdict == .slower))
    #expect(comparison.changes[0].growth == now / before - 1)
    #expect(comparison.table.contains(verdict.rawValue))
  }

  @Test func theThresholdCanBeSet() {
    let before = Baseline(Sample.report([Sample.row(median: 10, deviation: 0)]))
    let now = Sample.report([Sample.row(median: 12, deviation: 0)])
    #expect(Comparison(of: now, with: before, noiseThreshold: 0).hasRegression)
    #expect(!Comparison(of: now, with: before, noiseThreshold: 0.25).hasRegression)
  }

  @Test func missingRowsAreSaid() {
    let comparison = Comparison(
      of: Sample.report([Sample.row("new"), Sample.row("both")]),
      with: Baseline(Sample.report([Sample.row("both"), Sample.row("old")])), noiseThreshold: 0.1)
    #expect(comparison.changes.map(\.verdict) == [.missingInBaseline, .same, .missingInRun])
    #expect(!comparison.hasRegression)
    #expect(comparison.table.contains("not in the baseline") && comparison.table.contains("not in this run"))
  }

  /// A file of the same name with other lengths, say.
  @Test func otherWorkOfTheSameNameIsNotCompared() {
    let before = Baseline(Sample.report([Sample.row(median: 1)]))
    var row = Sample.row(median: 9)
    row.usefulGFLOP *= 1 + 1e-12
    #expect(Comparison(of: Sample.report([row]), with: before, noiseThreshold: 0.1).changes[0].verdict == .slower)
    row.usefulGFLOP *= 1.01
    let comparison = Comparison(of: Sample.report([row]), with: before, noiseThreshold: 0.1)
    #expect(comparison.changes.map(\.verdict) == [.otherWork])
    #expect(!comparison.hasRegression && !comparison.comparesSomething && comparison.table.contains("other work"))
    row.isRepeatable = false
    let wrong = Comparison(of: Sample.report([row]), with: before, noiseThreshold: 0.1)
    #expect(wrong.changes[0].verdict == .wrong && wrong.hasRegression)
  }

  @Test func anotherWayOfSamplingIsSaid() {
    let run = Sample.report([Sample.row()])
    var before = run
    before.machine.method = nil
    let warnings = Comparison(of: run, with: Baseline(before), noiseThreshold: 0.1).warnings
    #expect(warnings.count == 1 && warnings[0].contains("method of sampling 2, was 1"))
  }

  @Test func anotherMachineIsSaid() {
    let run = Sample.report([Sample.row()])
    var before = run
    before.machine.threads += 1
    before.machine.kernelSet = "none"
    before.machine.cpu = "another"
    let comparison = Comparison(of: run, with: Baseline(before), noiseThreshold: 0.1)
    #expect(comparison.warnings.count == 3)
    #expect(Comparison(of: run, with: Baseline(run), noiseThreshold: 0.1).warnings.isEmpty)
  }

  @Test func aSavedReportReadsBack() throws {
    try withTemporaryFile { path in
      let report = Sample.report([Sample.row(), Sample.row("second")])
      try TextFile.write(report.formatted(as: .json), to: path)
      let baseline = try Baseline<AttentionRow>(file: path)
      #expect(baseline.entries == Baseline(report).entries && baseline.machine == Baseline(report).machine)
      #expect(baseline.entries.map(\.key) == report.rows.map(\.key))
    }
  }

  @Test(
    "Wrong results are a regression, whatever the time",
    arguments: [(false, 1e-7, "different bits"), (true, nil, "not finite"), (true, 0.3, "0.3")]
      as [(Bool, Double?, String)])
  func wrongResults(isRepeatable: Bool, error: Double?, warning: String) {
    var row = Sample.row()
    row.isRepeatable = isRepeatable
    row.maximumError = error
    row.isWithinContract = error.map { $0 < 1e-5 } ?? false
    let warnings = faultWarnings([Sample.row("good"), row])
    #expect(warnings.count == 1 && warnings.allSatisfy { $0.hasPrefix("b1h2q16k16d8 blas: ") && $0.contains(warning) })
    for before in [[Sample.row(median: 1000)], []] {
      let comparison = Comparison(
        of: Sample.report([row]), with: Baseline(Sample.report(before)), noiseThreshold: 0.1)
      #expect(comparison.changes.map(\.verdict) == [.wrong] && comparison.hasRegression)
      #expect(comparison.table.contains("wrong results"))
    }
  }

  @Test("A report of an older version is usable: a comparison needs few keys")
  func fewKeysAreNeeded() throws {
    for key in Self.neededKeys { #expect(Self.fewest.contains("\"\(key)\""), "\(key)") }
    try withTemporaryFile { path in
      try TextFile.write(Self.fewest, to: path)
      let baseline = try Baseline<AttentionRow>(file: path)
      #expect(baseline.entries.map(\.key) == ["b1h2q16k16d8 blas"])
      let comparison = Comparison(of: Sample.report([Sample.row(median: 2)]), with: baseline, noiseThreshold: 0.1)
      #expect(comparison.changes.map(\.verdict) == [.slower])
    }
  }

  @Test("A needed key that is missing is named", arguments: neededKeys)
  func aNeededKeyIsMissing(key: String) throws {
    try withTemporaryFile { path in
      try TextFile.write(Self.fewest.replacingOccurrences(of: "\"\(key)\"", with: "\"other\""), to: path)
      let error = #expect(throws: BenchmarkFileError.self) { try Baseline<AttentionRow>(file: path) }
      #expect(error?.exitCode == 65)
      #expect(error?.description.contains("the key \(key) is missing") == true, "\(String(describing: error))")
    }
  }

  static let neededKeys = [
    "machine", "rows", "cpu", "threads", "kernel_set", "blas_version", "blas_core", "blas_threading", "case", "path",
    "median_ms", "mad_ms",
  ]
  static let fewest = """
    {"machine": {"cpu": "x", "threads": 2, "kernel_set": "avx2", "blas_version": "0", "blas_core": "y",
     "blas_threading": "serial"},
     "rows": [{"case": "b1h2q16k16d8", "path": "blas", "median_ms": 1, "mad_ms": 0}]}
    """

  @Test func aBaselineOfProducts() throws {
    try withTemporaryFile { path in
      try TextFile.write(Self.fewest.replacingOccurrences(of: "\"case\"", with: "\"tile\""), to: path)
      #expect(try Baseline<GEMMRow>(file: path).entries.map(\.key) == ["b1h2q16k16d8"])
      #expect(throws: BenchmarkFileError.self) { try Baseline<AttentionRow>(file: path) }
    }
  }

  @Test(
    "What is no report gives a typed error",
    arguments: [
      "", "{", "[]", "{}", "null", "{\"machine\": {}, \"rows\": []}", "\u{0}", "{\"rows\": 1, \"machine\": 2}",
      Sample.report([Sample.row(median: 0)]).formatted(as: .json),
      Sample.report([Sample.row(deviation: -1)]).formatted(as: .json),
      Sample.report([Sample.row()]).formatted(as: .json).replacingOccurrences(of: "median_ms", with: "median"),
      Sample.report([Sample.row()]).formatted(as: .json).replacingOccurrences(of: "\"blas\"", with: "1e999"),
    ])
  func notAReport(text: String) throws {
    try withTemporaryFile { path in
      try TextFile.write(text, to: path)
      let error = #expect(throws: BenchmarkFileError.self) { try Baseline<AttentionRow>(file: path) }
      #expect(error?.exitCode == 65)
      #expect(error?.description.contains(where: \.isNewline) == false)
    }
  }

  @Test func filesThatCannotBeUsed() {
    let missing = "/nonexistent/file.json"
    #expect(throws: BenchmarkFileError.self) { try Baseline<AttentionRow>(file: missing) }
    #expect(throws: BenchmarkFileError.self) { try TextFile.write("", to: missing) }
    #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable(missing) }
    #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable("/") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable("") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.bytes(of: "/") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.bytes(of: "/dev/null") }
    #expect(throws: Never.self) { try TextFile.checkWritable("/dev/null") }
    withTemporaryFile { pipe in
      #expect(mkfifo(pipe, 0o600) == 0)
      #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable(pipe) }
    }
    #if os(Linux)
      // Root has permission to write in the folder, and yet no file can be created there.
      #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable("/proc/attention.json") }
    #endif
  }

  @Test func lookingWhetherAFileCanBeWrittenChangesNothing() throws {
    try withTemporaryFile { folder in
      let files = FileManager.default
      try files.createDirectory(atPath: folder, withIntermediateDirectories: false)
      try TextFile.checkWritable("\(folder)/new")
      #expect(try files.contentsOfDirectory(atPath: folder).isEmpty)

      try TextFile.write("old", to: "\(folder)/old")
      try TextFile.checkWritable("\(folder)/old")
      #expect(try TextFile.bytes(of: "\(folder)/old") == Array("old".utf8))

      try files.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: "target")
      try TextFile.checkWritable("\(folder)/link")
      #expect(try files.contentsOfDirectory(atPath: folder).sorted() == ["link", "old"])
      try TextFile.write("text", to: "\(folder)/link")
      #expect(try TextFile.bytes(of: "\(folder)/target") == Array("text".utf8))
    }
  }
}

/// Calls `body` with a path that no file has, and deletes what it left there.
func withTemporaryFile(_ body: (String) throws -> Void) rethrows {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("attention-\(UUID().uuidString)").path
  defer { try? FileManager.default.removeItem(atPath: path) }
  try body(path)
}
