import Attention
import AttentionBenchmarks
import Foundation
import Testing

/// The subjects beside attention and gemm: what they print on tiny cases. Nothing here looks at a time.
@Suite("Subjects of attention bench")
struct BenchSubjectTests {
  @Test func decodeHasTheKeysAndTypes() throws {
    let (machine, rows) = try benchmarkReport([
      "bench", "decode", "--depths", "40", "--batch", "2", "--heads", "h4d8-kv2-v6", "--repeats", "2", "--threads",
      "1", "--format", "json",
    ])
    #expect(machine["read_gb_per_s"] as? Double ?? 0 > 0)
    #expect(rows.map { $0["step"] as? String } == ["attend", "append+attend"])
    let sizes = [
      "batch": 2, "heads": 4, "kv_heads": 2, "depth": 40, "key_width": 8, "value_width": 6, "samples": 2,
      "error_rows": 8, "output_rows": 8, "read_bytes": 2 * 40 * 2 * 14 * 4, "caches": 1024,
    ]
    for row in rows {
      #expect(row["case"] as? String == "b2h4q1k40d8-kv2-v6")
      for (key, value) in sizes { #expect(row[key] as? Int == value, "\(key)") }
      for key in ["median_ms", "tokens_per_s", "gb_per_s", "bandwidth_fraction"] {
        #expect(row[key] as? Double ?? 0 > 0, "\(key)")
      }
      #expect(row["max_abs_error"] as? Double ?? 1 < 1e-5)
      #expect(row["repeatable"] as? Bool == true && row["within_contract"] as? Bool == true)
      #expect(row["served_by_cache"] as? Bool == true && row["window"] is NSNull)
    }
  }

  @Test func raggedHasTheKeysAndTypes() throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("a day")
      try Data("3\n0\n9\n".utf8).write(to: file)
      let (machine, rows) = try benchmarkReport([
        "bench", "ragged", "--lengths", "@\(file.path)", "--lengths", "uniform:2x6", "--heads", "h4d8-kv2-v6-causal",
        "--paths", "naive,fused", "--repeats", "2", "--format", "json",
      ])
      #expect(machine["gemm_peak_gflops"] as? Double ?? 0 > 0)
      let names = ["@a day", "uniform:3x5", "uniform:2x6"].map { "\($0) h4d8-kv2-v6-causal" }
      #expect(rows.map { $0["case"] as? String } == names.flatMap { [$0, $0] })
      #expect(rows.map { $0["path"] as? String } == ["naive", "fused", "naive", "fused", "naive", "fused"])
      let sizes = [
        "sequences": 3, "tokens": 12, "longest": 9, "heads": 4, "kv_heads": 2, "key_width": 8, "value_width": 6,
        "samples": 2, "error_rows": 48, "output_rows": 48,
      ]
      for row in rows[..<2] {
        for (key, value) in sizes { #expect(row[key] as? Int == value, "\(key)") }
        #expect(row["padding_factor"] as? Double == 3 * 45 / Double(6 + 45))
        #expect(row["useful_gflop"] as? Double == 2 * 14 * 4 * 51 / 1e9)
        #expect(row["rate_over_uniform"] as? Double ?? 0 > 0)
      }
      for row in rows {
        for key in ["median_ms", "gflops", "executed_gflop", "peak_fraction"] {
          #expect(row[key] as? Double ?? 0 > 0, "\(key)")
        }
        #expect(row["scratch_bytes"] as? Int ?? 0 > 0 && row["causal"] as? Bool == true)
        #expect(row["max_abs_error"] as? Double ?? 1 < 1e-5 && row["repeatable"] as? Bool == true)
      }
      #expect(rows[4]["rate_over_uniform"] is NSNull)
    }
  }

