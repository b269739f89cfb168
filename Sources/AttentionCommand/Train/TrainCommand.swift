import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels
import AttentionTraining
import Foundation

/// `attention train`
struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a small model from a text file.",
    discussion: """
      The output is a folder: config.json, model.safetensors and tokenizer.json of the best model so far, by its loss on \
      text that was held out. In it, training/last.safetensors \
      holds what the run goes on from, and training/metrics.jsonl what it told. A run that was stopped (Control-C), or \
      killed, goes on with --resume and the same options; the result is that of a run that never stopped.

      KINDS
        gpt               a GPT-2 predicts the next token; 'generate' and transformers read it
        lstm, gru, rnn    a recurrent network does; 'generate' reads it
        bert              masked tokens, and whether a line follows another; 'embed' and transformers read it
        seq2seq           lines of "source<tab>target": a transformer, or GRUs with --attention additive
        skipgram          a vector for each word, by its neighbours; 'embed' and 'similar' read it

      EXAMPLES
        scripts/fetch-text
        attention train --kind gpt --data .build/data/king-james.txt --output bible-gpt
        attention generate --model bible-gpt --prompt "And it came to pass" --temperature 0.8
        attention train --kind lstm --size tiny --data notes.txt --output notes-lstm --steps 500
      """)

  enum Format: String, ExpressibleByArgument, CaseIterable {
    case text, jsonl
  }

  @Option(help: "What to train.")
  var kind: TrainingKind

  @Option(help: ArgumentHelp("A text in UTF-8.", valueName: "file"))
  var data: String

  @Option(help: ArgumentHelp("Where the model goes; made if need be.", valueName: "folder"))
  var output: String

  @Option(help: "How large the model is, which sets the defaults of all that follows.")
  var size = TrainingSize.small

  @Flag(help: "Go on with the run that the folder holds.")
  var resume = false

  @Option(
    help: """
      What of the text belongs together: a hundred blocks of lines, paragraphs between blank lines, lines, or the whole. \
      Every twentieth is held out; of fewer than twenty, the last tenth.
      """)
  var documents = DocumentCut.blocks

  @Option(help: "What is hidden from a bert: tokens by themselves (BERT's way), or spans of whole words (SpanBERT's).")
  var masking = Masking.tokens

  @Flag(inversion: .prefixedNo, help: "Whether a bert also learns which lines follow one another.")
  var nextSentence = true

  @Option(
    help: """
      How a seq2seq attends to its source: as a transformer with several heads, or by Bahdanau's additive attention \
      between recurrent layers (GRUs).
      """)
  var attention = SourceAttention.multihead

  @OptionGroup var choice: TrainingChoice

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Draw weights, batches and what is dropped from this.", valueName: "n"),
    transform: { try wholeNumber($0, in: 0...Int.max) })
  var seed = 0

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Compute on this many threads.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...ThreadCount.maximum) })
  var threads: Int?

  @Option(help: "What to print: lines for a person, or a row of JSON for each event.")
  var format = Format.text
}

/// What can be chosen instead of the defaults of a kind and a size.
struct TrainingChoice: ParsableArguments {
  @Option(
    parsing: .unconditional, help: ArgumentHelp("The width of the model's rows.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...65_536) })
  var width: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Blocks, or recurrent layers.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...1_000) })
  var blocks: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Heads of attention; they divide the width.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...4_096) })
  var heads: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Tokens of a sequence at the most.", valueName: "n"),
    transform: { try wholeNumber($0, in: 8...1 << 20) })
  var length: Int?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "Tokens of the vocabulary that is learnt from the text; 257 are the bytes alone.", valueName: "n"),
    transform: { try wholeNumber($0, in: 257...1 << 24) })
  var vocabulary: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Tokens of a batch.", valueName: "n"),
    transform: { try wholeNumber($0, in: 8...1 << 24) })
  var batchTokens: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Steps.", valueName: "n"),
    transform: { try wholeNumber($0, in: 0...1 << 40) })
  var steps: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The largest learning rate.", valueName: "number"),
    transform: { try fraction($0, in: 0...1e3) })
  var rate: Double?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Steps in which the rate grows to its largest.", valueName: "n"),
    transform: { try wholeNumber($0, in: 0...1 << 40) })
  var warmUp: Int?

  @Option(help: "How the rate falls.")
  var schedule: LearningRateSchedule.Decay?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("The share of elements that is dropped.", valueName: "fraction"),
    transform: { try fraction($0, in: 0...0.95) })
  var dropout: Double?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("AdamW's decay of weights.", valueName: "number"),
    transform: { try fraction($0, in: 0...10) })
  var weightDecay: Double?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The share of each label that all tokens have in common, in training.", valueName: "fraction"),
    transform: { try fraction($0, in: 0...0.95) })
  var labelSmoothing = 0.0

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("The norm that gradients are clipped to; 0 for none.", valueName: "number"),
    transform: { try fraction($0, in: 0...1e6) })
  var clip = 1.0

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Batches of one step.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...1 << 20) })
  var accumulate = 1

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Steps between two looks at the held-out text.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...1 << 40) })
  var evaluateEvery: Int?

  @Option(
    parsing: .unconditional, help: ArgumentHelp("Steps between two checkpoints.", valueName: "n"),
    transform: { try wholeNumber($0, in: 1...1 << 40) })
  var checkpointEvery: Int?
}

