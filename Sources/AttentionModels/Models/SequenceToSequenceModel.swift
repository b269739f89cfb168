import AttentionCore
import AttentionLayers
import AttentionTensors

/// A model that reads a source, and then a target token by token: the transformer's ``EncoderDecoder``, or the
/// ``RecurrentEncoderDecoder``.
public protocol SequenceToSequenceModel: SequenceDecoder, StoredModel, TokenScoring {
  /// The tokens of the source; those of the target are ``SequenceDecoder/vocabularySize``.
  var sourceVocabularySize: Int { get }

  /// A row for each token that the decoder reads, which has seen the source and the target up to it: `[target tokens, width]`.
  ///
  /// - Parameters:
  ///   - source: the tokens of all sources, end to end.
  ///   - sourceLayout: the sources.
  ///   - target: what the decoder reads, end to end: the begin token and the target, but for its last token.
  ///   - targetLayout: the targets, as many.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layouts have tokens, each below its vocabulary's size.
  func hidden(
    source: [Int], sourceLayout: SequenceLayout, target: [Int], targetLayout: SequenceLayout, dropout key: DropoutKey?
  ) -> Tensor

  /// What the decoder makes of sources, before the first token of their targets.
  ///
  /// - Precondition: there are as many ids as the layout has tokens, each below the source vocabulary's size.
  func makeState(source ids: [Int], layout: SequenceLayout) -> State
}

extension SequenceToSequenceModel {
  /// The mean cross-entropy of the targets' tokens and their end tokens: the decoder reads the begin token and the target.
  ///
  /// - Parameters:
  ///   - source: the tokens of each source.
  ///   - target: the tokens of each target, without begin and end.
  ///   - key: what decides what is dropped; nothing unless given.
  /// - Precondition: there are as many sources as targets, one at least; the model has a begin and an end token; every id is
  ///   below its vocabulary's size.
  public func loss(source: [[Int]], target: [[Int]], dropout key: DropoutKey? = nil) -> Tensor {
    guard let begin = beginID, let end = endIDs.first else {
      preconditionFailure("\(Self.self): without begin and end tokens, shift the target yourself")
    }
    let rows = hidden(
      source: source.flatMap { $0 }, sourceLayout: SequenceLayout(lengths: source.map(\.count)),
      target: target.flatMap { [begin] + $0 }, targetLayout: SequenceLayout(lengths: target.map { $0.count + 1 }),
      dropout: key)
    return AttentionTensors.crossEntropy(scores(rows), labels: target.flatMap { $0 + [end] })
  }

  /// Generates a target for each source, all at once. The model computes on threads of the engine's own; a task that is
  /// cancelled stops before the next token.
  ///
  /// - Parameters:
  ///   - sources: the tokens of each source.
  ///   - options: how tokens are chosen, and when generation ends; stop strings are no concern of tokens.
  /// - Returns: the tokens of each target, without begin and end.
  /// - Throws: ``GenerationError``, or `CancellationError` when the task is cancelled.
  public func generate(after sources: [[Int]], options: GenerationOptions = .init()) async throws -> [[Int]] {
    try options.check()
    for (index, source) in sources.enumerated() {
      if let id = source.first(where: { $0 < 0 || $0 >= sourceVocabularySize }) {
        throw GenerationError.unknownToken(index: index, id: id, vocabularySize: sourceVocabularySize)
      }
    }
    guard let begin = beginID else { throw GenerationError.emptyPrompt(index: 0) }
    let state = await CallerThreads.shared.run {
      makeState(source: sources.flatMap { $0 }, layout: SequenceLayout(lengths: sources.map(\.count)))
    }
    let generation = Guarded(
      try TokenGeneration(model: self, state: state, prompts: sources.map { _ in [begin] }, options: options))
    var targets = sources.map { _ in [Int]() }
    while !generation.withLock({ $0.isDone }) {
      try Task.checkCancellation()
      let events = await CallerThreads.shared.run {
        generation.withLock { generation in
          Result { () throws(GenerationError) in try generation.step() }
        }
      }
      for case (let index, .token(let id)) in try events.get() { targets[index].append(id) }
    }
    return targets
  }
}
