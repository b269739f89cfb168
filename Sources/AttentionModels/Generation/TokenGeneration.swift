import AttentionCore
import AttentionTensors

/// Tokens for several prompts at once, step by step.
///
///     var generation = try TokenGeneration(model: model, prompts: [[464, 3290]], options: options)
///     while !generation.isDone {
///       for event in try generation.step() { … }
///     }
///
/// A step reads what the model has not read of each sequence, all of them as one ragged batch: at first prompts, in pieces
/// of ``maximumStepTokens`` tokens together, then the last token of each. Those that have ended take no part. A sequence's
/// tokens do not depend on the others (bit for bit on cores with AVX-512).
public struct TokenGeneration<Model: SequenceDecoder>: Sendable {
  /// What happened to a sequence.
  public enum Event: Sendable, Equatable {
    /// A token was chosen.
    case token(Int)
    /// The sequence has ended.
    case end(GenerationEnd)
  }

  /// The tokens that a step reads at the most: what bounds its memory.
  public static var maximumStepTokens: Int { 2048 }

  private let model: Model
  private let options: GenerationOptions
  private let endIDs: Set<Int>
  private var state: Model.State
  /// Those that have not ended, in the order of the state.
  private var running: [Running] = []

  private struct Running: Sendable {
    /// Its place among the prompts.
    let index: Int
    /// What the model has not read.
    var unread: ArraySlice<Int>
    /// The prompt's tokens and the chosen ones.
    var length: Int
    var chosen = 0
    var sampler: TokenSampler
  }

  /// Begins with prompts.
  ///
  /// - Parameters:
  ///   - model: what scores tokens.
  ///   - state: what the model has read of each sequence already: the first tokens of each prompt, unless the model's state
  ///     begins with something else, as a source.
  ///   - prompts: the tokens of each sequence, those in the state among them.
  ///   - options: how tokens are chosen; stop strings are no concern of tokens.
  /// - Throws: ``GenerationError`` when an option or a prompt is not what it should be.
  /// - Precondition: the state has a sequence for each prompt, and has read less than the whole of it.
  public init(
    model: Model, state: Model.State, prompts: [[Int]], options: GenerationOptions
  ) throws(GenerationError) {
    try options.check()
    for (index, prompt) in prompts.enumerated() {
      guard !prompt.isEmpty else { throw .emptyPrompt(index: index) }
      if let limit = model.maximumLength, prompt.count > limit {
        throw .promptTooLong(index: index, limit: limit)
      }
      if let id = prompt.first(where: { $0 < 0 || $0 >= model.vocabularySize }) {
        throw .unknownToken(index: index, id: id, vocabularySize: model.vocabularySize)
      }
    }
    let read = state.lengths
    require(
      read.count == prompts.count && zip(read, prompts).allSatisfy { $0 < $1.count },
      "TokenGeneration: a state that has read \(read) for prompts of \(prompts.map(\.count)) tokens")
    self.model = model
    self.state = state
    self.options = options
    endIDs = Set(options.endIDs ?? model.endIDs)
    guard options.maximumNewTokens > 0 else { return }
    running = prompts.enumerated().map { index, prompt in
      Running(
        index: index, unread: prompt[read[index]...], length: prompt.count,
        sampler: TokenSampler(options, prompt: prompt))
    }
  }

  /// Begins with prompts of which nothing was read.
  ///
  /// - Throws: ``GenerationError`` when an option or a prompt is not what it should be.
  public init(model: Model, prompts: [[Int]], options: GenerationOptions) throws(GenerationError)
  where Model: LanguageModel {
    try self.init(
      model: model, state: model.makeState(sequenceCount: prompts.count), prompts: prompts, options: options)
  }

  /// Whether all sequences have ended.
  public var isDone: Bool { running.isEmpty }

  /// Reads once, and chooses a token for each sequence that is read to its end.
  ///
  /// - Returns: what happened, by the places of the prompts: tokens, and for a sequence that has ended its end after them.
  /// - Throws: ``GenerationError/scoresNotFinite(index:)``.
  public mutating func step() throws(GenerationError) -> [(prompt: Int, event: Event)] {
    guard !running.isEmpty else { return [] }
    var room = Self.maximumStepTokens
    var (ids, lengths): ([Int], [Int]) = ([], [])
    for index in running.indices {
      let part = running[index].unread.prefix(room)
      ids += part
      lengths.append(part.count)
      room -= part.count
      running[index].unread.removeFirst(part.count)
    }
    let scores = model.scores(after: ids, layout: SequenceLayout(lengths: lengths), state: &state)
    require(
      scores.shape == [lengths.filter { $0 > 0 }.count, model.vocabularySize],
      "TokenGeneration: scores \(scores.shape) for lengths \(lengths) and \(model.vocabularySize) tokens")
    var events: [(prompt: Int, event: Event)] = []
    var ended: Set<Int> = []
    var row = 0
    for (index, length) in lengths.enumerated() where length > 0 {
      defer { row += 1 }
      guard running[index].unread.isEmpty else { continue }
      let token = scores.withUnsafeBufferPointer { buffer in
        running[index].sampler.next(
          UnsafeBufferPointer(rebasing: buffer[row * model.vocabularySize..<(row + 1) * model.vocabularySize]))
      }
      let prompt = running[index].index
      guard let token else { throw .scoresNotFinite(index: prompt) }
      let end = take(token, at: index)
      if end != .endToken { events.append((prompt, .token(token))) }
      if let end {
        events.append((prompt, .end(end)))
        ended.insert(prompt)
      }
    }
    remove(ended)
    return events
  }

  /// Notes a token. Returns why the sequence ends with it, if it does.
  private mutating func take(_ token: Int, at index: Int) -> GenerationEnd? {
    if endIDs.contains(token) { return .endToken }
    running[index].chosen += 1
    running[index].length += 1
    running[index].unread = [token]
    if running[index].chosen == options.maximumNewTokens { return .maximumNewTokens }
    if let limit = model.maximumLength, running[index].length > limit { return .maximumLength }
    return nil
  }

  /// Ends a sequence: no more tokens are chosen for it.
  public mutating func end(prompt: Int) { remove([prompt]) }

  private mutating func remove(_ prompts: Set<Int>) {
    let kept = running.indices.filter { !prompts.contains(running[$0].index) }
    guard kept.count < running.count else { return }
    running = kept.map { running[$0] }
    state.select(sequences: kept)
  }
}
