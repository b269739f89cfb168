import AttentionTensors

/// Scaled dot-product attention (Vaswani et al., 1706.03762, §3.2.1): softmax(scale·Q·Kᵀ)·V.
///
///     let output = scaledDotProductAttention(query: q, key: k, value: v, mask: .causal(.start))
///
/// Scores are scale·Q·Kᵀ, then c·tanh(score/c) if a softcap is set, then biases are added and masked scores are −∞; the
/// softmax runs over keys. Shapes:
/// query `[B, Hq, Lq, dk]`, key `[B, Hkv, Lk, dk]`, value `[B, Hkv, Lk, dv]`, result `[B, Hq, Lq, dv]`.
/// Hq is a multiple of Hkv: each group of Hq/Hkv neighbouring query heads shares a kv head (GQA, Ainslie et al.,
/// 2305.13245). Any length may be 0.
///
/// A query that may attend to nothing gets 0. A NaN or infinity behind a mask changes nothing; a visible one propagates
/// as in the formula. Results do not depend on the number of threads or on other callers.
///
/// Where query, key, value or a bias in the mask is tracked, so are the output and the log-sum-exp: the way back computes
/// the scores again, tile by tile, and stores none (Dao et al., 2205.14135; Dao, 2307.08691). A query that may attend to
/// nothing has gradients of 0, what a mask hides gets none, and a visible score of −∞ passes nothing back. Returned
/// weights and scores are constants.
///
/// O(B · Hq · Lq · Lk · (dk + dv)) operations, less what causal, window, document and length masks cut away.
///
/// - Precondition: the shapes fit each other and the mask.
public func scaledDotProductAttention(
  query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, options: AttentionOptions = .init()
) -> Tensor {
  scaledDotProductAttention(query: query, key: key, value: value, mask: mask, options: options, returning: []).output
}

/// Scaled dot-product attention that also returns what `extras` asks for.
///
/// As `scaledDotProductAttention(query:key:value:mask:options:)`; the output's bits do not depend on `extras`. Weights
/// and scores take 4 · B · Hq · Lq · Lk bytes each.
public func scaledDotProductAttention(
  query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, options: AttentionOptions = .init(),
  returning extras: AttentionExtras
) -> AttentionResult {
  let shape = AttentionShape(query: query.shape, key: key.shape, value: value.shape)
  let (batch, queries, keys) = (query.shape[0], query.shape[2], key.shape[2])
  var outputs = AttentionOutputs(
    shape: shape, outputShape: [batch, shape.heads, queries, shape.valueWidth],
    logSumExpShape: [batch, shape.heads, queries], extras: extras,
    keepingStatistics: AttentionBackward.isNeeded([query, key, value], mask))
  func strides(_ heads: Int, _ length: Int, _ width: Int) -> AttentionProblem.Strides {
    .separateHeads(sequences: batch, heads: heads, length: length, width: width)
  }
  let placedQuery = (query, strides(shape.heads, queries, shape.keyWidth))
  let placedKey = (key, strides(shape.keyValueHeads, keys, shape.keyWidth))
  let placedValue = (value, strides(shape.keyValueHeads, keys, shape.valueWidth))
  let (outputStrides, rowStrides) = (strides(shape.heads, queries, shape.valueWidth), strides(shape.heads, queries, 1))
  runAttention(
    shape, mask: mask, options: options, isRagged: false, query: placedQuery,
    keys: .tensors(key: placedKey, value: placedValue), outputs: &outputs, outputStrides: outputStrides,
    logSumExpStrides: rowStrides)
  AttentionBackward.track(
    &outputs, shape: shape, mask: mask, options: options, isRagged: false, query: placedQuery, key: placedKey,
    value: placedValue, outputStrides: outputStrides, logSumExpStrides: rowStrides)
  let scoreShape = [batch, shape.heads, queries, keys]
  return AttentionResult(
    output: outputs.output, logSumExp: outputs.logSumExp, weights: outputs.weights?.reshaped(to: scoreShape),
    scores: Dictionary(uniqueKeysWithValues: outputs.scores.map { ($0.stage, $0.tensor.reshaped(to: scoreShape)) }))
}

