import ArgumentParser
import AttentionBenchmarks

/// `attention bench linear`
struct BenchLinearCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "linear",
    abstract: "Measure linear maps with bias and activation, beside one threaded cblas_sgemm.",
    discussion: """
      m12i384o1536-gelu is a map of 12 rows from 384 inputs to 1536 outputs with a GELU behind it; the activations are \
      relu, gelu, geluTanh, silu, tanh and sigmoid, or none. A number may be a list or a range: 12,32, 64-1024*2, \
      1-9+2.

      COLUMNS
      'linear' is the whole map by tiles over a weight that was packed before, as a layer runs it. 'sgemm NN' and \
      'sgemm NT' are the product alone by one call of cblas_sgemm on as many of OpenBLAS's own threads, the weight \
      lying [inputs, outputs] and [outputs, inputs]. GFLOP/s are the product's operations over the median time, \
      '× sgemm' the median of the faster sgemm over the row's, '% peak' GFLOP/s of the best of the products of \
      'attention bench gemm', measured in turns with the cases. 'max error' is the largest distance from float64 over \
      the output, or over a part of its rows, which is then marked; 'repeatable' whether two runs and one of the engine \
      on a single thread gave the same bits.

      EXAMPLES
        attention bench linear
        attention bench linear --cases "m12,32,1024i384o1536; m1i768o3072-gelu"
        attention bench linear --cases m64-1024*2i384o384 --format markdown
      """)

  @Option(help: ArgumentHelp("What to measure.", valueName: "cases"))
  var cases = LinearCase.defaultList

  @OptionGroup var options: MeasuringOptions

  func validate() throws { _ = try chosenCases() }

  func run() throws {
    let cases = try chosenCases()
    try options.run { progress in
      LinearBenchmark(cases: cases, seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }

  private func chosenCases() throws -> [LinearCase] {
    do throws(BenchmarkCaseError) {
      return try LinearCase.list(parsing: cases)
    } catch {
      throw ValidationError(error.description)
    }
  }
}
