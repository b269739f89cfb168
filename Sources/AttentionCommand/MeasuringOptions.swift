import ArgumentParser
import Attention
import AttentionBenchmarks

extension ReportFormat: ExpressibleByArgument {}

/// The options that all subjects of `attention bench` share.
struct MeasuringOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Compute on this many threads.", valueName: "n"))
  var threads: Int?

  @Option(help: "Draw inputs and the order of samples from this seed.")
  var seed = 0

  @Option(
    help: ArgumentHelp(
      "Take this many samples of each measurement. Unless given, up to \(AttentionBenchmark.defaultRepeats), and "
        + "fewer of what takes long.", valueName: "n"))
  var repeats: Int?

  @Option(help: "What to print.")
  var format = ReportFormat.table

  @Option(help: ArgumentHelp("Save the report as JSON, to be a baseline later.", valueName: "file"))
  var save: String?

  @Option(
    help: ArgumentHelp(
      "Compare with a report saved earlier; exit with 1 when a row is slower beyond the noise.", valueName: "file"))
  var baseline: String?

  @Option(
    help: ArgumentHelp(
      "The change of a median, as a fraction, that counts as noise. One within three median absolute deviations of "
        + "either run is noise too.", valueName: "fraction"))
  var noiseThreshold = 0.10

  func validate() throws {
    if let threads, !(1...ThreadCount.maximum).contains(threads) {
      throw ValidationError("--threads \(threads): expected a count from 1 to \(ThreadCount.maximum)")
    }
    guard seed >= 0 else { throw ValidationError("--seed \(seed): expected a whole number from 0") }
    if let repeats, !(1...100_000).contains(repeats) {
      throw ValidationError("--repeats \(repeats): expected a count from 1 to 100000")
    }
    guard noiseThreshold >= 0, noiseThreshold.isFinite else {
      throw ValidationError("--noise-threshold \(noiseThreshold): expected a fraction from 0, such as 0.10")
    }
  }

  /// Reads the baseline and looks at the files to be written, then measures, prints, saves and compares.
  ///
  /// - Parameters:
  ///   - alsoWriting: another file that is written at the end.
  ///   - measure: the measurement.
  ///   - finish: what else to do with the report.
  func run<Row: ReportRow>(
    alsoWriting other: String? = nil, measure: ((BenchmarkProgress) -> Void) -> MeasuredReport<Row>,
    finish: (Report<Row>) throws -> Void = { _ in }
  ) throws {
    let before = try baseline.map { try Report<Row>(file: $0) }
    for path in [save, other].compactMap(\.self) { try TextFile.checkWritable(path) }
    Engine.warnings.forEach(Terminal.warn)
    #if DEBUG
      Terminal.warn("this is a debug build; its figures say nothing: build with -c release")
    #endif
    if let threads { Engine.setThreadCount(threads) }

    let line = ProgressLine()
    let measured = measure(line.show)
    line.clear()
    measured.warnings.forEach(Terminal.warn)
    if let save { try TextFile.write(measured.report.formatted(as: .json), to: save) }
    try finish(measured.report)
    try Terminal.write(measured.report.formatted(as: format))
    if let before { try compare(measured.report, before) }
  }

  private func compare<Row: ReportRow>(_ report: Report<Row>, _ before: Report<Row>) throws {
    let comparison = Comparison(of: report, with: before, noiseThreshold: noiseThreshold)
    comparison.warnings.forEach(Terminal.warn)
    switch format {
    case .table: try Terminal.write("\n" + comparison.table)
    case .markdown: try Terminal.write("\n```\n\(comparison.table)```\n")
    case .csv, .json, .jsonl: Terminal.writeError(comparison.table)
    }
    if comparison.hasRegression { throw ExitCode(1) }
  }
}
