/// Two reports compared, row by row.
public struct Comparison: Sendable, Equatable {
  /// What a row's time came to against the baseline's.
  public enum Verdict: String, Sendable, CaseIterable {
    /// Slower beyond the noise: a regression.
    case slower
    /// The new row's results are not repeatable or not finite: a regression, whatever the time.
    case wrong = "wrong results"
    /// Faster beyond the noise.
    case faster
    /// No more different than noise is.
    case same
    /// Another amount of work goes by the same name, such as other lengths of a file: times say nothing.
    case otherWork = "other work"
    /// Only the new report has the row.
    case missingInBaseline = "not in the baseline"
    /// Only the baseline has the row.
    case missingInRun = "not in this run"
  }

  /// One row's outcome.
  public struct Change: Sendable, Equatable {
    /// The row's key, such as case and path.
    public let key: String
    /// The baseline's median in milliseconds.
    public let before: Double?
    /// The new median in milliseconds.
    public let after: Double?
    /// What it comes to.
    public let verdict: Verdict

    /// The growth of the median: 0.25 is a quarter slower.
    public var growth: Double? {
      guard let before, let after, before > 0 else { return nil }
      return after / before - 1
    }
  }

  /// The rows of the run in their order, then those that only the baseline has.
  public let changes: [Change]
  /// What makes the two incomparable: another processor, thread count, kernel set …
  public let warnings: [String]

  /// Whether a row became slower beyond the noise, or has wrong results.
  public var hasRegression: Bool { changes.contains { $0.verdict == .slower || $0.verdict == .wrong } }

  /// Whether any row is in both.
  public var comparesSomething: Bool { changes.contains { $0.before != nil && $0.after != nil } }

  /// Compares a run with a baseline.
  ///
  /// A median is slower or faster when it differs by more than `noiseThreshold` of the baseline's, and by more than
  /// three median absolute deviations of either report. Wrong results are a regression whatever the times are.
  public init<Row: ReportRow>(of run: Report<Row>, with baseline: Baseline<Row>, noiseThreshold: Double) {
    let before = Dictionary(baseline.entries.map { ($0.key, $0) }) { first, _ in first }
    let known = Set(run.rows.map(\.key))
    let compared = run.rows.map { row in
      let old = before[row.key]
      if let old, row.faults.isEmpty, Comparison.isOtherWork(row.comparedWork, old.usefulGFLOP) {
        return Change(key: row.key, before: nil, after: row.medianMilliseconds, verdict: .otherWork)
      }
      guard let old else {
        return Change(
          key: row.key, before: nil, after: row.medianMilliseconds,
          verdict: row.faults.isEmpty ? .missingInBaseline : .wrong)
      }
      return Change(
        key: row.key, before: old.medianMilliseconds, after: row.medianMilliseconds,
        verdict: Comparison.verdict(row, old, noiseThreshold))
    }
    let gone = baseline.entries.filter { !known.contains($0.key) }.map {
      Change(key: $0.key, before: $0.medianMilliseconds, after: nil, verdict: .missingInRun)
    }
    changes = compared + gone
    warnings = run.machine.identity.differences(from: baseline.machine).map {
      "the baseline was measured on something else: \($0)"
    }
  }

  /// Whether both tell their work, and it differs by more than adding up in another order.
  private static func isOtherWork(_ one: Double?, _ other: Double?) -> Bool {
    guard let one, let other else { return false }
    return abs(one - other) > 1e-9 * max(one, other)
  }

  private static func verdict<Row: ReportRow>(
    _ new: Row, _ old: Baseline<Row>.Entry, _ noiseThreshold: Double
  ) -> Verdict {
    guard new.faults.isEmpty else { return .wrong }
    let difference = new.medianMilliseconds - old.medianMilliseconds
    let noise = max(
      noiseThreshold * old.medianMilliseconds, 3 * max(new.deviationMilliseconds, old.deviationMilliseconds))
    return difference > noise ? .slower : difference < -noise ? .faster : .same
  }

  /// The comparison as lines of a table.
  public var table: String {
    let header = ["against the baseline", "before ms", "now ms", "change", "verdict"]
    let cells = changes.map { change in
      [
        change.key, change.before.map { Decimals.fixed($0, 3) } ?? "–",
        change.after.map { Decimals.fixed($0, 3) } ?? "–",
        change.growth.map { ($0 >= 0 ? "+" : "-") + Decimals.fixed(abs(100 * $0), 1) + "%" } ?? "–",
        change.verdict.rawValue,
      ]
    }
    let grid = TextGrid([header] + cells, isText: [true, false, false, false, true])
    return grid.lines.map { $0 + "\n" }.joined()
  }
}
