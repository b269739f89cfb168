import ArgumentParser
import Attention
import AttentionBenchmarks
import AttentionModels
import AttentionTraining
import Foundation

extension TrainCommand {
  func run() throws {
    let known = Engine.warnings
    known.forEach(Terminal.warn)
    #if DEBUG
      Terminal.warn("this is a debug build, some ten times slower: build with -c release")
    #endif
    StopSignal.listen()
    switch kind {
    case .gpt, .lstm, .gru, .rnn: try trainLanguageModel()
    case .bert: try trainBERT()
    case .seq2seq: try trainPairs()
    case .skipgram: try trainWordVectors()
    }
  }

  /// Does the steps of a run, and tells how it goes.
  ///
  /// - Parameters:
  ///   - settings: what must be the same when the run is taken up again, beside the plan.
  ///   - prepare: writes what belongs to the model beside its weights, before the first step.
  func train<Objective: TrainingObjective, Data: TrainingData>(
    _ model: Objective.Model, _ objective: Objective, _ data: Data, _ heldOut: HeldOutData<Objective.Batch>,
    plan: TrainingPlan, settings: [String: String], prepare: (ModelFolder) throws -> Void
  ) throws where Objective.Model: StoredModel, Data.Batch == Objective.Batch {
    var all = plan.settings.merging(settings) { $1 }
    all["kind"] = kind.rawValue
    all["seed"] = "\(seed)"
    all["accumulate"] = "\(choice.accumulate)"
    all["clip"] = "\(choice.clip)"
    all["evaluate-every"] = "\(plan.evaluationInterval)"
    let folder = ModelFolder(path: output)
    let run = try TrainingRun(folder: folder, settings: all)
    var trainer = Trainer(
      model: model, objective: objective, data: data, heldOut: heldOut,
      optimizer: AdamW(beta2: 0.99, groups: .matrices(weightDecay: Float(plan.weightDecay))),
      options: TrainingOptions(
        steps: plan.steps, schedule: plan.learningRates, accumulation: choice.accumulate,
        clippingNorm: Float(choice.clip) > 0 ? Float(choice.clip) : nil, seed: UInt64(seed),
        evaluationInterval: plan.evaluationInterval,
        checkpointInterval: choice.checkpointEvery ?? plan.evaluationInterval))
    if run.holdsCheckpoint {
      guard resume else { throw TrainingError.folderHoldsRun(output) }
      try run.restore(&trainer)
    } else {
      try prepare(folder)
    }
    let reporter = TrainingReporter(format: format, steps: plan.steps)
    reporter.write(
      """
      \(kind.rawValue): \(model.parameterCount.formatted()) parameters, width \(plan.width), \(plan.blocks) \
      \(kind.isRecurrent ? "layers" : "blocks"), \(Engine.threadCount.count) threads
      """ + (trainer.step > 0 ? "; goes on after step \(trainer.step)" : ""))
    let started = ContinuousClock.now
    let end = try trainer.run(in: run) {
      reporter.tell($0)
    } shouldStop: {
      StopSignal.isAsked
    }
    reporter.clear()
    let seconds = started.duration(to: .now) / .seconds(1)
    switch end {
    case .finished:
      var text = "\(plan.steps) steps in \(TrainingReporter.spoken(seconds))"
      if let best = trainer.best { text += "; the best model is that of step \(best.step)" }
      reporter.write("\(text): \(output)")
    case .stopped(let step):
      Terminal.writeError("attention: stopped after step \(step)\(step > 0 ? "; --resume goes on from there" : "")\n")
      throw ExitCode(130)
    }
  }

  // MARK: Language models

  private func trainLanguageModel() throws {
    let plan = plan
    let (training, heldOut) = try splitText()
    let endOfText = "<|endoftext|>"
    let tokenizer = BytePairTrainer(vocabularySize: plan.vocabulary, specialTokens: [endOfText])
      .train(on: training.texts)
    guard let mark = tokenizer.id(of: endOfText) else { preconditionFailure("a special token has an id") }
    // Blocks end where a share of the text does, which no model can know.
    let endID = documents == .blocks ? nil : mark
    let tokens = TokenDocuments(training, tokenizer: tokenizer, beginID: mark, endID: endID)
    let measured = TokenDocuments(heldOut, tokenizer: tokenizer, beginID: mark, endID: endID)
    let batches = try NextTokenData(tokens, length: plan.length, batchTokens: plan.batchTokens, seed: UInt64(seed))
    let held = try measured.heldOutData(length: plan.length, batchTokens: plan.batchTokens)
    note(
      """
      \(data): \(training.byteCount.formatted()) bytes to train on in \(tokens.tokenCount.formatted()) tokens of \
      \(tokenizer.idLimit.formatted()), \(heldOut.byteCount.formatted()) held out
      """)
    let settings = ["documents": documents.rawValue, "text": tokens.digest, "held-out": measured.digest]
    func train(_ model: some CausalLanguageModel) throws {
      try self.train(
        model, NextTokens(smoothing: Float(plan.labelSmoothing)), batches, held, plan: plan, settings: settings
      ) { folder in
        try tokenizer.save(to: folder.path(of: "tokenizer.json"))
      }
    }
    var generator = SeededGenerator(seed: UInt64(seed))
    func recurrent(_ cell: RecurrentLanguageModelConfiguration.Cell) throws {
      try train(
        RecurrentLanguageModel(
          RecurrentLanguageModelConfiguration(
            vocabularySize: tokenizer.idLimit, cell: cell, width: plan.width, layerCount: plan.blocks,
            dropout: Float(plan.dropout), beginID: mark, endIDs: [mark]),
          using: &generator))
    }
    switch kind {
    case .lstm: try recurrent(.lstm)
    case .gru: try recurrent(.gru)
    case .rnn: try recurrent(.rnn(.tanh))
    default:
      try train(
        GPT2(
          GPT2Configuration(
            vocabularySize: tokenizer.idLimit, width: plan.width, blockCount: plan.blocks, heads: plan.heads,
            maximumLength: plan.length, dropout: Float(plan.dropout), beginID: mark, endIDs: [mark]),
          using: &generator))
    }
  }

  /// The text to train on, and the part that is held out.
  func splitText() throws(TextDataError) -> (training: TextDocuments, heldOut: TextDocuments) {
    let text = try TextDocuments(contentsOf: data, cut: documents.cut)
    return try text.split(text.count >= 20 ? .every(20) : .tail(share: 0.1))
  }

  /// A line for a person.
  func note(_ text: String) {
    guard format == .text else { return }
    _ = try? Terminal.writeStream(Array((text + "\n").utf8))
  }
}

/// Where a text is cut.
enum DocumentCut: String, ExpressibleByArgument, CaseIterable {
  case blocks, paragraphs, lines, whole

  var cut: TextCut {
    switch self {
    case .blocks: .blocks(count: 100)
    case .paragraphs: .paragraphs
    case .lines: .lines
    case .whole: .whole
    }
  }
}
