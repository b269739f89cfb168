import ArgumentParser
import AttentionBenchmarks
import AttentionModels

/// `attention bench tokenize`
struct BenchTokenizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenize",
    abstract: "Measure how fast a model's tokenizer cuts texts.",
    discussion: """
      The input has one text a line; all of them are one call. 'one by one' calls for each text, 'batch' once, on one \
      thread and on all. 'repeatable' tells whether all threads gave what one text at a time gives. \
      scripts/compare-tokenizers --bench measures Hugging Face's tokenizers beside it.

      EXAMPLES
        attention bench tokenize --input texts.txt
        attention bench tokenize --model folder --input texts.txt --format json
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("The file of texts, one a line.", valueName: "file"))
  var input: String

  @OptionGroup var options: MeasuringOptions

  func run() throws {
    let tokenizer = try SubwordTokenizer(model.folder())
    var lines = try TextLines(path: input)
    let texts = try lines.next(atMost: .max, bytes: 1 << 28)
    if let warning = lines.warning { Terminal.warn(warning) }
    guard !texts.isEmpty else { throw BenchmarkFileError.notText(file: input, problem: "it has no line") }
    try options.run { progress in
      TokenizationBenchmark(tokenizer: tokenizer, texts: texts, seed: options.seed, repeats: options.repeats)
        .run(progress: progress)
    }
  }
}
