import ArgumentParser
import Attention
import AttentionBenchmarks
import Foundation

extension ReportFormat: ExpressibleByArgument {}

/// The options that all subjects of `attention bench` share.
struct MeasuringOptions: ParsableArguments {
  @Option(
    parsing: .unconditional, help: ArgumentHelp("Compute on this many threads.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...ThreadCount.maximum) })
  var threads: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Draw inputs and the order of samples from this.", valueName: "n"),
    transform: { try wholeNumber($0, in: 0...Int.max) })
  var seed = 0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Take this many samples of each measurement. Unless given, up to \(AttentionBenchmark.defaultRepeats), and "
        + "fewer of what takes long.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...100_000) })
  var repeats: Int?

  @Option(help: "What to print.")
  var format = ReportFormat.table

  @Option(
    help: ArgumentHelp(
      "Save the report as JSON, to be a baseline later; the file of --baseline is replaced by a run that is not worse.",
      valueName: "file"))
  var save: String?

  @Option(
    help: ArgumentHelp(
      "Compare with a report saved earlier; exit with 1 when a row is slower beyond the noise.", valueName: "file"))
  var baseline: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "The change of a median, as a fraction, that counts as noise. One within three median absolute deviations of "
        + "either run is noise too.", valueName: "fraction"),
    transform: { text in
      guard let value = Double(text), value >= 0, value.isFinite else {
        throw ValidationError("expected a fraction from 0, such as 0.10")
      }
      return value
    })
  var noiseThreshold = 0.10

  /// Sets the threads, on which depends what a case takes; throws where they cannot compute at all.
  func validate() throws {
    if let threads { Engine.setThreadCount(threads) }
    let left = AddressSpace.remaining()
    if let problem = AddressSpace.problem(remaining: left, threads: Engine.threadCount.count) {
      throw ValidationError(problem)
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
    let before = try baseline.map { try Baseline<Row>(file: $0) }
    for path in [save, other].compactMap(\.self) { try TextFile.checkWritable(path) }
    let known = Engine.warnings
    known.forEach(Terminal.warn)
    #if DEBUG
      Terminal.warn("this is a debug build; its figures say nothing: build with -c release")
    #endif

    let line = ProgressLine()
    let measured = measure(line.show)
    line.clear()
    // Threads are started by the first work that needs them, and the system may refuse them.
    Engine.warnings.filter { !known.contains($0) }.forEach(Terminal.warn)
    measured.warnings.forEach(Terminal.warn)
    let comparison = before.map { Comparison(of: measured.report, with: $0, noiseThreshold: noiseThreshold) }
    let isWrong = measured.report.rows.contains { !$0.faults.isEmpty }
    let isWorse = isWrong || comparison.map { $0.hasRegression || !$0.comparesSomething } ?? false
    let save = replacesBaseline && isWorse ? nil : self.save
    if save != self.save { Terminal.warn("the baseline is kept as it was; this run would have replaced it") }
    // After a long run one file that fails does not take the rest along.
    let outcomes: [Result<Void, any Error>] = [
      Result { if let save { try TextFile.write(measured.report.formatted(as: .json), to: save) } },
      Result { try finish(measured.report) },
      Result { try Terminal.write(measured.report.formatted(as: format)) },
    ]
    for outcome in outcomes { try outcome.get() }
    if let comparison { try show(comparison) }
    if isWrong { throw ExitCode(1) }
  }

  /// Whether the report goes where the baseline is.
  private var replacesBaseline: Bool {
    guard let save, let baseline else { return false }
    return TextFile.areSame(save, baseline)
  }

  private func show(_ comparison: Comparison) throws {
    comparison.warnings.forEach(Terminal.warn)
    switch format {
    case .table: try Terminal.write("\n" + comparison.table)
    case .markdown: try Terminal.write("\n```\n\(comparison.table)```\n")
    case .csv, .json, .jsonl: Terminal.writeError(comparison.table)
    }
    if comparison.hasRegression { throw ExitCode(1) }
    if !comparison.comparesSomething {
      Terminal.warn("the baseline has none of this run's rows: nothing was compared")
      throw ExitCode(65)
    }
  }
}

extension AttentionPath {
  /// Reads the paths of `--paths`.
  static func list(_ text: String) throws -> [AttentionPath] {
    var chosen: [AttentionPath] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      guard let path = AttentionPath(rawValue: part.trimmingCharacters(in: .whitespaces)) else {
        let names = AttentionPath.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValidationError("--paths '\(text)': expected some of \(names), separated by commas")
      }
      if !chosen.contains(path) { chosen.append(path) }
    }
    return chosen
  }
}

/// Reads an option's number.
func wholeNumber(_ text: String, in range: ClosedRange<Int>) throws -> Int {
  guard let value = Int(text), range.contains(value) else {
    throw ValidationError("expected a whole number from \(range.lowerBound) to \(range.upperBound)")
  }
  return value
}
