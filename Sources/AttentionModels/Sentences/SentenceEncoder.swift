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
  /// - Precondition: the model has a row for each of the tokenizer's ids, and the length lies between the tokens of the
  ///   tokenizer's template and the model's limit.
  public init(
    model: BERT, tokenizer: any Tokenizer, pooling: Pooling = .mean, normalizes: Bool = true,
    maximumLength: Int? = nil
  ) {
    let limit = model.configuration.maximumLength
    let maximumLength = maximumLength ?? limit
    precondition(
      tokenizer.idLimit <= model.configuration.vocabularySize,
      "SentenceEncoder: the tokenizer has ids up to \(tokenizer.idLimit - 1), the model \(model.configuration.vocabularySize)")
    let template = tokenizer.encode("").count
    precondition(
      maximumLength >= max(1, template) && maximumLength <= limit,
      "SentenceEncoder: \(maximumLength) tokens at the most, with \(template) of the template and \(limit) of the model")
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
    run(texts, options, progress, isCancelled: { false })!
  }

  /// The rows of texts, without blocking the task's thread.
  ///
  /// As the synchronous function otherwise, bit for bit.
  ///
  /// - Throws: `CancellationError` soon after the task was cancelled: when the batches under way are done.
  public func embed(
    _ texts: [String], options: EmbeddingOptions = .init(), progress: (@Sendable (EmbeddingProgress) -> Void)? = nil
  ) async throws -> Tensor {
    let isCancelled = Guarded(false)
    return try await withTaskCancellationHandler {
      let rows = await CallerThreads.shared.run {
        run(texts, options, progress, isCancelled: { isCancelled.withLock { $0 } })
      }
      guard let rows else { throw CancellationError() }
      return rows
    } onCancel: {
      isCancelled.withLock { $0 = true }
    }
  }

  /// The row of one text, `[width]`, without blocking the task's thread.
  public func embed(_ text: String) async throws -> Tensor {
    try await embed([text]).reshaped(to: [width])
  }

  /// nil if it was cancelled.
  private func run(
    _ texts: [String], _ options: EmbeddingOptions, _ progress: (@Sendable (EmbeddingProgress) -> Void)?,
    isCancelled: @Sendable () -> Bool
  ) -> Tensor? {
    var isWhole = true
    let result = Tensor(uninitialized: [texts.count, width]) { buffer in
      guard let base = buffer.baseAddress else { return }
      let state = Guarded(EmbeddingProgress(completed: 0, total: texts.count, tokens: 0))
      // A part at a time: what the tokens of all texts would take is bounded.
      var first = 0
      while first < texts.count, isWhole {
        let part = first..<SentenceEncoder.partEnd(texts, from: first)
        isWhole = embed(
          texts[part], options, into: Unchecked(base + part.lowerBound * width), isCancelled: isCancelled
        ) { completed, tokens in
          guard let progress else { return }
          state.withLock {
            $0 = EmbeddingProgress(
              completed: $0.completed + completed, total: $0.total, tokens: $0.tokens + tokens)
            progress($0)
          }
        }
        first = part.upperBound
      }
      if !isWhole { buffer.initialize(repeating: 0) }
    }
    return isWhole ? result : nil
  }

  /// Where a part ends: enough texts to sort and to keep all threads busy.
  private static func partEnd(_ texts: [String], from first: Int) -> Int {
    var (end, bytes) = (first, 0)
    while end < texts.count, end - first < 1 << 14, bytes < 1 << 22 {
      bytes += texts[end].utf8.count
      end += 1
    }
    return end
  }

  private func embed(
    _ texts: ArraySlice<String>, _ options: EmbeddingOptions, into target: Unchecked<UnsafeMutablePointer<Float>>,
    isCancelled: @Sendable () -> Bool, report: @Sendable (_ texts: Int, _ tokens: Int) -> Void
  ) -> Bool {
    guard !isCancelled() else { return false }
    let ids = self.ids(texts)
    let threads = WorkerPool.shared.threadCount.count
    let batches = TokenBatches(
      lengths: ids.map(\.count), budget: tokenBudget(options, threads: threads), wanted: threads
    ).batches
    @Sendable func embed(_ batch: Int) {
      guard !isCancelled() else { return }
      let members = batches[batch]
      let layout = SequenceLayout(lengths: members.map { ids[$0].count })
      let rows = pooled(model(members.flatMap { ids[$0] }, layout: layout), layout: layout)
      rows.withUnsafeBufferPointer { buffer in
        for (place, member) in members.enumerated() {
          (target.value + member * width).update(from: buffer.baseAddress! + place * width, count: width)
        }
      }
      report(members.count, layout.tokenCount)
    }
    if batches.count == 1 {
      // All threads share its products.
      embed(0)
    } else {
      // A thread computes a batch from beginning to end: its rows stay in its cache, and nobody waits for anybody.
      WorkerPool.shared.forEach(batches.count) { embed($0) }
    }
    return !isCancelled()
  }

  /// The tokens of texts, at most as many as the encoder takes.
  private func ids(_ texts: ArraySlice<String>) -> [[Int]] {
    tokenizer.encode(Array(texts), options: EncodingOptions(maximumLength: maximumLength)).map(\.ids)
  }

  private func pooled(_ hidden: Tensor, layout: SequenceLayout) -> Tensor {
    let rows = pooling(hidden, layout: layout)
    return normalizes ? rows.withUnitRows() : rows
  }

  private func tokenBudget(_ options: EmbeddingOptions, threads: Int) -> Int {
    let budget = options.tokenBudget ?? SentenceEncoder.defaultTokenBudget
    guard let memory = options.memoryBudget else { return budget }
    return max(1, min(budget, memory / (threads * model.bytesPerToken)))
  }

  /// Large enough that the weights are read for many rows, small enough that these stay in a cache.
  static let defaultTokenBudget = 512
}
