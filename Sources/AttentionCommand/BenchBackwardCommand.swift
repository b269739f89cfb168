import ArgumentParser
import AttentionBenchmarks

/// `attention bench backward`
struct BenchBackwardCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backward",
    abstract: "Measure attention forward and back: the gradients of queries, keys and values.",
    discussion: """
      Cases are those of 'attention bench attention --help', which explains their grammar.

      COLUMNS
      'forward + backward' is what a step of training runs: attention over tracked tensors, and the gradients of query, \
      key and value for a given gradient of the output. 'forward tracked' and 'backward' are its halves. GFLOP/s counts \
      useful work, which is what the mask leaves open, over the median time: 2 products forward and 5 backward, so 3.5 \
      times the forward's where keys and values are equally wide. '× forward' is the row's median over that of \
      'forward tracked', '% peak' GFLOP/s of the best of the products of 'attention bench gemm', measured in turns with \
      the cases. 'max error' is the largest distance of a gradient (of 'forward tracked': of the output) from float64. \
      It is sought on as many whole kv heads as can be computed in about a second (†; error_rows in JSON); where one takes \
      longer, on one, with a gradient that flows into some of its queries only (‡; error_flowing_queries). 'repeatable' \
      is whether two runs and one on a single thread gave the same bits.

      EXAMPLES
        attention bench backward
        attention bench backward --cases "b1,8h12q128-1024*2d64-causal" --format markdown
        attention bench backward --cases h32q1024d128-kv8-causal --save before.json
      """)

  @Option(help: ArgumentHelp("What to measure.", valueName: "cases"))
  var cases = BenchmarkCase.defaultBackwardList

  @OptionGroup var options: MeasuringOptions

  func validate() throws { _ = try chosenCases() }

  func run() throws {
    let cases = try chosenCases()
    try options.run { progress in
      BackwardBenchmark(cases: cases, seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }

  private func chosenCases() throws -> [BenchmarkCase] {
    do throws(BenchmarkCaseError) {
      return try BenchmarkCase.backwardList(parsing: cases)
    } catch {
      throw ValidationError(error.description)
    }
  }
}