  @Test func linearHasTheKeysAndTypes() throws {
    let (machine, rows) = try benchmarkReport([
      "bench", "linear", "--cases", "m3,41i20o70-gelu", "--repeats", "2", "--threads", "2", "--format", "json",
    ])
    #expect(machine["gemm_peak_gflops"] as? Double ?? 0 > 0)
    #expect(rows.map { $0["way"] as? String } == ["linear", "sgemm NN", "sgemm NT", "linear", "sgemm NN", "sgemm NT"])
    for (index, row) in rows.enumerated() {
      let count = index < 3 ? 3 : 41
      #expect(row["case"] as? String == "m\(count)i20o70-gelu" && row["activation"] as? String == "gelu")
      let sizes = ["m": count, "inputs": 20, "outputs": 70, "samples": 2, "error_rows": count, "output_rows": count]
      for (key, value) in sizes { #expect(row[key] as? Int == value, "\(key)") }
      for key in ["median_ms", "gflops", "speedup_over_sgemm", "peak_fraction"] {
        #expect(row[key] as? Double ?? 0 > 0, "\(key)")
      }
      #expect(row["useful_gflop"] as? Double == 2 * Double(count * 20 * 70) / 1e9 && row["row_threads"] is Int)
      #expect(row["max_abs_error"] as? Double ?? 1 < 1e-5)
      #expect(row["repeatable"] as? Bool == true && row["within_contract"] as? Bool == true)
    }
  }

  @Test func backwardHasTheKeysAndTypes() throws {
    let (_, rows) = try benchmarkReport([
      "bench", "backward", "--cases", "b2h4q5k9d8-kv2-v6-causal", "--repeats", "2", "--threads", "2", "--format",
      "json",
    ])
    #expect(rows.map { $0["way"] as? String } == ["forward + backward", "forward tracked", "backward"])
    for (index, row) in rows.enumerated() {
      let count = index == 1 ? 40 : 40 + 2 * 36
      #expect(row["case"] as? String == "b2h4q5k9d8-kv2-v6-causal" && row["causal"] as? Bool == true)
      let sizes = [
        "batch": 2, "heads": 4, "kv_heads": 2, "query_length": 5, "key_length": 9, "key_width": 8, "value_width": 6,
        "samples": 2, "error_rows": count, "output_rows": count,
      ]
      for (key, value) in sizes { #expect(row[key] as? Int == value, "\(key)") }
      for key in ["median_ms", "gflops", "useful_gflop", "time_over_forward", "peak_fraction"] {
        #expect(row[key] as? Double ?? 0 > 0, "\(key)")
      }
      #expect(row["scratch_bytes"] is Int && (row["error_flowing_queries"] as? Int == 40) == (index != 1))
      #expect(row["max_abs_error"] as? Double ?? 1 < 1e-5)
      #expect(row["repeatable"] as? Bool == true && row["within_contract"] as? Bool == true)
    }
  }

  @Test(arguments: ["h12q128", "m12i384o1536", "h12q128d64-tight", "b1h9q2147483647k9d2147483647"])
  func aWrongBackwardCaseIsRefused(text: String) throws {
    let run = try AttentionProcess(["bench", "backward", "--cases", text])
    #expect(run.exitCode == 64 && run.output.isEmpty && run.errors.contains(text))
  }

  @Test(arguments: ["m12i384", "b1h2q3d4", "m12i384o1536-swish", "m2147483647i2147483647o2147483647"])
  func aWrongLinearCaseIsRefused(text: String) throws {
    let run = try AttentionProcess(["bench", "linear", "--cases", text])
    #expect(run.exitCode == 64 && run.output.isEmpty && run.errors.contains("case '\(text)'"))
  }

  @Test(arguments: ["block-t8w4h3f5", "lstm-b1l2i3", "conv-m1w2", "gelu-m2147483647w2147483647"])
  func aWrongLayerIsRefused(text: String) throws {
    let run = try AttentionProcess(["bench", "layers", "--cases", text])
    #expect(run.exitCode == 64 && run.output.isEmpty && run.errors.contains(text))
  }

  @Test func layersHaveTheKeysAndTypes() throws {
    let (_, rows) = try benchmarkReport(
      ["bench", "layers", "--cases", "lstm-b2l3i4h5 softmax-m8w16", "--repeats", "1", "--format", "json"])
    #expect(
      rows.compactMap { $0["way"] as? String } == ["forward", "training", "forward", "copy in pieces", "copy in parts"])
    for row in rows {
      #expect(row["case"] is String && row["median_ms"] as? Double ?? 0 > 0 && row["rows"] is Int)
    }
    #expect(rows[1]["slope_error"] is Double && rows[1]["gflops"] is Double && rows[1]["gb_per_s"] is NSNull)
    #expect(rows[2]["gflops"] is NSNull && rows[2]["copy_fraction"] is Double && rows[3]["max_abs_error"] is NSNull)
  }

  @Test func tuneHasTheKeysAndTypes() throws {
    let (_, rows) = try benchmarkReport(["bench", "tune", "--repeats", "1", "--format", "json"])
    #expect(
      Set(rows.compactMap { $0["group"] as? String }) == ["fused d32", "fused d64", "fused d128", "products"])
    for row in rows {
      #expect(row["tile"] is String && row["in_use"] is Bool)
      for key in ["median_ms", "gflops", "best_fraction", "peak_fraction"] {
        #expect(row[key] as? Double ?? 0 > 0, "\(key)")
      }
    }
  }

