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
      with: Sample.report([Sample.row(median: before, deviation: spread)]), noiseThreshold: 0.1)
    #expect(comparison.changes.map(\.verdict) == [verdict])
    #expect(comparison.hasRegression == (verdict == .slower))
    #expect(comparison.changes[0].growth == now / before - 1)
    #expect(comparison.table.contains(verdict.rawValue))
  }

  @Test func theThresholdCanBeSet() {
    let before = Sample.report([Sample.row(median: 10, deviation: 0)])
    let now = Sample.report([Sample.row(median: 12, deviation: 0)])
    #expect(Comparison(of: now, with: before, noiseThreshold: 0).hasRegression)
    #expect(!Comparison(of: now, with: before, noiseThreshold: 0.25).hasRegression)
  }

  @Test func missingRowsAreSaid() {
    let comparison = Comparison(
      of: Sample.report([Sample.row("new"), Sample.row("both")]),
      with: Sample.report([Sample.row("both"), Sample.row("old")]), noiseThreshold: 0.1)
    #expect(comparison.changes.map(\.verdict) == [.missingInBaseline, .same, .missingInRun])
    #expect(!comparison.hasRegression)
    #expect(comparison.table.contains("not in the baseline") && comparison.table.contains("not in this run"))
  }

  @Test func anotherMachineIsSaid() {
    let run = Sample.report([Sample.row()])
    var before = run
    before.machine.threads += 1
    before.machine.kernelSet = "none"
    before.machine.cpu = "another"
    let comparison = Comparison(of: run, with: before, noiseThreshold: 0.1)
    #expect(comparison.warnings.count == 3)
    #expect(Comparison(of: run, with: run, noiseThreshold: 0.1).warnings.isEmpty)
  }

  @Test func aSavedReportReadsBack() throws {
    try withTemporaryFile { path in
      let report = Sample.report([Sample.row(), Sample.row("second")])
      try TextFile.write(report.formatted(as: .json), to: path)
      #expect(try Report<AttentionRow>(file: path).rows == report.rows)
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
      let error = #expect(throws: BenchmarkFileError.self) { try Report<AttentionRow>(file: path) }
      #expect(error?.exitCode == 65)
      #expect(error?.description.contains(where: \.isNewline) == false)
    }
  }

  @Test func filesThatCannotBeUsed() {
    let missing = "/nonexistent/file.json"
    #expect(throws: BenchmarkFileError.self) { try Report<AttentionRow>(file: missing) }
    #expect(throws: BenchmarkFileError.self) { try TextFile.write("", to: missing) }
    #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable(missing) }
    #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable("/") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.checkWritable("") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.bytes(of: "/") }
    #expect(throws: BenchmarkFileError.self) { try TextFile.bytes(of: "/dev/null") }
    #expect(throws: Never.self) { try TextFile.checkWritable("/dev/null") }
  }
}

/// Calls `body` with a path that no file has, and deletes what it left there.
func withTemporaryFile(_ body: (String) throws -> Void) rethrows {
  let path = FileManager.default.temporaryDirectory.appendingPathComponent("attention-\(UUID().uuidString)").path
  defer { try? FileManager.default.removeItem(atPath: path) }
  try body(path)
}