extension AttentionShape {
  /// - Precondition: the 4-D shapes fit each other.
  init(query: [Int], key: [Int], value: [Int]) {
    var shapes: String { "query \(query), key \(key), value \(value)" }
    require(
      query.count == 4 && key.count == 4 && value.count == 4,
      "attention: \(shapes) are not [B, Hq, Lq, dk], [B, Hkv, Lk, dk], [B, Hkv, Lk, dv]")
    require(
      query[0] == key[0] && key[0] == value[0] && key[1] == value[1] && key[2] == value[2] && query[3] == key[3],
      "attention: \(shapes) differ where [B, Hq, Lq, dk], [B, Hkv, Lk, dk], [B, Hkv, Lk, dv] must agree")
    self.init(
      queryLengths: [Int](repeating: query[2], count: query[0]), keyLengths: [Int](repeating: key[2], count: query[0]),
      heads: query[1], keyValueHeads: key[1], keyWidth: query[3], valueWidth: value[3], shapes: shapes)
  }

  /// - Precondition: the heads form whole groups, and keys have a width.
  init(
    queryLengths: [Int], keyLengths: [Int], heads: Int, keyValueHeads: Int, keyWidth: Int, valueWidth: Int,
    shapes: @autoclosure () -> String
  ) {
    require(
      keyValueHeads > 0 && heads > 0 && heads.isMultiple(of: keyValueHeads),
      "attention: \(heads) query heads are no multiple of \(keyValueHeads) kv heads (\(shapes()))")
    require(keyWidth > 0, "attention: dk is \(keyWidth) (\(shapes()))")
    require(
      valueWidth >= 0 && queryLengths.allSatisfy { $0 >= 0 } && keyLengths.allSatisfy { $0 >= 0 },
      "attention: \(shapes()): no extent may be negative")
    self.init(
      queryLengths: queryLengths, keyLengths: keyLengths, heads: heads, keyValueHeads: keyValueHeads,
      keyWidth: keyWidth, valueWidth: valueWidth)
  }
}

/// Where a call finds its keys and values.
enum KeyValueSource {
  case tensors(
    key: (tensor: Tensor, strides: AttentionProblem.Strides), value: (tensor: Tensor, strides: AttentionProblem.Strides)
  )
  case cache(KeyValueTable, firstKeys: [Int])
}

/// Resolves the mask, points at the memory, and runs the path.
func runAttention(
  _ shape: AttentionShape, mask: AttentionMask, options: AttentionOptions, isRagged: Bool,
  query: (tensor: Tensor, strides: AttentionProblem.Strides), keys: KeyValueSource, outputs: inout AttentionOutputs,
  outputStrides: AttentionProblem.Strides, logSumExpStrides: AttentionProblem.Strides
) {
  var geometry = MaskGeometry(
    mask, queryLengths: shape.queryLengths, keyLengths: shape.keyLengths, heads: shape.heads, isRagged: isRagged)
  if case .cache(_, let firstKeys) = keys { geometry.firstKeys = firstKeys }
  // Nothing to compute, and of empty tensors, extents whose product overflows are legal.
  guard !shape.isEmpty else { return }
  let scoreStrides = AttentionProblem.Strides.scores(
    queryLengths: shape.queryLengths, keyLengths: shape.keyLengths, heads: shape.heads)
  let statistics = outputs.statistics
  outputs.withPointers { output, logSumExp, weights, scores in
    let problem = AttentionProblem(
      shape: shape, scale: options.scale ?? shape.scale, softcap: options.softcap, mask: geometry,
      query: .init(base: query.tensor.unsafeBase, strides: query.strides), keys: keys.resolved,
      output: .init(base: output, strides: outputStrides),
      logSumExp: logSumExp.map { .init(base: $0, strides: logSumExpStrides) },
      weights: weights.map { .init(base: $0, strides: scoreStrides) },
      scores: scores.map { ($0.0, .init(base: $0.1, strides: scoreStrides)) },
      statistics: statistics?.outputs(logSumExpStrides), dropout: options.dropout)
    switch AttentionPlan.choose(options.path, shape: shape).path {
    case .naive: runNaive(problem)
    case .blas: runBLAS(problem)
    case .fused, .automatic: runFused(problem, size: options.fusedTileSize)
    }
  }
  // The geometry alone owns the cells of a predicate.
  withExtendedLifetime((query.tensor, keys, geometry)) {}
}

extension KeyValueSource {
  fileprivate var resolved: AttentionProblem.Keys {
    switch self {
    case .tensors(let key, let value):
      .rows(
        key: .init(base: key.tensor.unsafeBase, strides: key.strides),
        value: .init(base: value.tensor.unsafeBase, strides: value.strides))
    case .cache(let table, _): .pages(table)
    }
  }
}
