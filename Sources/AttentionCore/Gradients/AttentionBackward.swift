import AttentionTensors

/// What a call of attention keeps for the way back: its inputs and output, and two numbers of each row; no score.
struct AttentionBackward: Sendable {
  /// A tensor, and where sequences and heads lie in it.
  typealias Placed = (tensor: Tensor, strides: AttentionProblem.Strides)

  let shape: AttentionShape
  let options: AttentionOptions
  let isRagged: Bool
  /// Without a tracked tensor, as everything here.
  let mask: AttentionMask
  let query: Placed
  let key: Placed
  let value: Placed
  let output: Placed
  let logSumExpStrides: AttentionProblem.Strides
  let statistics: AttentionStatistics
  /// Whether queries, keys and values are parts of one tensor, and so are their gradients.
  let isFusedProjection: Bool

  /// Whether a call has to keep anything.
  static func isNeeded(_ inputs: [Tensor], _ mask: AttentionMask) -> Bool {
    inputs.isAnyTracked || mask.biasTensors.isAnyTracked
  }

  /// Makes the results of the call those of its inputs, and of the biases in its mask.
  static func track(
    _ outputs: inout AttentionOutputs, shape: AttentionShape, mask: AttentionMask, options: AttentionOptions,
    isRagged: Bool, query: Placed, key: Placed, value: Placed, outputStrides: AttentionProblem.Strides,
    logSumExpStrides: AttentionProblem.Strides, isFusedProjection: Bool = false
  ) {
    guard let statistics = outputs.statistics else { return }
    let backward = AttentionBackward(
      shape: shape, options: options, isRagged: isRagged, mask: mask.detached,
      query: (query.tensor.detached(), query.strides), key: (key.tensor.detached(), key.strides),
      value: (value.tensor.detached(), value.strides), output: (outputs.output, outputStrides),
      logSumExpStrides: logSumExpStrides, statistics: statistics, isFusedProjection: isFusedProjection)
    let inputs = (isFusedProjection ? [query.tensor] : [query.tensor, key.tensor, value.tensor]) + mask.biasTensors
    let results = [outputs.output] + (outputs.logSumExp.map { [$0] } ?? [])
    let tracked = Tensor.derived(results, from: inputs) { backward.gradients($0, wanted: $1) }
    outputs.output = tracked[0]
    if outputs.logSumExp != nil { outputs.logSumExp = tracked[1] }
  }

  // MARK: The way back

  private func gradients(_ upstream: [Tensor?], wanted: [Bool]) -> [Tensor?] {
    let ofOutput = upstream[0] ?? Tensor(zeros: output.tensor.shape)
    let ofLogSumExp = upstream.count > 1 ? upstream[1] : nil
    let parts = isFusedProjection ? 1 : 3
    let tensors = isFusedProjection ? [query.tensor] : [query.tensor, key.tensor, value.tensor]
    // Each is written by the tasks from its first scalar to its last.
    let results = zip(tensors, wanted).map { $1 ? Tensor(uninitialized: $0.shape) { _ in } : nil }
    func place(_ index: Int, _ strides: AttentionProblem.Strides) -> AttentionProblem.Output? {
      // Nobody else has the new tensors yet.
      results[isFusedProjection ? 0 : index].map {
        .init(base: UnsafeMutablePointer(mutating: $0.unsafeBase), strides: strides)
      }
    }
    let geometry = MaskGeometry(
      mask, queryLengths: shape.queryLengths, keyLengths: shape.keyLengths, heads: shape.heads, isRagged: isRagged)
    let rows = GradientRows(shape)
    func input(_ placed: Placed) -> AttentionProblem.Input {
      .init(base: placed.tensor.unsafeBase, strides: placed.strides)
    }
    let sums = input((statistics.sums, logSumExpStrides))
    rows.fill(
      shape, query: input(query), output: input(output), upstream: input((ofOutput, output.strides)),
      logSumExpUpstream: ofLogSumExp.map { input(($0, logSumExpStrides)) },
      statistics: (input((statistics.references, logSumExpStrides)), sums))
    let problem = GradientProblem(
      shape: shape, scale: options.scale ?? shape.scale, softcap: options.softcap, dropout: options.dropout,
      mask: geometry, query: input(query), key: input(key), value: input(value),
      upstream: input((ofOutput, output.strides)), rows: rows, sums: sums, ofQuery: place(0, query.strides),
      ofKey: place(1, key.strides), ofValue: place(2, value.strides))
    if results.contains(where: { $0 != nil }) { runGradients(problem) }
    let biases = mask.biasTensors.enumerated().map { index, bias in
      wanted[parts + index] ? biasGradient(problem, index: index, shape: bias.shape) : nil
    }
    withExtendedLifetime((ofOutput, ofLogSumExp, geometry, rows)) {}
    return results + biases
  }
}

extension AttentionMask {
  /// The tensors that are added to scores, in their order.
  var biasTensors: [Tensor] {
    conditions.compactMap { if case .bias(let values) = $0 { values } else { nil } }
  }

  /// The same mask without anything tracked.
  var detached: AttentionMask {
    AttentionMask(
      conditions: conditions.map { if case .bias(let values) = $0 { .bias(values.detached()) } else { $0 } })
  }
}
