import AttentionCore
import AttentionTensors

/// One call of a ``SentenceEncoder``: texts to tokens, tokens to batches, batches to rows at their places. It may pause
/// between batches, and go on on another thread.
struct EmbeddingRun: Sendable {
  /// How a turn ends.
  enum Turn: Sendable {
    /// All texts are embedded.
    case result(EmbeddingResult)
    /// Others wanted the thread, and batches are left.
    case paused
    /// The call was cancelled.
    case cancelled
  }

  private let work: BatchWork
  private let options: EmbeddingOptions
  private let texts: [String]
  private var rows: Tensor
  private var counts: [Int] = []
  private var truncated: [Bool] = []
  /// The texts at hand: a part at a time, so that what the tokens of all texts would take is bounded.
  private var part = 0..<0
  /// Their tokens.
  private var encodings: [Encoding] = []
  /// Of the part, those that are not embedded.
  private var batches: [[Int]] = []

  init(
    _ encoder: SentenceEncoder, _ texts: [String], options: EmbeddingOptions,
    progress: (@Sendable (EmbeddingProgress) -> Void)?, isCancelled: @escaping @Sendable () -> Bool = { false }
  ) {
    work = BatchWork(
      encoder: encoder, progress: progress, isCancelled: isCancelled,
      state: Guarded(EmbeddingProgress(completed: 0, total: texts.count, tokens: 0)))
    self.options = options
    self.texts = texts
    rows = Tensor(uninitialized: [texts.count, encoder.width]) { _ in }
    counts.reserveCapacity(texts.count)
    truncated.reserveCapacity(texts.count)
  }

  /// Goes on until all is done, or the call is cancelled, or, after a batch at the least, until it should pause.
  mutating func turn(shouldPause: @Sendable () -> Bool = { false }) -> Turn {
    while true {
      guard !work.isCancelled() else { return .cancelled }
      if batches.isEmpty {
        guard part.upperBound < texts.count else {
          return .result(EmbeddingResult(rows: rows, tokenCounts: counts, isTruncated: truncated))
        }
        beginPart()
      }
      embedBatches(shouldPause)
      guard batches.isEmpty || work.isCancelled() else { return .paused }
    }
  }

  private mutating func beginPart() {
    let encoder = work.encoder
    part = part.upperBound..<EmbeddingRun.partEnd(texts, from: part.upperBound)
    encodings = encoder.tokenizer.encode(texts[part].map { encoder.prompt + $0 }, options: encoder.encodingOptions)
    counts += encodings.lazy.map(\.count)
    truncated += encodings.lazy.map(\.isTruncated)
    let threads = WorkerPool.shared.threadCount.count
    batches =
      TokenBatches(lengths: encodings.map(\.count), budget: tokenBudget(threads: threads), threads: threads).batches
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

  private mutating func embedBatches(_ shouldPause: @Sendable () -> Bool) {
    let (work, encodings, batches, first) = (work, encodings, batches, part.lowerBound)
    let left = Guarded<[Int]>([])
    rows.withUnsafeMutableBufferPointer { buffer in
      let target = Unchecked(buffer.baseAddress! + first * work.encoder.width)
      // A thread computes a batch from beginning to end: its rows stay in its cache, and nobody waits for anybody. The
      // products of a single batch are shared.
      if batches.count == 1 {
        work.embed(encodings, batches[0], into: target.value)
      } else {
        WorkerPool.shared.forEach(batches.count) { index in
          if index > 0, shouldPause() {
            left.withLock { $0.append(index) }
          } else {
            work.embed(encodings, batches[index], into: target.value)
          }
        }
      }
    }
    self.batches = left.withLock { $0.sorted() }.map { batches[$0] }
  }

  private func tokenBudget(threads: Int) -> Int {
    let budget = options.tokenBudget ?? EmbeddingRun.defaultTokenBudget
    guard let memory = options.memoryBudget else { return budget }
    return max(1, min(budget, memory / (threads * work.encoder.model.bytesPerToken)))
  }

  /// Large enough that the weights are read for many rows, small enough that these stay in a cache.
  static let defaultTokenBudget = 512
}

/// What is done with a batch, on any thread.
private struct BatchWork: Sendable {
  let encoder: SentenceEncoder
  let progress: (@Sendable (EmbeddingProgress) -> Void)?
  let isCancelled: @Sendable () -> Bool
  let state: Guarded<EmbeddingProgress>

  /// Puts the rows of some of the texts at their places.
  func embed(_ encodings: [Encoding], _ members: [Int], into target: UnsafeMutablePointer<Float>) {
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
}
