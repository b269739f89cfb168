import ArgumentParser
import AttentionBenchmarks

/// `attention bench gemm`
struct BenchGEMMCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "gemm",
    abstract: "Measure the products that percentages of the peak refer to, and the multiply-add peak.",
    discussion: """
      A fixed list of products by cblas_sgemm, each on all threads at once on buffers of their own, in random order. \
      "NN 64×128×64" has 64 rows, 128 columns and sums over 64; in NT the right factor is transposed. The best median \
      is the GEMM peak. The FMA peak is multiply-adds on registers alone.

      EXAMPLES
        attention bench gemm
        OPENBLAS_CORETYPE=Haswell ATTENTION_ISA=avx2 attention bench gemm --format json
      """)

  @OptionGroup var options: MeasuringOptions

  func run() throws {
    try options.run { progress in
      GEMMBenchmark(seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }
}
