import AttentionTensors

/// The tensors that one call fills, taken as raw memory while it runs.
struct AttentionOutputs {
  var output: Tensor
  var logSumExp: Tensor?
  var weights: Tensor?
  var scores: [(stage: AttentionScoreStage, tensor: Tensor)] = []
  /// What the way back starts from, if there will be one.
  var statistics: AttentionStatistics?

  init(
    shape: AttentionShape, outputShape: [Int], logSumExpShape: [Int], extras: AttentionExtras,
    keepingStatistics: Bool = false
  ) {
    output = Tensor(uninitialized: outputShape) { _ in }
    if keepingStatistics { statistics = AttentionStatistics(shape: logSumExpShape) }
    if extras.contains(.logSumExp) { logSumExp = Tensor(uninitialized: logSumExpShape) { _ in } }
    var cells = 0
    for (queries, keys) in zip(shape.queryLengths, shape.keyLengths) {
      cells += Tensor.scalarCount(of: [shape.heads, queries, keys])
    }
    if extras.contains(.weights) { weights = Tensor(uninitialized: [cells]) { _ in } }
    for (extra, stage) in [
      (AttentionExtras.rawScores, AttentionScoreStage.raw), (.cappedScores, .capped), (.biasedScores, .biased),
    ] where extras.contains(extra) {
      scores.append((stage, Tensor(uninitialized: [cells]) { _ in }))
    }
  }

  /// Calls `body` with the first scalar of each tensor: output, log-sum-exp, weights, scores.
  mutating func withPointers(
    _ body: (
      UnsafeMutablePointer<Float>, UnsafeMutablePointer<Float>?, UnsafeMutablePointer<Float>?,
      [(AttentionScoreStage, UnsafeMutablePointer<Float>)]
    ) -> Void
  ) {
    // Each tensor was made in `init` and is shared with nobody, so that its memory stays where it is.
    let scorePointers = scores.indices.map { index in
      (scores[index].stage, scores[index].tensor.withUnsafeMutableBufferPointer { $0.baseAddress! })
    }
    body(
      output.withUnsafeMutableBufferPointer { $0.baseAddress! },
      logSumExp?.withUnsafeMutableBufferPointer { $0.baseAddress! },
      weights?.withUnsafeMutableBufferPointer { $0.baseAddress! },
      scorePointers)
    withExtendedLifetime(self) {}
  }
}

/// A reference near each row's largest score, and the sum of e^(score − reference) over its keys: the log-sum-exp in two
/// parts, since one float32 of it has lost what large scores differ by. (−∞, 0) of a row that sees nothing.
struct AttentionStatistics: Sendable {
  let references: Tensor
  let sums: Tensor

  init(shape: [Int]) {
    references = Tensor(uninitialized: shape) { _ in }
    sums = Tensor(uninitialized: shape) { _ in }
  }

  /// For the call that fills them: nobody else has them yet.
  func outputs(
    _ strides: AttentionProblem.Strides
  ) -> (reference: AttentionProblem.Output, sum: AttentionProblem.Output) {
    (
      .init(base: UnsafeMutablePointer(mutating: references.unsafeBase), strides: strides),
      .init(base: UnsafeMutablePointer(mutating: sums.unsafeBase), strides: strides)
    )
  }
}
