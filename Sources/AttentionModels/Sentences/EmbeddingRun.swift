import AttentionCore
import AttentionTensors

/// One call of a ``SentenceEncoder``: texts to tokens, tokens to batches, batches to rows at their places.
struct EmbeddingRun: Sendable {
  let encoder: SentenceEncoder
  let options: EmbeddingOptions
  let progress: (@Sendable (EmbeddingProgress) -> Void)?
  let isCancelled: @Sendable () -> Bool

  /// nil if it was cancelled.
  func result(_ texts: [String]) -> EmbeddingResult? {
    var counts: [Int] = []
    var truncated: [Bool] = []
    counts.reserveCapacity(texts.count)
    truncated.reserveCapacity(texts.count)
    let state = Guarded(EmbeddingProgress(completed: 0, total: texts.count, tokens: 0))
    var isWhole = !isCancelled()
    let rows = Tensor(uninitialized: [texts.count, encoder.width]) { buffer in
      guard let base = buffer.baseAddress else { return }
      // A part at a time, so that what the tokens of all texts would take is bounded.
      var first = 0
      while first < texts.count, isWhole {
        let part = first..<EmbeddingRun.partEnd(texts, from: first)
        let encodings = encoder.tokenizer.encode(
          texts[part].map { encoder.prompt + $0 }, options: encoder.encodingOptions)
        counts += encodings.lazy.map(\.count)
        truncated += encodings.lazy.map(\.isTruncated)
        isWhole = embed(encodings, into: Unchecked(base + part.lowerBound * encoder.width), state)
        first = part.upperBound
      }
    }
    return isWhole ? EmbeddingResult(rows: rows, tokenCounts: counts, isTruncated: truncated) : nil
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
    _ encodings: [Encoding], into target: Unchecked<UnsafeMutablePointer<Float>>, _ state: Guarded<EmbeddingProgress>
  ) -> Bool {
    let threads = WorkerPool.shared.threadCount.count
    let batches = TokenBatches(
      lengths: encodings.map(\.count), budget: tokenBudget(threads: threads), threads: threads
    ).batches
    // A thread computes a batch from beginning to end: its rows stay in its cache, and nobody waits for anybody. The
    // products of a single batch are shared.
    if batches.count == 1 {
      embed(encodings, batches[0], into: target.value, state)
    } else {
      WorkerPool.shared.forEach(batches.count) { embed(encodings, batches[$0], into: target.value, state) }
    }
    return !isCancelled()
  }

  private func embed(
    _ encodings: [Encoding], _ members: [Int], into target: UnsafeMutablePointer<Float>,
    _ state: Guarded<EmbeddingProgress>
  ) {
    guard !isCancelled() else { return }
    let layout = SequenceLayout(lengths: members.map { encodings[$0].count })
    let hidden = encoder.model(
      members.flatMap { encodings[$0].ids }, segments: members.flatMap { encodings[$0].segments }, layout: layout)
    let (rows, width) = (encoder.pooled(hidden, layout: layout), encoder.width)
    rows.withUnsafeBufferPointer { buffer in
      for (place, member) in members.enumerated() {
        (target + member * width).update(from: buffer.baseAddress! + place * width, count: width)
      }
    }
    guard let progress else { return }
    state.withLock {
      $0 = EmbeddingProgress(
        completed: $0.completed + members.count, total: $0.total, tokens: $0.tokens + layout.tokenCount)
      progress($0)
    }
  }

  private func tokenBudget(threads: Int) -> Int {
    let budget = options.tokenBudget ?? EmbeddingRun.defaultTokenBudget
    guard let memory = options.memoryBudget else { return budget }
    return max(1, min(budget, memory / (threads * encoder.model.bytesPerToken)))
  }

  /// Large enough that the weights are read for many rows, small enough that these stay in a cache.
  static let defaultTokenBudget = 512
}
