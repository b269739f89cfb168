import AttentionBenchmarks
import Foundation
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// Reports made up for tests.
enum Sample {
  static func row(
    _ name: String = "b1h2q16k16d8", path: String = "blas", median: Double = 2, deviation: Double = 0.01
  ) -> AttentionRow {
    let text = """
      {"case": "", "path": "\(path)", "median_ms": \(median), "mad_ms": \(deviation), "min_ms": 1.5, "samples": 20,
       "gflops": 12.5, "useful_gflop": 0.025, "executed_gflop": 0.05, "speedup_over_naive": 10.25,
       "peak_fraction": 0.125, "scratch_bytes": 4096, "max_abs_error": 1e-07, "error_rows": 32, "repeatable": true,
       "within_contract": true,
       "measured_heads": 2, "measured_queries": 16, "batch": 1, "heads": 2, "kv_heads": 2, "query_length": 16,
       "key_length": 16, "key_width": 8, "value_width": 8, "causal": false, "window": null, "softcap": null}
      """
    do {
      var row = try JSONDecoder().decode(AttentionRow.self, from: Data(text.utf8))
      row.name = name
      return row
    } catch {
      preconditionFailure("Sample: \(error)")
    }
  }

  static func report(_ rows: [AttentionRow]) -> Report<AttentionRow> {
    var machine = MachineReport(seed: 7)
    machine.gemmPeak = 480
    return Report(machine: machine, rows: rows)
  }
}

/// Every format says the same, and programs can read those meant for them.
@Suite("Reports")
struct ReportTests {
  @Test func jsonReadsBack() throws {
    var odd = Sample.row("quote \" backslash \\ line \n tab \t é 🙂 \u{1} \u{2028}", path: "naive")
    odd.speedupOverNaive = nil
    odd.maximumError = nil
    odd.window = 256
    odd.medianMilliseconds = 0.1 + 0.2
    let report = Sample.report([Sample.row(), odd])
    let text = report.formatted(as: .json)
    let back = try JSONDecoder().decode(Report<AttentionRow>.self, from: Data(text.utf8))
    #expect(back.rows == report.rows)
    #expect(back.machine == report.machine)
  }

  @Test func jsonHasEveryKeyAndExplicitNulls() throws {
    var row = Sample.row()
    row.speedupOverNaive = nil
    let text = Sample.report([row]).formatted(as: .json)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    let rows = try #require(object["rows"] as? [[String: Any]])
    #expect(Set(rows[0].keys) == Set(row.fields.map(\.key)))
    #expect(rows[0]["speedup_over_naive"] is NSNull)
    let machine = try #require(object["machine"] as? [String: Any])
    #expect(machine["gemm_peak_gflops"] as? Double == 480)
    #expect(machine["fma_peak_gflops"] is NSNull)
  }

  @Test func jsonLinesAreTheMachineAndTheRows() throws {
    let report = Sample.report([Sample.row(), Sample.row(path: "naive")])
    let lines = report.formatted(as: .jsonl).split(separator: "\n")
    #expect(lines.count == 3)
    #expect(try JSONDecoder().decode(MachineReport.self, from: Data(lines[0].utf8)) == report.machine)
    for (line, row) in zip(lines.dropFirst(), report.rows) {
      #expect(try JSONDecoder().decode(AttentionRow.self, from: Data(line.utf8)) == row)
    }
  }

  @Test func csvIsAsTheStandardSays() {
    var row = Sample.row("a,b \"c\"\nd")
    row.speedupOverNaive = nil
    let text = Sample.report([row]).formatted(as: .csv)
    let lines = text.components(separatedBy: "\r\n")
    #expect(lines.count == 3 && lines[2].isEmpty)
    #expect(lines[0].hasPrefix("case,path,median_ms,mad_ms,min_ms,samples,gflops,useful_gflop,executed_gflop,"))
    #expect(lines[1].hasPrefix("\"a,b \"\"c\"\"\nd\",blas,2.0,0.01,1.5,20,12.5,0.025,0.05,,0.125,4096,"))
    let columns = row.fields.count + MachineReport().fields.count
    #expect(lines[0].filter { $0 == "," }.count == columns - 1)
  }

  @Test func tablesHaveALineForEachRow() {
    var scaled = Sample.row("long", path: "naive")
    scaled.heads = 12
    let report = Sample.report([Sample.row(), scaled])
    let lines = report.formatted(as: .table).components(separatedBy: "\n")
    #expect(lines[0].contains("2 threads") || lines[0].contains("threads"))
    #expect(lines[3].hasPrefix("case") && lines[3].contains("GFLOP/s"))
    #expect(lines[4].hasPrefix("b1h2q16k16d8  blas") && lines[5].hasPrefix("long          naive*"))
    #expect(lines.contains("  long naive: 2 of 12 heads"))
    let markdown = report.formatted(as: .markdown).components(separatedBy: "\n")
    let table = markdown.filter { $0.hasPrefix("|") }
    #expect(table.count == 4)
    #expect(Set(table.map { $0.filter { $0 == "|" }.count }) == [AttentionRow.columns.count + 1])
    #expect(table[3].contains("naive\\*"))
  }

