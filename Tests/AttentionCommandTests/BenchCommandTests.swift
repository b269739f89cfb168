import Attention
import AttentionBenchmarks
import Foundation
import Testing

/// `attention bench`: what it prints on tiny cases. Nothing here looks at a time.
@Suite("attention bench")
struct BenchCommandTests {
  private typealias Object = [String: Any]

  @Test func jsonHasTheKeysAndTypes() throws {
    let (machine, rows) = try benchmarkReport(tinyBenchmark + ["--format", "json", "--threads", "1", "--seed", "5"])
    for key in ["cpu", "thread_reason", "blas_version", "blas_core", "blas_threading", "kernel_set", "date"] {
      #expect(machine[key] is String, "\(key)")
    }
    for key in ["gemm_peak_gflops", "fma_peak_gflops", "read_gb_per_s"] {
      #expect(machine[key] as? Double ?? 0 > 0, "\(key)")
    }
    #expect(machine["cores"] as? Int ?? 0 >= 1 && machine["threads"] as? Int == 1 && machine["seed"] as? Int == 5)
    #expect(machine["affinity"] != nil && machine["quota"] != nil)

    #expect(rows.map { $0["path"] as? String } == ["naive", "blas", "fused"])
    let sizes = [
      "batch": 1, "heads": 2, "kv_heads": 2, "query_length": 16, "key_length": 16, "key_width": 8, "value_width": 8,
      "samples": 2, "measured_heads": 2, "error_rows": 32,
    ]
    for row in rows {
      #expect(row["case"] as? String == "b1h2q16k16d8")
      for (key, value) in sizes { #expect(row[key] as? Int == value, "\(key)") }
      let median = try #require(row["median_ms"] as? Double)
      let useful = try #require(row["useful_gflop"] as? Double)
      let gflops = try #require(row["gflops"] as? Double)
      #expect(useful == 4.0 * 2 * 16 * 16 * 8 / 1e9)
      #expect(abs(gflops - useful / (median / 1e3)) < 1e-9 * gflops)
      #expect(try #require(row["executed_gflop"] as? Double) >= useful)
      #expect(try #require(row["mad_ms"] as? Double) >= 0)
      #expect(try #require(row["min_ms"] as? Double) <= median)
      #expect(try #require(row["scratch_bytes"] as? Int) > 0)
      #expect(try #require(row["speedup_over_naive"] as? Double) > 0)
      #expect(try #require(row["peak_fraction"] as? Double) > 0)
      #expect(try #require(row["max_abs_error"] as? Double) < 1e-5)
      #expect(row["repeatable"] as? Bool == true)
    }
    #expect(rows[0]["speedup_over_naive"] as? Double == 1)
  }

  @Test func withoutTheNaivePathThereIsNoSpeedup() throws {
    let (_, rows) = try benchmarkReport(tinyBenchmark + ["--format", "json", "--paths", "blas"])
    #expect(rows.count == 1 && rows[0]["speedup_over_naive"] is NSNull)
  }

  @Test func blanksInLists() throws {
    let (_, rows) = try benchmarkReport(
      ["bench", "--cases", " h2q8, 9d8 ", "--paths", " naive, blas ", "--repeats", "1", "--format", "json"])
    #expect(rows.map { $0["path"] as? String } == ["naive", "blas", "naive", "blas"])
  }

  @Test(
    "Errors are within the contract and results repeatable, on every kind of case",
    arguments: [["--threads", "1"], ["--threads", "3"]])
  func everyKindOfCase(threads: [String]) throws {
    let cases = "b3h4q37k53d24-kv2-v40-causal b2h6q64d16-kv1-window9 h2q1k300d32 h2q40k9d8-causal h3q33d5-softcap4"
    let (_, rows) = try benchmarkReport(
      ["bench", "--cases", cases, "--paths", "naive,blas,automatic", "--repeats", "1", "--format", "json"] + threads)
    #expect(rows.count == 15)
    for row in rows {
      #expect(row["repeatable"] as? Bool == true, "\(row)")
      #expect(row["max_abs_error"] as? Double ?? 1 < 1e-5, "\(row)")
    }
  }

  @Test func otherFormats() throws {
    let table = try AttentionProcess(tinyBenchmark + ["--cases", "h2q8d8"])
    #expect(table.exitCode == 0)
    #expect(table.output.split(separator: "\n").count { $0.hasPrefix("b1h2q") } == 6)
    let markdown = try AttentionProcess(tinyBenchmark + ["--format", "markdown"])
    #expect(markdown.output.split(separator: "\n").count { $0.hasPrefix("|") } == 5)
    let csv = try AttentionProcess(tinyBenchmark + ["--format", "csv"])
    #expect(csv.output.hasPrefix("case,path,median_ms,") && csv.output.components(separatedBy: "\r\n").count == 5)
    let lines = try AttentionProcess(tinyBenchmark + ["--format", "jsonl"]).output.split(separator: "\n")
    #expect(lines.count == 4)
    for line in lines { #expect(try JSONSerialization.jsonObject(with: Data(line.utf8)) is Object) }
  }

  @Test func gemmShowsTheFixedList() throws {
    let (machine, rows) = try benchmarkReport(["bench", "gemm", "--repeats", "1", "--format", "json", "--threads", "1"])
    #expect(rows.map { $0["tile"] as? String } == GEMMTile.all.map(\.name))
    let speeds = rows.compactMap { $0["gflops"] as? Double }
    #expect(speeds.count == rows.count && speeds.max() == machine["gemm_peak_gflops"] as? Double)
  }

  @Test func anInputFromAFile() throws {
    try withTemporaryFolder { folder in
      var generator = SeededGenerator(seed: 1)
      let file = folder.appendingPathComponent("my layer.safetensors").path
      try SafetensorsFile.write(
        [
          ("q", .float32(Tensor(randomNormal: [2, 4, 7, 8], using: &generator))),
          ("k", .float32(Tensor(randomNormal: [2, 2, 9, 8], using: &generator))),
          ("v", .float32(Tensor(randomNormal: [2, 2, 9, 6], using: &generator))),
        ], to: file)
      let (_, rows) = try benchmarkReport(["bench", "--input", file, "--repeats", "1", "--format", "json"])
      #expect(rows.map { $0["case"] as? String } == ["my layer", "my layer", "my layer"])
      for row in rows {
        #expect(row["kv_heads"] as? Int == 2 && row["value_width"] as? Int == 6 && row["key_length"] as? Int == 9)
        #expect(row["max_abs_error"] as? Double ?? 1 < 1e-5 && row["repeatable"] as? Bool == true)
      }
      let both = try benchmarkReport([
        "bench", "--input", file, "--cases", "h2q8d8", "--repeats", "1", "--format", "json",
      ])
      #expect(both.rows.count == 6)
    }
  }

  /// The probe that tells how long the naive path takes is no wider than it must be.
  @Test func veryWideHeads() throws {
    let (_, rows) = try benchmarkReport(["bench", "--cases", "b1h1q1d3000000-v1", "--repeats", "1", "--format", "json"])
    #expect(rows.count == 3)
  }

  /// A file that is named as a case is keeps its own naive twin.
  @Test func equalNamesAreToldApart() throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("b1h2q8k8d8.safetensors").path
      let small = Tensor(repeating: 0.5, shape: [1, 1, 2, 4])
      try SafetensorsFile.write([("q", .float32(small)), ("k", .float32(small)), ("v", .float32(small))], to: file)
      let (_, rows) = try benchmarkReport(
        ["bench", "--input", file, "--cases", "h2q8d8", "--repeats", "1", "--format", "json"])
      #expect(Set(rows.compactMap { $0["case"] as? String }).count == 2)
      for row in rows where row["path"] as? String == "naive" { #expect(row["speedup_over_naive"] as? Double == 1) }
    }
  }

  @Test func aBaselineOfOtherCasesComparesNothing() throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("base.json").path
      #expect(try AttentionProcess(tinyBenchmark + ["--save", file]).exitCode == 0)
      let other = try AttentionProcess(["bench", "--cases", "h1q3d4", "--repeats", "1", "--baseline", file])
      #expect(other.exitCode == 65 && other.errors.contains("nothing was compared"))
    }
  }

  @Test(arguments: [
    ("a/b/layer.v1.safetensors", "layer.v1"), (".safetensors", ".safetensors"), ("x.bin", "x.bin"),
    ("a\u{1B}[31m\n.safetensors", "a\u{FFFD}[31m\u{FFFD}"),
  ])
  func inputsAreNamedAfterTheirFiles(_ path: String, _ name: String) {
    #expect(AttentionInput.name(ofFile: path) == name)
  }

  @Test func savedReportsAreBaselines() throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("base.json").path
      let first = try AttentionProcess(tinyBenchmark + ["--save", file])
      #expect(first.exitCode == 0)
      let saved = try String(contentsOfFile: file, encoding: .utf8)
      // A threshold that no disturbance of this machine passes.
      let calm = ["--baseline", file, "--noise-threshold", "1000000"]
      let same = try AttentionProcess(tinyBenchmark + calm)
      #expect(same.exitCode == 0 && same.output.contains("against the baseline"))
      let json = try AttentionProcess(tinyBenchmark + calm + ["--format", "json"])
      #expect(json.errors.contains("against the baseline"))
      #expect(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) is Object)

      // A past in which everything took a nanosecond, on another machine, with a row that is gone.
      var report = try JSONDecoder().decode(
        Report<AttentionRow>.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
      for index in report.rows.indices {
        report.rows[index].medianMilliseconds = 1e-6
        report.rows[index].deviationMilliseconds = 0
      }
      report.rows.append(report.rows[0])
      report.rows[2].name = "b1h1q1k1d1"
      report.machine.kernelSet = "abacus"
      report.machine.cpu = "\u{1B}[31mred"
      report.rows[2].path = "\u{1B}[2J"
      try report.formatted(as: .json).write(toFile: file, atomically: true, encoding: .utf8)
      // One sample has no deviation that could count as noise, however busy the machine is.
      let slower = try AttentionProcess(
        ["bench", "--cases", "b1h2q16d8 b1h2q9d8", "--repeats", "1", "--baseline", file])
      #expect(slower.exitCode == 1)
      #expect(slower.output.contains("slower") && slower.output.contains("not in this run"))
      #expect(slower.output.contains("not in the baseline"))
      #expect(slower.errors.contains("abacus") && slower.errors.contains("\\u{1b}[31mred"))
      #expect(slower.output.contains("\\u{1b}[2J"))
      #expect(!(slower.output + slower.errors).contains("\u{1B}"))
      #expect(saved.hasPrefix("{"))
    }
  }

  /// Scores of 4e60 overflow float32, and not the reference.
  @Test func wrongResultsAreSaidAndARegression() throws {
    try withTemporaryFolder { folder in
      let (file, saved) = (
        folder.appendingPathComponent("huge.safetensors").path, folder.appendingPathComponent("s").path
      )
      let huge = Tensor(repeating: 1e30, shape: [1, 1, 2, 4])
      try SafetensorsFile.write([("q", .float32(huge)), ("k", .float32(huge)), ("v", .float32(huge))], to: file)
      let run = ["bench", "--input", file, "--repeats", "1"]
      let first = try AttentionProcess(run + ["--save", saved])
      #expect(first.exitCode == 1 && first.output.contains("not finite"))
      for path in ["naive", "blas"] {
        #expect(first.errors.contains("attention: warning: huge \(path): its error against float64 is not finite\n"))
      }
      let second = try AttentionProcess(run + ["--baseline", saved, "--noise-threshold", "1000000"])
      #expect(second.exitCode == 1 && second.output.contains("wrong results"))
    }
  }

  @Test func aPlotIsDrawn() throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("plot.svg").path
      let run = try AttentionProcess(tinyBenchmark + ["--plot", file])
      #expect(run.exitCode == 0)
      let text = try String(contentsOfFile: file, encoding: .utf8)
      #expect(text.contains("b1h2q16k16d8") && text.hasSuffix("</svg>\n"))
    }
  }
}
