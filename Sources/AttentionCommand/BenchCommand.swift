import ArgumentParser
import AttentionBenchmarks

/// `attention bench`
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure: attention by each path, or the products that it stands on.",
    discussion: """
      Without a subject it measures attention; see 'attention bench attention --help' for its options and the grammar \
      of cases. The default set takes less than two minutes.

      EXAMPLES
        attention bench
        attention bench --cases "h12q128-2048*2d64; h8q4096d64-causal"
        attention bench --save before.json
        attention bench --baseline before.json
        attention bench gemm
      """,
    subcommands: [BenchAttentionCommand.self, BenchGEMMCommand.self],
    defaultSubcommand: BenchAttentionCommand.self
  )
}
