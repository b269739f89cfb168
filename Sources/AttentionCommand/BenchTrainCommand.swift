import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels

/// `attention bench train`
struct BenchTrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Measure training: steps of a GPT-2 with AdamW, forward, back and update.",
    discussion: """
      A case such as l6h6d384t256b8v4096 has 6 blocks, 6 heads, rows 384 wide, batches of 8 sequences of 256 tokens, and \
      4096 tokens in all; i is the inner width of the feed-forward part, 4·d unless given. Weights and tokens are random, \
      nothing is dropped, and every step reads the same batch.

      COLUMNS
      '% peak' are the operations of a step over its median time, of the best of the products of 'attention bench gemm'. \
      'memory' is what the process took at the most beyond what it had before there was a model. 'slope error' is how far \
      the slope of the loss along its gradient is from the gradient's norm, 'repeatable' whether two runs and one on a \
      single thread gave the same bits after four steps.

      EXAMPLES
        attention bench train
        attention bench train --cases l12h12d768t512b4v50257
      """)

  @Option(help: ArgumentHelp("What to measure.", valueName: "cases"))
  var cases = TrainingCase.defaults

  @Option(
    help: ArgumentHelp(
      "Write the first case's model before its first step, as Hugging Face lays it out, and batch.safetensors (ids and "
        + "labels) into this folder, for others to train.", valueName: "folder"))
  var input: String?

  @OptionGroup var options: MeasuringOptions

  func validate() throws { _ = try parsed() }

  func run() throws {
    let cases = try parsed()
    if let input {
      let first = TrainingInput(cases[0], seed: options.seed)
      let folder = ModelFolder(path: input)
      try first.model.save(to: folder)
      let shape = [cases[0].batch, cases[0].length]
      do throws(TensorFileError) {
        try SafetensorsFile.write(
          [
            ("ids", .signed64(shape: shape, values: first.batch.ids)),
            ("labels", .signed64(shape: shape, values: first.batch.labels)),
          ], to: "\(input)/batch.safetensors")
      } catch {
        throw BenchmarkFileError.tensors(error)
      }
    }
    try options.run { progress in
      TrainingBenchmark(cases: cases, seed: options.seed, repeats: options.repeats).run(progress: progress)
    }
  }

  private func parsed() throws -> [TrainingCase] {
    do throws(BenchmarkCaseError) {
      return try TrainingCase.list(parsing: cases)
    } catch {
      throw ValidationError(error.description)
    }
  }
}
