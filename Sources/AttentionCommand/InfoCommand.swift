import ArgumentParser
import AttentionBenchmarks

/// `attention info`
struct InfoCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "info",
    abstract: "Show what figures depend on: processor, threads, kernels, OpenBLAS.",
    discussion: """
      The thread count is the smallest of the cores that are online, the cores that the process may run on, and the \
      quota of its cgroup (rounded up), unless ATTENTION_NUM_THREADS sets it. ATTENTION_ISA=avx512|avx2|portable \
      chooses the engine's own kernels, OPENBLAS_CORETYPE those of OpenBLAS. Warnings go to standard error.
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, json
  }

  @Option(help: "What to print.")
  var format = Format.text

  func run() throws {
    let report = EngineReport.current()
    report.warnings.forEach(Terminal.warn)
    try Terminal.write(format == .json ? report.json : report.text)
  }
}
