/// A machine and what was measured on it.
public struct Report<Row: ReportRow>: Sendable {
  /// The machine.
  public var machine: MachineReport
  /// A row for each case and path, or for each product.
  public var rows: [Row]

  /// Creates a report.
  public init(machine: MachineReport, rows: [Row]) {
    self.machine = machine
    self.rows = rows
  }
}

extension Report: Decodable where Row: Decodable {}

/// What a report is written as.
public enum ReportFormat: String, Sendable, CaseIterable {
  /// Columns aligned by spaces.
  case table
  /// A table to paste into an issue.
  case markdown
  /// RFC 4180: a header, then a line for each row, with the machine's fields at the end of each.
  case csv
  /// One object with the keys `machine` and `rows`.
  case json
  /// The machine's object on the first line, then one for each row.
  case jsonl

  /// Whether programs read it rather than people.
  public var isForMachines: Bool { self == .csv || self == .json || self == .jsonl }
}

extension Report {
  /// The report as text that ends with a line break.
  public func formatted(as format: ReportFormat) -> String {
    switch format {
    case .table: table
    case .markdown: markdown
    case .csv: csv
    case .json: json
    case .jsonl: ([machine.json] + rows.map(\.json)).map { $0 + "\n" }.joined()
    }
  }

  private var json: String {
    """
    {
      "machine": \(machine.json),
      "rows": [\(rows.map { "\n    \($0.json)" }.joined(separator: ","))
      ]
    }

    """
  }

  private var csv: String {
    guard let first = rows.first else { return "" }
    let header = (first.fields + machine.fields).map { ReportValue.text($0.key).csv }
    let lines = [header] + rows.map { row in (row.fields + machine.fields).map(\.value.csv) }
    return lines.map { $0.joined(separator: ",") + "\r\n" }.joined()
  }

  private var table: String {
    let cells = [Row.columns.map(\.title)] + rows.map { row in Row.columns.map { $0.cell(row) } }
    let grid = TextGrid(cells, isText: Row.columns.map(\.isText))
    return (machine.summary.map(\.printable) + [""] + grid.lines + notes).map { $0 + "\n" }.joined()
  }

  private var markdown: String {
    let titles = Row.columns.map(\.title)
    let rules = Row.columns.map { $0.isText ? "---" : "---:" }
    let lines = [titles, rules] + rows.map { row in Row.columns.map { Report.escaped($0.cell(row)) } }
    let table = lines.map { "| " + $0.joined(separator: " | ") + " |" }
    let head = machine.summary.map { Report.escaped($0) + "  " }
    return (head + [""] + table + notes.map { Report.escaped($0) + ($0.isEmpty ? "" : "  ") })
      .map { $0 + "\n" }.joined()
  }

  private var notes: [String] {
    let notes = Row.footnotes(rows)
    return notes.isEmpty ? [] : [""] + notes.map(\.printable)
  }

  /// Text on one line, without the characters that Markdown reads as marks inside a cell.
  private static func escaped(_ text: String) -> String {
    text.printable.reduce(into: "") { $0 += "|*_`<>[]\\".contains($1) ? "\\\($1)" : String($1) }
  }
}

/// Cells in columns of equal width, fit for a terminal.
struct TextGrid {
  let lines: [String]

  init(_ cells: [[String]], isText: [Bool]) {
    let cells = cells.map { $0.map(\.printable) }
    let widths = isText.indices.map { column in cells.map { $0[column].count }.max() ?? 0 }
    lines = cells.map { row in
      let padded = row.indices.map { column in
        let padding = String(repeating: " ", count: widths[column] - row[column].count)
        return isText[column] ? row[column] + padding : padding + row[column]
      }
      let line = padded.joined(separator: "  ")
      return String(line.reversed().drop { $0 == " " }.reversed())
    }
  }
}