extension LearningRateSchedule.Decay: ExpressibleByArgument {}

/// Reads an option's number.
private func fraction(_ text: String, in range: ClosedRange<Double>) throws -> Double {
  guard let value = Double(text), range.contains(value) else {
    throw ValidationError("expected a number from \(range.lowerBound) to \(range.upperBound)")
  }
  return value
}

extension TrainCommand {
  /// The defaults, and what was chosen instead.
  var plan: TrainingPlan {
    var plan = TrainingPlan(kind, size)
    if let steps = choice.steps {
      plan.steps = steps
      plan.warmUp = min(plan.warmUp, steps / 10)
    }
    plan.width = choice.width ?? plan.width
    plan.blocks = choice.blocks ?? plan.blocks
    plan.heads = choice.heads ?? plan.heads
    plan.length = choice.length ?? plan.length
    plan.vocabulary = choice.vocabulary ?? plan.vocabulary
    plan.batchTokens = choice.batchTokens ?? plan.batchTokens
    plan.rate = choice.rate ?? plan.rate
    plan.warmUp = choice.warmUp ?? plan.warmUp
    plan.schedule = choice.schedule ?? plan.schedule
    plan.dropout = choice.dropout ?? plan.dropout
    plan.weightDecay = choice.weightDecay ?? plan.weightDecay
    plan.labelSmoothing = choice.labelSmoothing
    plan.evaluationInterval = choice.evaluateEvery ?? max(1, min(250, plan.steps / 10))
    return plan
  }

  func validate() throws {
    if output.isEmpty { throw ValidationError("--output names no folder") }
    if let option = uselessOption { throw ValidationError("--kind \(kind.rawValue) has no use for \(option)") }
    let plan = plan
    if !kind.isRecurrent, kind != .skipgram, attention == .multihead, !plan.width.isMultiple(of: plan.heads) {
      throw ValidationError("\(plan.heads) heads do not divide a width of \(plan.width)")
    }
    if kind != .seq2seq, plan.batchTokens < plan.length {
      throw ValidationError("a batch of \(plan.batchTokens) tokens does not hold a sequence of \(plan.length)")
    }
    if let threads { Engine.setThreadCount(threads) }
    if let problem = AddressSpace.problem(remaining: AddressSpace.remaining(), threads: Engine.threadCount.count) {
      throw ValidationError(problem)
    }
  }
}

extension TrainCommand {
  /// An option that was given and that the kind has no use for.
  private var uselessOption: String? {
    let hasText = kind != .seq2seq
    let hasBlocks = kind != .skipgram && !(kind == .seq2seq && attention == .additive)
    let uses: [(name: String, isGiven: Bool, isUsed: Bool)] = [
      ("--heads", choice.heads != nil, hasBlocks && !kind.isRecurrent),
      ("--blocks", choice.blocks != nil, hasBlocks),
      ("--length", choice.length != nil, kind != .skipgram),
      ("--dropout", choice.dropout != nil, kind != .skipgram),
      ("--label-smoothing", choice.labelSmoothing > 0, kind != .skipgram && kind != .bert),
      ("--documents", documents != .blocks, hasText),
      ("--masking", masking != .tokens, kind == .bert),
      ("--no-next-sentence", !nextSentence, kind == .bert),
      ("--attention", attention != .multihead, kind == .seq2seq),
    ]
    return uses.first { $0.isGiven && !$0.isUsed }?.name
  }
}
