import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels
import AttentionTensors
import Foundation

/// `attention generate`
struct GenerateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate",
    abstract: "Go on from a text, by GPT-2 or another language model.",
    discussion: """
      One --prompt streams its text to standard output, without the prompt. Several, or the lines of --input, are generated \
      together, and a row of JSON for each comes in their order: {"prompt": …, "text": …, "end": …}. 'end' tells why the \
      text ended: endToken, stopString, maximumNewTokens, or maximumLength when the model has no positions left. A line \
      that cannot be gone on from has a row {"prompt": …, "error": …}; the others are served, and the exit code is 65.

      Tokens are chosen by --repetition-penalty, --temperature, --top-k and --top-p, in this order. A temperature of 0, \
      which is the default, takes the best token always. The same options and seed give the same text for a prompt, \
      whatever the others are.

      EXAMPLES
        attention generate --model gpt2 --prompt "The old mill"
        attention generate --model gpt2 --prompt "The old mill" --temperature 0.8 --top-p 0.95 --seed 3
        attention generate --model gpt2 --input prompts.txt --max-tokens 40 --stop . > texts.jsonl
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, jsonl
  }

  @Option(
    help: ArgumentHelp(
      "A folder as Hugging Face lays it out: config.json of model type gpt2 or recurrent-lm, model.safetensors, tokenizer.json.",
      valueName: "folder"))
  var model: String

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("A text to go on from; may be repeated.", valueName: "text"))
  var prompt: [String] = []

  @Option(help: ArgumentHelp("Lines of text to go on from; - is standard input.", valueName: "file"))
  var input: String?

  @Option(help: "What to print. Unless given, text for one --prompt, and else jsonl.")
  var format: Format?

  @OptionGroup var choice: ChoiceOptions

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Compute on this many threads.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...ThreadCount.maximum) })
  var threads: Int?

  func validate() throws {
    guard prompt.isEmpty != (input == nil) else {
      throw ValidationError(prompt.isEmpty ? "give a --prompt or an --input" : "give --prompt or --input, not both")
    }
    if format == .text, input != nil || prompt.count > 1 {
      throw ValidationError("--format text is for one --prompt")
    }
    do throws(GenerationError) { try choice.options.check() } catch { throw ValidationError(error.description) }
    if let threads { Engine.setThreadCount(threads) }
    if let problem = AddressSpace.problem(remaining: AddressSpace.remaining(), threads: Engine.threadCount.count) {
      throw ValidationError(problem)
    }
  }

  /// Prompts that are generated together.
  private static let batch = 32

  func run() throws {
    guard let input else {
      let (model, tokenizer) = try readModel()
      return try serve(prompt, model, tokenizer)
    }
    // Before the model is read.
    let lines = try TextLines(path: input)
    let (model, tokenizer) = try readModel()
    try serve(lines, model, tokenizer)
  }

  /// The model, of whatever kind, and the tokenizer that belongs to it.
  private func readModel() throws -> (any CausalLanguageModel, SubwordTokenizer) {
    guard !model.isEmpty, fileExists(model) else {
      throw BenchmarkFileError.unreadable(file: model, problem: "there is no such folder")
    }
    let folder = ModelFolder(path: model)
    let tokenizer = try SubwordTokenizer(folder)
    return (try folder.languageModel(), tokenizer)
  }

  /// Goes on from lines.
  private func serve(
    _ lines: consuming TextLines, _ model: some CausalLanguageModel, _ tokenizer: SubwordTokenizer
  ) throws {
    let generator = TextGenerator(model: model, tokenizer: tokenizer)
    var hasFailed = false
    while true {
      let first = lines.count
      let part = try lines.next(atMost: GenerateCommand.batch, bytes: 1 << 20)
      guard !part.isEmpty else { break }
      let name = lines.name
      let isWanted = try printRows(of: part, generator, hasFailed: &hasFailed) { "\(name): line \(first + $0 + 1)" }
      guard isWanted else { return }
    }
    if let warning = lines.warning { Terminal.warn(warning) }
    if hasFailed { throw ExitCode(65) }
  }

  /// Goes on from prompts.
  private func serve(
    _ prompts: [String], _ model: some CausalLanguageModel, _ tokenizer: SubwordTokenizer
  ) throws {
    let generator = TextGenerator(model: model, tokenizer: tokenizer)
    if prompts.count == 1, format != .jsonl { return try stream(prompts[0], generator) }
    var hasFailed = false
    for start in stride(from: 0, to: prompts.count, by: GenerateCommand.batch) {
      let part = Array(prompts[start..<min(prompts.count, start + GenerateCommand.batch)])
      let isWanted = try printRows(of: part, generator, hasFailed: &hasFailed) { "--prompt \(start + $0 + 1)" }
      guard isWanted else { return }
    }
    if hasFailed { throw ExitCode(65) }
  }

  /// Writes the text after one prompt as it comes, and an end of the line.
  private func stream(_ prompt: String, _ generator: TextGenerator<some LanguageModel, SubwordTokenizer>) throws {
    let options = choice.options
    try waiting {
      do {
        for try await piece in generator.stream(prompt, options: options) {
          guard try Terminal.writeStream(Array(piece.utf8)) else { return }
        }
        _ = try Terminal.writeStream(Array("\n".utf8))
      } catch let error as GenerationError {
        throw error.isOfPrompt ? ValidationError(error.description) : GenerateCommand.failure(error)
      }
    }
  }

  /// Writes a row for each of the prompts; false when the reader has closed its end.
  private func printRows(
    of prompts: [String], _ generator: TextGenerator<some LanguageModel, SubwordTokenizer>, hasFailed: inout Bool,
    _ name: (Int) -> String
  ) throws -> Bool {
    var (sound, errors): ([Int], [Int: GenerationError]) = ([], [:])
    for (index, prompt) in prompts.enumerated() {
      do throws(GenerationError) {
        _ = try generator.ids(ofPrompt: prompt)
        sound.append(index)
      } catch {
        guard error.isOfPrompt else { throw GenerateCommand.failure(error) }
        Terminal.warn("\(name(index)): \(error.description)")
        errors[index] = error
        hasFailed = true
      }
    }
    let (options, chosen) = (choice.options, sound.map { prompts[$0] })
    let texts = try waiting {
      do { return try await generator.generate(chosen, options: options) } catch let error as GenerationError {
        throw GenerateCommand.failure(error)
      }
    }
    let found = Dictionary(uniqueKeysWithValues: zip(sound, texts))
    var rows: [UInt8] = []
    for (index, prompt) in prompts.enumerated() {
      var row = JSONWriter()
      row.beginObject()
      row.key("prompt")
      row.string(prompt)
      if let text = found[index] {
        row.key("text")
        row.string(text.text)
        row.key("end")
        row.string(text.end.rawValue)
      } else {
        row.key("error")
        row.string(errors[index]?.description ?? "")
      }
      row.endObject()
      rows += row.bytes + [UInt8(ascii: "\n")]
    }
    return try Terminal.writeStream(rows)
  }

  /// Says what is wrong with the model, and answers how the command ends.
  private static func failure(_ error: GenerationError) -> ExitCode {
    Terminal.writeError("attention: \(Terminal.oneLine(error.description))\n")
    return ExitCode(65)
  }
}

/// How tokens are chosen, and when a text ends.
struct ChoiceOptions: ParsableArguments {
  @Option(
    parsing: .unconditional, help: ArgumentHelp("Generate this many tokens at the most.", valueName: "n"),
    transform: { try wholeNumber($0, in: 0...1 << 30) })
  var maxTokens = 256

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("Divide scores by this before the softmax; 0 takes the best token always.", valueName: "number"),
    transform: number)
  var temperature = 0.0

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Choose from this many of the best tokens.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...1 << 30) })
  var topK: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Choose from the fewest best tokens that have this probability together.", valueName: "fraction"),
    transform: number)
  var topP = 1.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Divide positive scores of tokens that were there already by this, multiply negative ones with it.",
      valueName: "number"),
    transform: number)
  var repetitionPenalty = 1.0

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Draw tokens from this.", valueName: "n"),
    transform: { try wholeNumber($0, in: 0...Int.max) })
  var seed = 0

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("End a text before this; may be repeated.", valueName: "text"))
  var stop: [String] = []

  var options: GenerationOptions {
    GenerationOptions(
      maximumNewTokens: maxTokens, temperature: temperature, topK: topK, topP: topP,
      repetitionPenalty: repetitionPenalty, seed: UInt64(seed), stopStrings: stop)
  }
}

/// Reads an option's number.
private func number(_ text: String) throws -> Double {
  guard let value = Double(text), value.isFinite else { throw ValidationError("expected a number") }
  return value
}

extension GenerationError {
  /// Whether it is the prompt that is wrong, and not the model.
  fileprivate var isOfPrompt: Bool {
    switch self {
    case .emptyPrompt, .promptTooLong: true
    case .invalidOption, .unknownToken, .scoresNotFinite: false
    }
  }
}