  @Test func sampledErrorsHaveAFootnote() {
    var (naive, blas, whole) = (Sample.row("long", path: "naive"), Sample.row("long"), Sample.row("short"))
    for format in [ReportFormat.table, .markdown] {
      #expect(!Sample.report([naive, blas, whole]).formatted(as: format).contains("†"))
    }
    (naive.errorRows, blas.errorRows) = (20, 20)
    let lines = Sample.report([naive, blas, whole]).formatted(as: .table).components(separatedBy: "\n")
    #expect(lines[4].contains("1.0e-07†") && lines[5].contains("1.0e-07†") && !lines[6].contains("†"))
    #expect(lines.contains("  long naive, blas: 20 of 32 rows"))
    // The naive path was measured in part, and all rows of that part were looked at.
    (naive.measuredHeads, naive.errorRows) = (1, 16)
    let parts = Sample.report([naive, blas]).formatted(as: .table).components(separatedBy: "\n")
    #expect(parts.contains("  long naive: 1 of 2 heads"))
    #expect(parts.contains("  long naive: 16 of 32 rows") && parts.contains("  long blas: 20 of 32 rows"))
    (blas.errorRows, blas.maximumError) = (1, nil)
    #expect(Sample.report([blas]).formatted(as: .table).contains("not finite†"))
  }

  @Test(arguments: [
    ("plain é 🙂 µs ‖x‖", "plain é 🙂 µs ‖x‖"), ("\u{1B}[31mred", "\\u{1b}[31mred"), ("a\nb\tc", "a\\u{a}b\\u{9}c"),
    ("\u{9B}1m\u{7F}", "\\u{9b}1m\\u{7f}"), ("\u{202E}evil\u{2028}", "\\u{202e}evil\\u{2028}"),
  ])
  func printableText(text: String, printable: String) {
    #expect(text.printable == printable)
  }

  @Test(arguments: [ReportFormat.table, .markdown, .json, .jsonl])
  func noFormatSendsControlCharacters(format: ReportFormat) {
    var report = Sample.report([Sample.row("\u{1B}[2J\u{9B}2J\n")])
    report.machine.cpu = "a\u{1B}]0;title\u{7}"
    report.rows[0].measuredHeads = 1
    report.rows[0].errorRows = 1
    report.rows[0].path = "\u{8}"
    let controls = report.formatted(as: format).unicodeScalars.filter {
      $0.properties.generalCategory == .control && $0 != "\n"
    }
    #expect(controls.isEmpty)
    let comparison = Comparison(of: report, with: Baseline(report), noiseThreshold: 0.1)
    #expect(comparison.table.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control || $0 == "\n" })
    #expect(comparison.table.split(separator: "\n").count == 2)
  }

  @Test func productsAreCalledTilesEverywhere() {
    #expect(GEMMRow.columns[0].title == "tile" && GEMMRow.keyFields == ["tile"])
  }

  @Test(arguments: [
    (0.0, "0.000"), (123.4, "123"), (99.96, "100"), (12.34, "12.3"), (1.234, "1.23"), (0.01234, "0.012"),
    (1.5e-7, "1.5e-07"), (.infinity, "∞"), (.nan, "NaN"),
  ])
  func shortDecimals(value: Double, text: String) {
    #expect(Decimals.short(value) == text)
  }

  @Test(arguments: [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1 << 21, "2.0 MiB"), (.max, "8.0 EiB")])
  func byteUnits(count: Int, text: String) {
    #expect(Decimals.bytes(count) == text)
  }

  @Test func engineReportIsJSON() throws {
    let report = EngineReport.current()
    let object = try #require(try JSONSerialization.jsonObject(with: Data(report.json.utf8)) as? [String: Any])
    #expect(object["threads"] as? Int ?? 0 >= 1)
    #expect(object["warnings"] is [String] && object["kernel_set"] is String && object["seed"] == nil)
    #expect(report.text.contains("OpenBLAS"))
  }
}

/// The chart is XML whatever the names are.
@Suite("Bar chart")
struct BarChartTests {
  private final class Reader: NSObject, XMLParserDelegate {
    var bars = 0
    var texts: [String] = []
    func parser(
      _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
      attributes: [String: String]
    ) {
      if name == "rect" { bars += 1 }
    }
    func parser(_ parser: XMLParser, foundCharacters string: String) { texts.append(string) }
  }

  @Test(arguments: ["plain", "<&>\"'", "a\u{0}b\u{1}\u{8}", "é🙂\u{FFFE}", "]]>", "<!-- -->", ""])
  func isWellFormed(name: String) {
    let report = Sample.report([Sample.row(name), Sample.row(name, path: "na<ive"), Sample.row("other")])
    let reader = Reader()
    let parser = XMLParser(data: Data(BarChart(report).svg.utf8))
    parser.delegate = reader
    #expect(parser.parse(), "\(String(describing: parser.parserError))")
    // The background, a legend of two, three bars.
    #expect(reader.bars == 6)
    #expect(reader.texts.joined().contains("GEMM peak"))
  }

  @Test(arguments: [[], [0.0], [Double.nan], [1e-9], [1e300, 5]])
  func oddValuesAreDrawn(values: [Double]) {
    let chart = BarChart(
      title: "t", notes: [], axis: "a", groups: values.map { "\($0)" }, series: [("s", values)], line: nil)
    #expect(XMLParser(data: Data(chart.svg.utf8)).parse())
  }

  @Test(arguments: [0.0, 1, 3, 7.5, 99.1, 480, 1000, 0.02])
  func ticksAreRoundAndReachTheTop(highest: Double) {
    let ticks = BarChart.ticks(upTo: highest)
    #expect(ticks.first == 0 && ticks.last! >= highest && (2...8).contains(ticks.count))
  }
}
