import AttentionCore
import AttentionTensors

/// Texts to vectors: a tokenizer, an encoder, and one row out of the rows of a text's tokens (Reimers and Gurevych,
/// 1908.10084).
///
///     let encoder = try SentenceEncoder(ModelFolder(path: "all-MiniLM-L6-v2"))
///     let rows = encoder.embed(["A cat sat on the mat.", "Attention is all you need."])   // [2, 384]
///     let cosine = rows.row(0).dot(rows.row(1))
///
/// Texts come in any number and length. They are cut into ragged batches without padding, longest first, and their rows
/// come back in the order of the texts. A text's row does not depend on the others: bit for bit on cores with AVX-512, and
/// within float32's rounding elsewhere. A value: many tasks embed with one encoder at once and share the engine's threads.
public struct SentenceEncoder: Sendable {
  /// What makes rows of tokens.
  public let model: BERT
  /// What makes tokens of text.
  public let tokenizer: any Tokenizer
  /// What makes one row of a text's rows.
  public let pooling: Pooling
  /// Whether rows have length 1.
  public let normalizes: Bool
  /// Tokens of a text at the most, those of the template among them; the rest of a longer text is left out.
  public let maximumLength: Int
  /// What is put before each text, such as "query: "; empty for most models.
  public var prompt = ""
  /// Whether a special token that is spelt out in a text, such as "[SEP]", becomes that token, as in Hugging Face's
  /// tokenizers. Turn it off for text of strangers.
  public var recognizesSpecialTokens = true

  /// The length of a row.
  public var width: Int { model.configuration.width }

  /// Creates an encoder from its parts.
  ///
  /// - Parameters:
  ///   - model: what makes rows of tokens.
  ///   - tokenizer: what makes tokens of text; its ids are the model's.
  ///   - pooling: what makes one row of a text's rows.
  ///   - normalizes: whether rows have length 1.
  ///   - maximumLength: tokens of a text at the most; the model's limit unless given.
  /// - Precondition: the model has a row for each of the tokenizer's ids and segments, and the length lies between the tokens of the
  ///   tokenizer's template and the model's limit.
  public init(
    model: BERT, tokenizer: any Tokenizer, pooling: Pooling = .mean, normalizes: Bool = true,
    maximumLength: Int? = nil
  ) {
    let limit = model.configuration.maximumLength
    let maximumLength = maximumLength ?? limit
    precondition(
      tokenizer.idLimit <= model.configuration.vocabularySize,
      "SentenceEncoder: the tokenizer has ids up to \(tokenizer.idLimit - 1), the model \(model.configuration.vocabularySize)"
    )
    let template = tokenizer.encode("").count
    let segments = tokenizer.segmentLimit
    precondition(
      segments <= model.configuration.segmentCount,
      "SentenceEncoder: the tokenizer has segment \(segments - 1), the model \(model.configuration.segmentCount)")
    precondition(
      maximumLength >= max(1, template) && maximumLength <= limit,
      "SentenceEncoder: \(maximumLength) tokens at the most, with \(template) of the template and \(limit) of the model"
    )
    self.model = model
    self.tokenizer = tokenizer
    self.pooling = pooling
    self.normalizes = normalizes
    self.maximumLength = maximumLength
  }

  // MARK: Embedding

  /// The row of one text, `[width]`.
  public func embed(_ text: String) -> Tensor { embed([text]).reshaped(to: [width]) }

  /// The rows of texts, `[texts, width]`, in their order.
  ///
  /// O(tokens · width²) for each block, and for attention as `scaledDotProductAttention`.
  ///
  /// - Parameters:
  ///   - texts: any number; an empty one is its template's tokens.
  ///   - options: how much is done at once.
  ///   - progress: called now and then, from any thread, never from two at once.
  public func embed(
    _ texts: [String], options: EmbeddingOptions = .init(), progress: (@Sendable (EmbeddingProgress) -> Void)? = nil
  ) -> Tensor {
    result(for: texts, options: options, progress: progress).rows
  }

  /// The rows of texts, and how many tokens each had.
  ///
  /// - Parameters: as of ``embed(_:options:progress:)-(_,_,_)``.
  public func result(
    for texts: [String], options: EmbeddingOptions = .init(),
    progress: (@Sendable (EmbeddingProgress) -> Void)? = nil
  ) -> EmbeddingResult {
    var run = EmbeddingRun(self, texts, options: options, progress: progress)
    guard case .result(let result) = run.turn() else { preconditionFailure("SentenceEncoder: a call without a result") }
    return result
  }

