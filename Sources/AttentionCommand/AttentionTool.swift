import ArgumentParser
import AttentionBenchmarks
import Foundation

/// The command `attention`: arguments in, text out.
struct AttentionTool: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "attention",
    abstract: "Attention on the CPU, on OpenBLAS.",
    discussion: """
      Measures scaled dot-product attention as this package computes it, by each of its paths, and tells what the \
      figures depend on. Turns text into vectors with a model of Hugging Face's layout. Trains small models.

      EXAMPLES
        attention info
        attention bench
        printf 'a\\nb\\n' | attention embed
        attention bench --cases "b1,8h12q128-1024*2d64-causal" --format markdown

      EXIT CODES
        0   done
        1   results are wrong, training came to nothing, or a row is slower than that of a --baseline beyond the noise
        64  a wrong option, case or size, or too little memory for it
        65  a file whose contents are not what they should be
        66  a file that cannot be opened
        73  a file that cannot be created
        74  a failure in reading or writing
        130 training was asked to stop, and kept what it had
      """,
    version: "0.1.0",
    subcommands: [
      EmbedCommand.self, SimilarCommand.self, TokenizeCommand.self, GenerateCommand.self, TrainCommand.self,
      BenchCommand.self, InfoCommand.self,
    ]
  )
}

@main
enum Main {
  static func main() {
    // A reader that went away is an error of writing, not a signal.
    signal(SIGPIPE, SIG_IGN)
    do {
      var command = try AttentionTool.parseAsRoot()
      try command.run()
    } catch {
      exit(Terminal.explain(error))
    }
  }
}
