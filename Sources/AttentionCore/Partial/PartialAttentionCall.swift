import AttentionTensors

/// The unfinished softmax of queries over some keys of a sequence: the part of an attention that these keys have.
///
///     let partial = partialAttention(query: q, key: k, value: v, positions: 4096..<8192, keyCount: 10_000)
///
/// As for `scaledDotProductAttention(query:key:value:mask:options:returning:)`, with the keys and values at
/// `positions` of sequences that have `keyCount` keys. The others need not be in memory, nor exist yet. The mask speaks of
/// the whole sequence: the diagonal of `.end`, key lengths, documents, and the keys of dense masks and biases, which are
/// read as a whole.
///
/// - Parameters:
///   - query: `[B, Hq, Lq, dk]`.
///   - key: `[B, Hkv, positions.count, dk]`.
///   - value: `[B, Hkv, positions.count, dv]`.
///   - positions: where the keys stand in every sequence; from the first on unless given.
///   - keyCount: Lk, the keys of each whole sequence; those up to the end of `positions` unless given.
///   - mask: the masks and biases over `keyCount` keys.
///   - options: scale and softcap; the path is the fused one, and nothing is dropped.
/// - Returns: sums, through which no gradient flows back, that ``PartialAttention/merge(_:)`` adds up.
/// - Precondition: the shapes fit each other, the positions and the mask; the path is automatic or fused.
public func partialAttention(
  query: Tensor, key: Tensor, value: Tensor, positions: Range<Int>? = nil, keyCount: Int? = nil,
  mask: AttentionMask = .none, options: AttentionOptions = .init()
) -> PartialAttention {
  let call = PartialCall(
    queryShape: query.shape, keyShape: key.shape, valueShape: value.shape, positions: positions, keyCount: keyCount,
    mask: mask, options: options)
  let (shape, geometry) = (call.shape, call.geometry)
  let (batch, queries, keys) = (query.shape[0], query.shape[2], key.shape[2])
  let rows = [batch, shape.heads, queries]
  var output = Tensor(uninitialized: rows + [shape.valueWidth]) { _ in }
  var maximum = Tensor(uninitialized: rows) { _ in }
  var sum = Tensor(uninitialized: rows) { _ in }
  // Of empty tensors, extents whose product overflows are legal.
  guard !shape.isEmpty else { return PartialAttention(output: output, maximum: maximum, sum: sum) }
  func strides(_ heads: Int, _ length: Int, _ width: Int) -> AttentionProblem.Strides {
    .separateHeads(sequences: batch, heads: heads, length: length, width: width)
  }
  let statistics = strides(shape.heads, queries, 1)
  output.withUnsafeMutableBufferPointer { output in
    maximum.withUnsafeMutableBufferPointer { maximum in
      sum.withUnsafeMutableBufferPointer { sum in
        runFused(
          AttentionProblem(
            shape: shape, scale: options.scale ?? shape.scale, softcap: options.softcap, mask: geometry,
            query: .init(base: query.unsafeBase, strides: strides(shape.heads, queries, shape.keyWidth)),
            keys: .rows(
              key: .init(base: key.unsafeBase, strides: strides(shape.keyValueHeads, keys, shape.keyWidth)),
              value: .init(base: value.unsafeBase, strides: strides(shape.keyValueHeads, keys, shape.valueWidth))),
            output: .init(base: output.baseAddress!, strides: strides(shape.heads, queries, shape.valueWidth)),
            logSumExp: nil, weights: nil, scores: [],
            partial: (
              .init(base: maximum.baseAddress!, strides: statistics), .init(base: sum.baseAddress!, strides: statistics)
            )))
      }
    }
  }
  // The geometry alone owns the cells of a predicate.
  withExtendedLifetime((query, key, value, geometry)) {}
  return PartialAttention(output: output, maximum: maximum, sum: sum)
}

/// A call for partial results, checked.
private struct PartialCall {
  let shape: AttentionShape
  /// The mask over the keys at hand.
  let geometry: MaskGeometry

  init(
    queryShape: [Int], keyShape: [Int], valueShape: [Int], positions: Range<Int>?, keyCount: Int?, mask: AttentionMask,
    options: AttentionOptions
  ) {
    let slice = AttentionShape(query: queryShape, key: keyShape, value: valueShape)
    let positions = positions ?? 0..<keyShape[2]
    let keyCount = keyCount ?? positions.upperBound
    require(
      positions.count == keyShape[2] && positions.lowerBound >= 0 && positions.upperBound <= keyCount,
      "attention: key \(keyShape) does not hold the keys at \(positions) of \(keyCount)")
    require(options.dropout == nil, "attention: of a part of the keys, no weights are dropped")
    require(
      options.path == .automatic || options.path == .fused,
      "attention: partial results come of the fused path, not of \(options.path.rawValue)")
    shape = AttentionShape(
      queryLengths: slice.queryLengths, keyLengths: [Int](repeating: keyCount, count: queryShape[0]),
      heads: slice.heads, keyValueHeads: slice.keyValueHeads, keyWidth: slice.keyWidth, valueWidth: slice.valueWidth)
    var geometry = MaskGeometry(
      mask, queryLengths: shape.queryLengths, keyLengths: shape.keyLengths, heads: shape.heads, isRagged: false)
    geometry.keepOnly(positions)
    self.geometry = geometry
  }
}

extension AttentionPlan {
  /// Plans a call of `partialAttention(query:key:value:positions:keyCount:mask:options:)` on tensors of these shapes.
  /// O(B · Hq · Lq), or O(B · Hq · Lq · Lk) with dense masks.
  ///
  /// - Parameters:
  ///   - queryShape: `[B, Hq, Lq, dk]`.
  ///   - keyShape: `[B, Hkv, positions.count, dk]`.
  ///   - valueShape: `[B, Hkv, positions.count, dv]`.
  ///   - positions: where the keys stand in every sequence.
  ///   - keyCount: Lk, the keys of each whole sequence; those up to the end of `positions` unless given.
  ///   - mask: as for the call.
  ///   - options: as for the call.
  /// - Precondition: as for the call.
  public init(
    queryShape: [Int], keyShape: [Int], valueShape: [Int], positions: Range<Int>, keyCount: Int? = nil,
    mask: AttentionMask = .none, options: AttentionOptions = .init()
  ) {
    let call = PartialCall(
      queryShape: queryShape, keyShape: keyShape, valueShape: valueShape, positions: positions, keyCount: keyCount,
      mask: mask, options: options)
    self.init(call.shape, call.geometry, options: options, onlyFused: "the path that has partial results")
  }
}
