import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels

/// `attention bench generate`
struct BenchGenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Measure generation by GPT-2: reading prompts, and one token after another, against the read bandwidth.",
    discussion: """
      The model is of random weights, of a shape: l12h12d768v50257 has 12 blocks, 12 heads, rows 768 wide and 50257 tokens; \
      i is the inner width of the feed-forward part, 4·d unless given. Or it is read from the folder --model. Each batch \
      size is measured at each depth, the tokens of a sequence.

      COLUMNS
      'prefill' reads prompts of that many tokens and scores the next one, 'decode' reads one more token of each sequence \
      over caches of those before it. 'to read' are the bytes of weights, keys and values that a decoding step has to \
      read, GB/s those over the median time, '% reads' GB/s of the read bandwidth as in 'attention bench decode --help'. \
      '% peak' are the products with weights of the best of the products of 'attention bench gemm'. 'caches change' is the \
      largest difference between scores with and without caches, 'repeatable' whether two runs and one on a single thread \
      gave the same bits.

      EXAMPLES
        attention bench generate
        attention bench generate --shape l6h8d512v32000 --depths 128-2048*4 --batch 1,16
        attention bench generate --model gpt2 --format markdown
      """)

  @Option(help: ArgumentHelp("A random model of this shape.", valueName: "shape"))
  var shape: String?

  @Option(help: ArgumentHelp("The folder of a model of type gpt2, instead of a shape.", valueName: "folder"))
  var model: String?

  @Option(help: ArgumentHelp("The tokens of a sequence.", valueName: "numbers"))
  var depths = GenerationCase.defaultDepths

  @Option(help: ArgumentHelp("The sequences that take a step together.", valueName: "numbers"))
  var batch = GenerationCase.defaultBatches

  @OptionGroup var options: MeasuringOptions

  func validate() throws {
    if shape != nil, model != nil { throw ValidationError("give --shape or --model, not both") }
    let cases = try cases()
    if model == nil { try check(configuration(cases), cases) }
  }

  func run() throws {
    let cases = try cases()
    let model: GPT2
    if let folder = self.model {
      model = try GPT2(ModelFolder(path: folder))
      try check(model.configuration, cases)
    } else {
      var generator = SeededGenerator(seed: UInt64(options.seed))
      model = GPT2(try configuration(cases), using: &generator)
    }
    try options.run { progress in
      GenerationBenchmark(model: model, cases: cases, seed: options.seed, repeats: options.repeats)
        .run(progress: progress)
    }
  }

  private func cases() throws -> [GenerationCase] {
    do throws(BenchmarkCaseError) {
      return try GenerationCase.list(
        shape: model ?? shape ?? GenerationCase.defaultShape, depths: depths, batches: batch)
    } catch {
      throw ValidationError(error.description)
    }
  }

  private func configuration(_ cases: [GenerationCase]) throws -> GPT2Configuration {
    do throws(BenchmarkCaseError) {
      return try GenerationCase.configuration(
        parsing: shape ?? GenerationCase.defaultShape, depth: cases.map(\.depth).max() ?? 1)
    } catch {
      throw ValidationError(error.description)
    }
  }

  private func check(_ model: GPT2Configuration, _ cases: [GenerationCase]) throws {
    if let one = cases.first(where: { $0.depth > model.maximumLength }) {
      throw ValidationError("--depths \(one.depth): the model has \(model.maximumLength) positions")
    }
    let (bytes, limit) = (GenerationBenchmark.memoryEstimate(model, cases), CaseLimits.defaultMemory)
    guard bytes <= Double(limit) else {
      throw ValidationError(
        BenchmarkCaseError.tooLarge(case: "generate", bytes: Int(min(bytes, 0x1p62)), limit: limit).description)
    }
  }
}
