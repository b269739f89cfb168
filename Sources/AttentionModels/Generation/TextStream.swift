import AttentionTensors

/// A piece of the text that is generated after a prompt.
public struct TextPiece: Sendable, Equatable {
  /// The place of the prompt among the prompts.
  public let prompt: Int
  /// What is new: whole scalars, and none of a stop string; may be empty.
  public let text: String
  /// The tokens chosen since the last piece; their text may be held back.
  public let ids: [Int]
  /// Why the text has ended, in its last piece.
  public let end: GenerationEnd?
}

/// The texts after some prompts in pieces as they come: see ``TextGenerator``.
public struct TextStream<Model: LanguageModel, Text: Tokenizer>: AsyncSequence, Sendable {
  /// A piece.
  public typealias Element = TextPiece
  /// `GenerationError`, or `CancellationError`.
  public typealias Failure = any Error

  let generator: TextGenerator<Model, Text>
  let prompts: [String]
  let prefix: PromptPrefix<Model>?
  let options: GenerationOptions

  /// Begins anew.
  public func makeAsyncIterator() -> Iterator { Iterator(stream: self) }

  /// Generates as it is asked for pieces.
  public struct Iterator: AsyncIteratorProtocol {
    fileprivate let stream: TextStream
    /// nil before the first piece.
    private var session: Guarded<TextSession<Model, Text>>?
    private var pieces: ArraySlice<TextPiece> = []
    private var isDone = false

    fileprivate init(stream: TextStream) { self.stream = stream }

    /// The next piece; nil after the last.
    ///
    /// - Throws: ``GenerationError``, or `CancellationError` when the task is cancelled.
    public mutating func next() async throws -> TextPiece? {
      do {
        while pieces.isEmpty, !isDone {
          try Task.checkCancellation()
          let session: Guarded<TextSession<Model, Text>>
          if let known = self.session {
            session = known
          } else {
            // Prompts are cut into tokens there too: a long one takes a while.
            let stream = stream
            let begun = await CallerThreads.shared.runUnlessCancelled {
              Result { () throws(GenerationError) in try TextSession(stream) }
            }
            guard let begun else { throw CancellationError() }
            session = Guarded(try begun.get())
          }
          self.session = session
          let result = await CallerThreads.shared.runUnlessCancelled { session.withLock { $0.step() } }
          guard let result else { throw CancellationError() }
          (pieces, isDone) = try result.get()
        }
      } catch {
        (pieces, isDone, session) = ([], true, nil)
        throw error
      }
      return pieces.popFirst()
    }
  }
}

/// What an iteration over a ``TextStream`` has come to.
private struct TextSession<Model: LanguageModel, Text: Tokenizer>: Sendable {
  private var generation: TokenGeneration<Model>
  private var texts: [StreamedText<Text>]
  private var begun = false

  init(_ stream: TextStream<Model, Text>) throws(GenerationError) {
    try stream.options.check()
    var prompts: [[Int]] = []
    for (index, prompt) in stream.prompts.enumerated() {
      prompts.append(try stream.generator.ids(ofPrompt: prompt, index: index))
    }
    let model = stream.generator.model
    let state =
      stream.prefix?.state(for: prompts, model: model) ?? model.makeState(sequenceCount: prompts.count)
    generation = try TokenGeneration(model: model, state: state, prompts: prompts, options: stream.options)
    texts = prompts.map { _ in
      StreamedText(stream.generator.tokenizer, stopStrings: stream.options.stopStrings)
    }
  }

  /// The pieces of one step, and whether it was the last.
  mutating func step() -> Result<(pieces: ArraySlice<TextPiece>, isDone: Bool), GenerationError> {
    if !begun, generation.isDone {
      // No tokens were asked for.
      return .success(
        (texts.indices.map { TextPiece(prompt: $0, text: "", ids: [], end: .maximumNewTokens) }[...], true))
    }
    begun = true
    do throws(GenerationError) {
      var pieces: [TextPiece] = []
      for (prompt, event) in try generation.step() where !texts[prompt].isStopped {
        switch event {
        case .token(let id):
          let text = texts[prompt].append(id)
          let isStopped = texts[prompt].isStopped
          if isStopped { generation.end(prompt: prompt) }
          pieces.append(TextPiece(prompt: prompt, text: text, ids: [id], end: isStopped ? .stopString : nil))
        case .end(let end):
          let text = texts[prompt].finish()
          pieces.append(
            TextPiece(prompt: prompt, text: text, ids: [], end: texts[prompt].isStopped ? .stopString : end))
        }
      }
      return .success((pieces[...], generation.isDone))
    } catch {
      return .failure(error)
    }
  }
}
