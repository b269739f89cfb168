import ArgumentParser
import Attention
import AttentionBenchmarks

/// `attention bench tune`
struct BenchTuneCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tune",
    abstract: "Check the plan of tiles on this machine against other tiles; nothing is changed.",
    discussion: """
      Attention's tiles are a function of the widths and of OpenBLAS's core alone, so that results do not depend on the \
      day. This measures the fused path over heads 32, 64 and 128 wide by other tiles, too (rows × keys), and products \
      on both sides of the bound up to which the plan takes OpenBLAS's small-matrix kernels. All of them are taken in \
      turns. The notes below the table say whether the plan is within 5% of the best; whatever they say, the exit code \
      is 0, and the plan stays as it is.

      EXAMPLES
        attention bench tune
        attention bench tune --repeats 100 --format markdown
        OPENBLAS_CORETYPE=Haswell ATTENTION_ISA=avx2 attention bench tune
      """)

  @OptionGroup var options: MeasuringOptions

  private var benchmark: TuneBenchmark { TuneBenchmark(seed: options.seed, repeats: options.repeats) }

  func validate() throws {
    let (bytes, limit) = (benchmark.memoryEstimate(threads: Engine.threadCount.count), CaseLimits.defaultMemory)
    guard bytes <= limit else {
      throw ValidationError(BenchmarkCaseError.tooLarge(case: "tune", bytes: bytes, limit: limit).description)
    }
  }

  func run() throws {
    try options.run { progress in benchmark.run(progress: progress) }
  }
}
