import Attention
import AttentionModels

/// All texts through a sentence encoder once, in one of the ways.
package struct EmbeddingPass: Sendable {
  package let encoder: SentenceEncoder
  package let texts: [String]
  package let mode: EmbeddingMode
  /// How many embed all texts: 1, or the tasks of ``EmbeddingMode/concurrent``.
  package let callers: Int

  /// - Parameter tasks: of ``EmbeddingMode/concurrent``.
  package init(_ encoder: SentenceEncoder, _ texts: [String], _ mode: EmbeddingMode, tasks: Int = 1) {
    self.encoder = encoder
    self.texts = texts
    self.mode = mode
    callers = mode == .concurrent ? tasks : 1
  }

  /// One pass over all texts, by each of the callers at once: their rows, one caller after another.
  ///
  /// - Parameter call: is told the seconds of each call.
  package func run(call: ((Double) -> Void)? = nil) -> Tensor {
    guard mode != .concurrent else { return runConcurrently(call: call) }
    var parts: [Tensor] = []
    for range in mode.calls(texts.count) {
      let seconds = Stopwatch.seconds { parts.append(encoder.embed(Array(texts[range]))) }
      call?(seconds)
    }
    return parts.count == 1 ? parts[0] : Tensor.concatenated(parts)
  }

  private func runConcurrently(call: ((Double) -> Void)?) -> Tensor {
    let calls = mode.calls(texts.count)
    let seconds = Guarded<[Double]>([])
    let found = try? waiting { [self] in
      try await withThrowingTaskGroup(of: (Int, Tensor).self) { group in
        for task in 0..<callers {
          group.addTask {
            var parts = [Tensor?](repeating: nil, count: calls.count)
            for step in calls.indices {
              let place = (step + task * calls.count / callers) % calls.count
              let start = ContinuousClock.now
              parts[place] = try await encoder.embed(Array(texts[calls[place]]))
              let time = start.duration(to: .now) / .seconds(1)
              seconds.withLock { $0.append(time) }
            }
            return (task, Tensor.concatenated(parts.compactMap(\.self)))
          }
        }
        return try await group.reduce(into: [Tensor?](repeating: nil, count: callers)) { $0[$1.0] = $1.1 }
      }
    }
    guard let rows = found else { preconditionFailure("EmbeddingPass: a task was cancelled") }
    if let call { seconds.withLock { $0 }.forEach(call) }
    return Tensor.concatenated(rows.compactMap(\.self))
  }
}