  /// The row of one text, `[width]`, without blocking the task's thread.
  ///
  /// - Throws: `CancellationError` when the task was cancelled.
  public func embed(_ text: String) async throws -> Tensor {
    try await embed([text]).reshaped(to: [width])
  }

  /// The rows of texts, without blocking the task's thread: as the synchronous function otherwise, bit for bit.
  ///
  /// - Throws: `CancellationError` soon after the task was cancelled: when the batches under way are done.
  public func embed(
    _ texts: [String], options: EmbeddingOptions = .init(), progress: (@Sendable (EmbeddingProgress) -> Void)? = nil
  ) async throws -> Tensor {
    try await result(for: texts, options: options, progress: progress).rows
  }

  /// The rows of texts, and how many tokens each had, without blocking the task's thread.
  ///
  /// Calls of many tasks take turns, so that few texts need not wait for the end of many.
  ///
  /// - Throws: `CancellationError` soon after the task was cancelled: at once while the call waits for its turn, or when
  ///   the batches under way are done.
  public func result(
    for texts: [String], options: EmbeddingOptions = .init(),
    progress: (@Sendable (EmbeddingProgress) -> Void)? = nil
  ) async throws -> EmbeddingResult {
    let isCancelled = Guarded(Task.isCancelled)
    return try await withTaskCancellationHandler {
      let run = Guarded(
        EmbeddingRun(
          self, texts, options: options, progress: progress, isCancelled: { isCancelled.withLock { $0 } }))
      let threads = CallerThreads.shared
      while true {
        let turn = await threads.runUnlessCancelled {
          run.withLock { $0.turn(shouldPause: { threads.waitingCallCount > 0 }) }
        }
        switch turn {
        case .result(let result): return result
        case .paused: continue
        case .cancelled, nil: throw CancellationError()
        }
      }
    } onCancel: {
      isCancelled.withLock { $0 = true }
    }
  }

  // MARK: Inside

  /// What one text looked like on its way.
  public struct Inspection: Sendable {
    /// The tokens, with their places in the text.
    public let encoding: Encoding
    /// As the tokenizer's vocabulary spells them.
    public let tokens: [String]
    /// Rows `[tokens, width]` by number: 0 are the embeddings, n the output of block n.
    public let hiddenStates: [Int: Tensor]
    /// Weights `[heads, tokens, tokens]` by block, from 0.
    public let attentionWeights: [Int: Tensor]
    /// The text's row, `[width]`.
    public let row: Tensor
  }

  /// Embeds a text and keeps the rows and the weights of attention of some blocks.
  ///
  /// - Parameters:
  ///   - text: cut to the encoder's longest.
  ///   - hiddenStates: which rows to keep: 0 for the embeddings, n for the output of block n.
  ///   - attentionWeights: the blocks whose weights to keep, from 0.
  /// - Precondition: the model has such blocks.
  public func inspect(
    _ text: String, hiddenStates: Set<Int> = [], attentionWeights: Set<Int> = []
  ) -> Inspection {
    let encoding = tokenizer.encode(prompt + text, options: encodingOptions)
    let layout = SequenceLayout(lengths: [encoding.count])
    let found = model.inspect(
      encoding.ids, segments: encoding.segments, layout: layout, hiddenStates: hiddenStates,
      attentionWeights: attentionWeights)
    return Inspection(
      encoding: encoding, tokens: tokenizer.tokens(encoding), hiddenStates: found.hiddenStates,
      attentionWeights: found.attentionWeights.mapValues { $0[0] },
      row: pooled(found.output, layout: layout).reshaped(to: [width]))
  }

  var encodingOptions: EncodingOptions {
    EncodingOptions(maximumLength: maximumLength, recognizesSpecialTokens: recognizesSpecialTokens)
  }

  /// One row for each sequence.
  func pooled(_ hidden: Tensor, layout: SequenceLayout) -> Tensor {
    let rows = pooling(hidden, layout: layout)
    return normalizes ? rows.withUnitRows() : rows
  }
}

extension Tokenizer {
  /// One more than the largest segment of a single text's tokens.
  var segmentLimit: Int { (encode("a").segments.max() ?? 0) + 1 }
}
