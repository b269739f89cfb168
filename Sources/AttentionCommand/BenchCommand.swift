import ArgumentParser
import AttentionBenchmarks

/// `attention bench`
struct BenchCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract:
      """
      Measure: attention by each path, forward and back, ragged batches, decoding, linear maps, layers, products, \
      models, generation, training, or tokenizers.
      """,
    usage: """
      attention bench [<options>]
      attention bench backward|ragged|decode|linear|layers|train|embed|generate|tokenize|gemm|tune [<options>]
      """,
    discussion: """
      Without a subject it measures attention; 'attention bench attention --help' explains the grammar of cases and \
      the columns. The default set takes less than two minutes.

      EXAMPLES
        attention bench
        attention bench --cases "h12q128-2048*2d64; h8q4096d64-causal"
        attention bench --save before.json
        attention bench --baseline before.json
        attention bench backward --cases b8h12q512d64-causal
        attention bench ragged --lengths "zipf:256x512; 3,0,5,128"
        attention bench decode --depths 16384 --batch 1,4
        attention bench generate --depths 64,512 --batch 1
        attention bench linear --cases m12,1024i384o1536-gelu
        attention bench layers --cases lstm,gru-b32l128i384h384
        attention bench embed --input sentences.txt
        attention bench gemm
        attention bench tune
        attention bench tokenize --input texts.txt

      OPTIONS OF attention bench
      \(optionsWithoutSubject)
      """,
    subcommands: [
      BenchAttentionCommand.self, BenchBackwardCommand.self, BenchRaggedCommand.self, BenchDecodeCommand.self,
      BenchLinearCommand.self, BenchLayersCommand.self, BenchTrainCommand.self, BenchEmbedCommand.self,
      BenchGenerateCommand.self,
      BenchTokenizeCommand.self, BenchGEMMCommand.self, BenchTuneCommand.self,
    ],
    defaultSubcommand: BenchAttentionCommand.self
  )

  /// The parser shows a default subcommand's options in its own help only, and whoever names no subject looks here.
  private static var optionsWithoutSubject: String {
    BenchAttentionCommand.helpMessage().split(separator: "\n").drop { $0 != "OPTIONS:" }.dropFirst()
      .prefix { !$0.contains("-h, --help") }.joined(separator: "\n")
  }
}
