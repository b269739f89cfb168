import ArgumentParser
import AttentionBenchmarks

/// `attention bench layers`
struct BenchLayersCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "layers",
    abstract: "Measure whole layers, forward and in training, and operations on rows.",
    discussion: """
      block-t1024w384h12f1536 is an encoder block of 384 columns, 12 heads and a feed-forward part of 1536 (GELU), on 1024 \
      tokens in sequences of 1 to 63 tokens, 32 in the mean; preblock has its norms before the sublayers. \
      rnn, lstm and gru-b32l128i384h384 run 32 sequences of 128 steps from 384 inputs to 384 units. \
      layernorm, rmsnorm, softmax and gelu-m16384w1024 work on 16384 rows of 1024 numbers. Layers with the same sizes may \
      stand in a list, and a number may be a list or a range: 12,32, 64-1024*2, 1-9+2.

      COLUMNS
      'training' is forward, and the gradients of all parameters and of the input for a given gradient of the output. \
      GFLOP/s counts useful work over the median time: linear maps, and attention over the real lengths; in training the \
      first three times, the second three and a half times. '% peak' is GFLOP/s of the best of the products of \
      'attention bench gemm', measured in turns with the cases. Where memory is the limit, GB/s counts each number read \
      once and written once, and '× copy' is that over the faster of two copies. 'max error' is the largest distance of the \
      output from float64, sought in whole sequences (†: not in all). 'slope error' holds the gradient of each parameter \
      against float64 along a random direction. 'repeatable' is whether two runs and one on a single thread gave the \
      same bits, gradients included.

      EXAMPLES
        attention bench layers
        attention bench layers --cases "block,preblock-t256-4096*4w384h12f1536"
        attention bench layers --cases "lstm,gru-b1,32l128i384h384; layernorm-m65536w256" --format markdown
      """)

  @Option(help: ArgumentHelp("What to measure.", valueName: "cases"))
  var cases = LayerCase.defaultList

  @OptionGroup var options: MeasuringOptions

  func validate() throws { _ = try chosenCases() }

  func run() throws {
    let cases = try chosenCases()
    try options.run { progress in
      LayerBenchmark(cases: cases, seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }

  private func chosenCases() throws -> [LayerCase] {
    do throws(BenchmarkCaseError) {
      return try LayerCase.list(parsing: cases)
    } catch {
      throw ValidationError(error.description)
    }
  }
}
