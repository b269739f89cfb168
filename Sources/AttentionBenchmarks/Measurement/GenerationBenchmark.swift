import Attention
import AttentionModels

/// The subject `generate`: a GPT-2 reads prompts, and takes steps over caches of some depth.
public struct GenerationBenchmark {
  /// The model.
  public let model: GPT2
  /// What is measured; depths are within the model's positions.
  public let cases: [GenerationCase]
  /// What ids and the order of the samples are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// Creates a benchmark.
  public init(model: GPT2, cases: [GenerationCase], seed: Int = 0, repeats: Int? = nil) {
    self.model = model
    self.cases = cases
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<GenerationRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    var works: [TimedWork] = []
    var measured: [(one: GenerationCase, step: GenerationStep, checks: GenerationChecks)] = []
    for one in cases {
      progress(.init(stage: "checking \(one)", done: works.count, all: 2 * cases.count))
      let input = GenerationInput(model, one, seed: UInt64(truncatingIfNeeded: seed))
      let checks = GenerationChecks(input)
      for step in GenerationStep.allCases {
        measured.append((one, step, checks))
        works.append(
          TimedWork("\(one) \(step.rawValue)", repeats: run.samples, budget: run.budget) { iterations in
            for _ in 0..<iterations { withExtendedLifetime(input.run(step)) {} }
          })
      }
    }
    run.measure(
      works, taken: Int(min(0x1p62, GenerationBenchmark.memoryEstimate(model.configuration, cases))),
      progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let rows = zip(measured, statistics).map { found, time in
      GenerationRow(
        found.one, found.step, model.configuration, time, found.checks, readBandwidth: run.machine.readBandwidth,
        gemmPeak: run.machine.gemmPeak)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  /// The bytes that measuring all of the cases takes, roughly and from above.
  public static func memoryEstimate(_ model: GPT2Configuration, _ cases: [GenerationCase]) -> Double {
    let caches = cases.map { model.cacheBytes(tokens: $0.batch * ($0.depth + 256)) * 1.25 }
    let rowBytes = 4 * Double(6 * model.width + 2 * model.feedForwardWidth)
    let reading = rowBytes * Double(cases.map { $0.batch * $0.depth }.max() ?? 0)
    let held: Double = caches.reduce(0, +) + 2 * (caches.max() ?? 0)
    return 2 * model.weightBytes + held + reading
  }
}

/// What is timed.
public enum GenerationStep: String, Sendable, CaseIterable {
  /// Prompts of as many tokens as the depth are read, and the next token of each is scored.
  case prefill
  /// One more token of each sequence is read over caches of the others, and the next is scored.
  case decode
}

/// Sequences of a case, with caches that hold all of their tokens but the last.
final class GenerationInput {
  private let model: GPT2
  let one: GenerationCase
  private let prompts: [[Int]]
  private var state: GPT2State

  init(_ model: GPT2, _ one: GenerationCase, seed: UInt64) {
    self.model = model
    self.one = one
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: one.description))
    prompts = (0..<one.batch).map { _ in
      (0..<one.depth).map { _ in Int.random(in: 0..<model.vocabularySize, using: &generator) }
    }
    state = model.makeState(sequenceCount: one.batch)
    if one.depth > 1 { _ = read(prompts.map { $0.dropLast() }, &state) }
  }

  private func read(_ tokens: [ArraySlice<Int>], _ state: inout GPT2State) -> Tensor {
    model.scores(
      after: tokens.flatMap { $0 }, layout: SequenceLayout(lengths: tokens.map(\.count)), state: &state)
  }

  /// The scores after the last token of each sequence, `[sequences, vocabulary]`.
  func run(_ step: GenerationStep) -> Tensor {
    switch step {
    case .prefill:
      var fresh = model.makeState(sequenceCount: one.batch)
      return read(prompts.map { $0[...] }, &fresh)
    case .decode:
      let scores = read(prompts.map { $0.suffix(1) }, &state)
      for sequence in 0..<one.batch { _ = state.truncate(sequence: sequence, toLength: one.depth - 1) }
      return scores
    }
  }
}

/// What is known of a case's results.
struct GenerationChecks: Sendable {
  /// The largest difference between scores with and without caches.
  let difference: Double
  /// The largest score.
  let size: Double
  /// Whether two runs of each step and one on a single thread gave the same bits.
  let isRepeatable: Bool

  init(_ input: GenerationInput) {
    let (prefill, decode) = (input.run(.prefill), input.run(.decode))
    let again = (input.run(.prefill), input.run(.decode))
    let threads = Engine.threadCount.count
    Engine.setThreadCount(1)
    let alone = (input.run(.prefill), input.run(.decode))
    Engine.setThreadCount(threads)
    isRepeatable = [(prefill, again.0), (prefill, alone.0), (decode, again.1), (decode, alone.1)]
      .allSatisfy { Verification.haveSameBits($0, $1) }
    var (difference, size) = (0.0, 0.0)
    for (one, other) in zip(prefill.scalars, decode.scalars) {
      let distance = Double(abs(one - other))
      difference = distance.isNaN ? .infinity : max(difference, distance)
      size = max(size, Double(abs(one)))
    }
    (self.difference, self.size) = (difference, size)
  }
}
