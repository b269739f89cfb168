import AttentionCore
import AttentionTensors

/// What was generated after a prompt.
public struct GeneratedText: Sendable, Equatable {
  /// The text, without the prompt.
  public internal(set) var text: String
  /// The tokens, without end tokens; where a stop string ended the text, those of it too.
  public internal(set) var ids: [Int]
  /// Why it ended.
  public internal(set) var end: GenerationEnd
}

/// A language model with its tokenizer: text in, text out.
///
///     let folder = ModelFolder(path: "gpt2")
///     let generator = TextGenerator(model: try GPT2(folder), tokenizer: try SubwordTokenizer(contentsOf: "gpt2/tokenizer.json"))
///     for try await piece in generator.stream("The old mill", options: .init(temperature: 0.8, topP: 0.95)) {
///       print(piece, terminator: "")
///     }
///
/// A prompt is read by the fused path of attention, and each token then over caches. The model computes on threads of the
/// engine's own, so that no thread of Swift concurrency is blocked; a task that is cancelled stops before the next token.
/// A value: many tasks may generate with one at once.
public struct TextGenerator<Model: LanguageModel, Text: Tokenizer>: Sendable {
  /// What scores tokens.
  public let model: Model
  /// What makes tokens of text, and text of tokens.
  public let tokenizer: Text
  /// Whether a special token that is spelt out in a prompt, such as "<|endoftext|>", becomes that token, as in Hugging
  /// Face's tokenizers. Turn it off for text of strangers.
  public var recognizesSpecialTokens = true

  /// Creates a generator of a model and the tokenizer that belongs to it.
  public init(model: Model, tokenizer: Text) {
    self.model = model
    self.tokenizer = tokenizer
  }

  /// The tokens of a prompt, with those of the tokenizer's template; the model's first token where there would be none.
  ///
  /// - Parameters:
  ///   - prompt: the text to go on from.
  ///   - index: which prompt errors name.
  /// - Throws: ``GenerationError`` when there are none, too many, or such as the model does not know.
  public func ids(ofPrompt prompt: String, index: Int = 0) throws(GenerationError) -> [Int] {
    // One token too many tells that there are too many; what is behind it is not looked at. A template alone may have more.
    let template = tokenizer.encode("", options: EncodingOptions()).count
    let limit = model.maximumLength.map { max($0 + 1, template) }
    let options = EncodingOptions(maximumLength: limit, recognizesSpecialTokens: recognizesSpecialTokens)
    var ids = tokenizer.encode(prompt, options: options).ids
    if ids.isEmpty { ids = model.beginID.map { [$0] } ?? [] }
    guard !ids.isEmpty else { throw .emptyPrompt(index: index) }
    if let limit = model.maximumLength, ids.count > limit { throw .promptTooLong(index: index, limit: limit) }
    if let id = ids.first(where: { $0 < 0 || $0 >= model.vocabularySize }) {
      throw .unknownToken(index: index, id: id, vocabularySize: model.vocabularySize)
    }
    return ids
  }

  /// Generates after a prompt.
  ///
  /// - Parameters:
  ///   - prompt: the text to go on from.
  ///   - prefix: what the model has read of the prompt's beginning already; only time depends on it.
  ///   - options: how tokens are chosen, and when generation ends.
  /// - Throws: ``GenerationError``, or `CancellationError` when the task is cancelled.
  public func generate(
    _ prompt: String, prefix: PromptPrefix<Model>? = nil, options: GenerationOptions = .init()
  ) async throws -> GeneratedText {
    try await generate([prompt], prefix: prefix, options: options)[0]
  }

  /// Generates after several prompts at once, as one ragged batch from which those that have ended drop out. Each result is
  /// that of its prompt alone (bit for bit on cores with AVX-512).
  ///
  /// - Parameters:
  ///   - prompts: the texts to go on from.
  ///   - prefix: what the model has read of a common beginning already; only time depends on it.
  ///   - options: how tokens are chosen, and when generation ends.
  /// - Throws: ``GenerationError``, or `CancellationError` when the task is cancelled.
  public func generate(
    _ prompts: [String], prefix: PromptPrefix<Model>? = nil, options: GenerationOptions = .init()
  ) async throws -> [GeneratedText] {
    var results = prompts.map { _ in GeneratedText(text: "", ids: [], end: .maximumNewTokens) }
    for try await piece in stream(prompts, prefix: prefix, options: options) {
      results[piece.prompt].text += piece.text
      results[piece.prompt].ids += piece.ids
      if let end = piece.end { results[piece.prompt].end = end }
    }
    return results
  }

  /// The text after a prompt in pieces as it comes, each of whole characters' scalars.
  ///
  /// The model computes while the sequence is asked for its next piece, and not ahead. Every iteration generates anew.
  /// Errors are those of `generate`.
  public func stream(
    _ prompt: String, prefix: PromptPrefix<Model>? = nil, options: GenerationOptions = .init()
  ) -> some AsyncSequence<String, any Error> & Sendable {
    stream([prompt], prefix: prefix, options: options).filter { !$0.text.isEmpty }.map(\.text)
  }

  /// The texts after several prompts in pieces as they come.
  ///
  /// The last piece of each prompt has its ``TextPiece/end``. Errors are those of `generate`.
  public func stream(
    _ prompts: [String], prefix: PromptPrefix<Model>? = nil, options: GenerationOptions = .init()
  ) -> TextStream<Model, Text> {
    TextStream(generator: self, prompts: prompts, prefix: prefix, options: options)
  }

  /// Reads the beginning that prompts have in common, for `generate` and `stream` to go on from. O(the prefix).
  ///
  /// - Throws: ``GenerationError`` when it has no tokens, too many, or such as the model does not know.
  public func prefix(_ text: String) async throws(GenerationError) -> PromptPrefix<Model> {
    let ids = try ids(ofPrompt: text)
    let model = model
    let state = await CallerThreads.shared.run {
      var state = model.makeState(sequenceCount: 1)
      let step = TokenGeneration<Model>.maximumStepTokens
      for start in stride(from: 0, to: ids.count, by: step) {
        let part = ids[start..<min(ids.count, start + step)]
        _ = model.scores(after: Array(part), layout: SequenceLayout(lengths: [part.count]), state: &state)
      }
      return state
    }
    return PromptPrefix(ids: ids, state: state)
  }
}

/// A beginning of prompts that a model has read: an instruction, say, or examples.
///
/// Prompts that begin with the same tokens go on from it, as far as they agree with it, and share its memory. Copies are
/// cheap, and many tasks may use one at once.
public struct PromptPrefix<Model: LanguageModel>: Sendable {
  /// The tokens.
  public let ids: [Int]
  package let state: Model.State

  /// The state of prompts that have read what they have in common with the prefix, but for their last token.
  package func state(for prompts: [[Int]], model: Model) -> Model.State {
    var state = state
    state.select(sequences: prompts.map { _ in 0 })
    for (index, prompt) in prompts.enumerated() {
      let common = zip(ids, prompt.dropLast()).prefix { $0 == $1 }.count
      guard common < ids.count else { continue }
      // A state that cannot forget is of no use to this one, and so to none of the batch.
      guard state.truncate(sequence: index, toLength: common) else {
        return model.makeState(sequenceCount: prompts.count)
      }
    }
    return state
  }
}
