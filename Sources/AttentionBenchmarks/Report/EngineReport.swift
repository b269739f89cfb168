import Attention

/// What `attention info` tells: the machine and the engine's state, nothing measured.
public struct EngineReport: Sendable {
  /// The machine.
  public let machine: MachineDescription
  /// What could not be followed or would make figures wrong.
  public let warnings: [String]

  /// This process, now.
  public static func current() -> EngineReport {
    EngineReport(machine: .current(), warnings: Engine.warnings)
  }

  /// As one object of JSON: the keys of a benchmark's machine that need no measurement, and `warnings`.
  public var json: String {
    let measured: Set = ["gemm_peak_gflops", "fma_peak_gflops", "read_gb_per_s", "seed", "date"]
    let fields = MachineReport(machine).fields.filter { !measured.contains($0.key) }
    let lines = fields.map { "  \(ReportValue.text($0.key).json): \($0.value.json),\n" }.joined()
    let list = warnings.map { ReportValue.text($0).json }.joined(separator: ", ")
    return "{\n\(lines)  \"warnings\": [\(list)]\n}\n"
  }

  /// As lines for a person; warnings are not among them.
  public var text: String {
    let reasons: [ThreadCount.Reason: String] = [
      .cores: "as many as cores", .affinity: "the affinity allows no more", .quota: "the quota allows no more",
      .environment: "ATTENTION_NUM_THREADS", .program: "asked for",
    ]
    let reason = reasons[machine.threads.reason] ?? machine.threads.reason.rawValue
    let lines = [
      ("CPU", machine.cpu), ("cores", "\(machine.cores)"),
      ("affinity", machine.affinity.map { "\($0) cores" } ?? "unknown"),
      ("quota", machine.quota.map { "\(Decimals.short($0)) cores" } ?? "none"),
      ("threads", "\(machine.threads.count) (\(reason))"), ("kernel set", machine.kernelSet.rawValue),
      ("OpenBLAS", "\(machine.blasVersion), core \(machine.blasCore), \(machine.blasThreading.rawValue) variant"),
      ("library", machine.blasLibrary ?? "unknown"),
    ]
    return TextGrid(lines.map { [$0.0, $0.1] }, isText: [true, true]).lines.map { $0 + "\n" }.joined()
  }
}
