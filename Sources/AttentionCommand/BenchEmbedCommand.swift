import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels

/// `attention bench embed`
struct BenchEmbedCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "embed",
    abstract: "Measure texts to vectors with a model from a folder, tokenisation included.",
    discussion: """
      Texts are the lines of a file, or drawn from the model's own words with the lengths of --lengths, in tokens, as in \
      'attention bench ragged --help'. They come in three ways: 'sorted', all in one call, which sorts them by length; \
      'unsorted', 32 in a call, in the order given; 'single', one in a call. No padding is computed in any. 'concurrent', \
      which is measured when it is asked for, has --tasks tasks that each embed all texts, 32 in a call, all at once, and \
      each begins at another place; beside it 'unsorted' is measured, where one caller makes the same calls one after another.

      COLUMNS
      Times are of a pass over all texts (of every task); 'call p50' and 'p99' of the calls in it. 'of one caller' is the \
      tasks' throughput over that of 'unsorted'; that all tasks got the same rows is checked. 'GFLOP/s' count useful operations, \
      '% peak' against the best of the products of 'attention bench gemm', measured in turns. 'if padded' is the share of \
      useful tokens in what an engine would compute that pads 32 texts at a time. 'peak memory' is the process's. 'max \
      error' is the largest distance from float64 over some texts; 'repeatable' whether two runs and one of the engine on \
      a single thread gave the same bits.

      EXAMPLES
        attention bench embed
        attention bench embed --input sentences.txt --mode sorted,single
        attention bench embed --mode concurrent --tasks 8
        attention bench embed --lengths zipf:256x128 --format markdown
      """)

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("Lines of text.", valueName: "file"))
  var input: String?

  @Option(help: ArgumentHelp("The tokens of texts to be drawn, unless --input is given.", valueName: "case"))
  var lengths = "zipf:256x256"

  @Option(
    help: ArgumentHelp(
      "The ways to measure, separated by commas: sorted, unsorted, single, concurrent.", valueName: "modes"))
  var mode = EmbeddingMode.ofOneCaller.map(\.rawValue).joined(separator: ",")

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The tasks of 'concurrent'.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...256) })
  var tasks = 8

  @Option(help: ArgumentHelp("Write the texts' vectors here, as safetensors.", valueName: "file"))
  var output: String?

  @OptionGroup var options: MeasuringOptions

  func validate() throws {
    _ = try modes()
    if input == nil { _ = try source() }
  }

  func run() throws {
    let modes = try modes()
    var given: [String]?
    if let input {
      var lines = try TextLines(path: input)
      var all: [String] = []
      while let line = try lines.next() { all.append(line) }
      if let warning = lines.warning { Terminal.warn(warning) }
      guard !all.isEmpty else { throw BenchmarkFileError.notText(file: input, problem: "it has no line") }
      given = all
    }
    let (encoder, loading) = try ModelLoading.encoder(model.folder())
    let texts = try given ?? drawn(encoder)
    let benchmark = EmbeddingBenchmark(
      encoder: encoder, loading: loading, texts: texts, modes: modes, tasks: tasks, seed: options.seed,
      repeats: options.repeats)
    try options.run(alsoWriting: output) {
      benchmark.run(progress: $0)
    } finish: { _ in
      guard let output else { return }
      do throws(TensorFileError) {
        try SafetensorsFile.write([("embeddings", .float32(benchmark.rows()))], to: output)
      } catch {
        throw BenchmarkFileError.tensors(error)
      }
    }
  }

  private func modes() throws -> [EmbeddingMode] {
    var chosen: [EmbeddingMode] = []
    for part in mode.split(separator: ",", omittingEmptySubsequences: false) {
      guard let one = EmbeddingMode(rawValue: String(part)) else {
        throw ValidationError(
          "--mode '\(mode)': expected some of sorted, unsorted, single, concurrent, separated by commas")
      }
      if !chosen.contains(one) { chosen.append(one) }
    }
    return chosen
  }

  private func source() throws -> SequenceLengths {
    let sources: [SequenceLengths]
    do throws(BenchmarkCaseError) {
      sources = try SequenceLengths.list(parsing: lengths, seed: options.seed)
    } catch {
      throw ValidationError(error.description)
    }
    guard sources.count == 1 else { throw ValidationError("--lengths '\(lengths)': expected one case") }
    return sources[0]
  }

  private func drawn(_ encoder: SentenceEncoder) throws -> [String] {
    let lengths = try source().lengths()
    guard lengths.count <= 1 << 16, let longest = lengths.max() else {
      throw ValidationError("--lengths '\(self.lengths)': expected 1 to \(1 << 16) texts")
    }
    guard longest <= encoder.maximumLength else {
      throw ValidationError(
        "--lengths '\(self.lengths)': a text of \(longest) tokens, and the model takes \(encoder.maximumLength)")
    }
    guard let texts = DrawnTexts.texts(lengths, encoder.tokenizer, seed: options.seed) else {
      throw ValidationError("the model's vocabulary has no words to draw texts from; give some with --input")
    }
    return texts
  }
}