  @Test func lengthsThatAreNotThere() throws {
    let run = try AttentionProcess(["bench", "ragged", "--lengths", "@/nonexistent"])
    #expect(run.exitCode == 66 && run.errorLines.count == 1 && run.output.isEmpty)
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("l")
      try Data("3\nx\n".utf8).write(to: file)
      let run = try AttentionProcess(["bench", "ragged", "--lengths", "@\(file.path)"])
      #expect(run.exitCode == 65 && run.errorLines.count == 1 && run.errors.contains("line 2 is 'x'"))
    }
  }

  static let tiny: [([String], String)] = [
    (["bench", "ragged", "--lengths", "3,0,5", "--heads", "h2d8", "--repeats", "2"], "3,0,5 h2d8 blas"),
    (["bench", "decode", "--depths", "20", "--batch", "1", "--heads", "h2d8", "--repeats", "2"], "b1h2q1k20d8 attend"),
    (["bench", "linear", "--cases", "m3i9o5-silu", "--repeats", "2"], "m3i9o5-silu sgemm NT"),
    (["bench", "backward", "--cases", "h2q9d8-causal", "--repeats", "2"], "b1h2q9k9d8-causal backward"),
  ]

  @Test("Every format, and a report that was saved is a baseline", arguments: tiny)
  func formatsAndBaselines(arguments: [String], key: String) throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("base.json").path
      let table = try AttentionProcess(arguments + ["--save", file])
      #expect(table.exitCode == 0 && table.output.contains(key.split(separator: " ")[0]))
      let count = try benchmarkReport(arguments + ["--format", "json"]).rows.count
      let markdown = try AttentionProcess(arguments + ["--format", "markdown"])
      #expect(markdown.output.split(separator: "\n").count { $0.hasPrefix("|") } == count + 2)
      let csv = try AttentionProcess(arguments + ["--format", "csv"])
      #expect(csv.output.components(separatedBy: "\r\n").count == count + 2)
      let lines = try AttentionProcess(arguments + ["--format", "jsonl"]).output.split(separator: "\n")
      #expect(lines.count == count + 1)
      // A threshold that no disturbance of this machine passes.
      let same = try AttentionProcess(arguments + ["--baseline", file, "--noise-threshold", "1000000"])
      #expect(same.exitCode == 0 && same.output.contains("against the baseline"))
      #expect(same.output.split(separator: "\n").contains { $0.hasPrefix(key) && $0.hasSuffix("same") })
    }
  }

  /// A run that is worse does not take the baseline's place; one that is not does.
  @Test func aWorseRunDoesNotReplaceItsBaseline() throws {
    try withTemporaryFolder { folder in
      let file = folder.appendingPathComponent("base.json").path
      let run = ["bench", "decode", "--depths", "20", "--batch", "1", "--heads", "h2d8", "--repeats", "1"]
      let both = ["--save", file, "--baseline", folder.path + "/./base.json"]
      #expect(try AttentionProcess(run + ["--save", file]).exitCode == 0)
      let first = try String(contentsOfFile: file, encoding: .utf8)
      let calm = try AttentionProcess(run + both + ["--noise-threshold", "1000000"])
      let second = try String(contentsOfFile: file, encoding: .utf8)
      #expect(calm.exitCode == 0 && second != first)
      // A past in which everything took a nanosecond.
      let past = second.replacingOccurrences(
        of: #""median_ms": [0-9.e-]+"#, with: #""median_ms": 1e-6"#, options: .regularExpression)
      try past.write(toFile: file, atomically: true, encoding: .utf8)
      let slower = try AttentionProcess(run + both)
      #expect(slower.exitCode == 1 && slower.errors.contains("the baseline is kept"))
      #expect(try String(contentsOfFile: file, encoding: .utf8) == past)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["base.json"])
    }
  }
}
