import AttentionCore
import AttentionTensors

/// Multi-head attention (Vaswani et al., 1706.03762, §3.2.2): each head attends with its own projections of the whole
/// row, and the heads' outputs, side by side, are projected once more.
///
///     let attention = MultiHeadAttention(width: 384, heads: 12, using: &generator)
///     let y = attention(x, layout: layout, mask: .causal(.start))   // [tokens, 384]
///
/// One layer serves self-attention, where one product makes queries, keys and values, and cross-attention over the rows
/// of a memory. Fewer kv heads than heads share them in groups (Ainslie et al., 2305.13245). The number of parameters
/// does not depend on the number of heads, as long as each head has a kv head of its own.
///
/// Parameters, as PyTorch's `nn.MultiheadAttention`: "in_proj_weight" `[(Hq + 2·Hkv)·d, width]`, the rows of the queries
/// before those of the keys and of the values (or "q_proj_weight", "k_proj_weight", "v_proj_weight" where the memory has
/// other widths), "in_proj_bias", "out_proj.weight", "out_proj.bias". Masks are `AttentionMask`s: true cells may be
/// attended to, the opposite of PyTorch's.
public struct MultiHeadAttention: Layer {
  /// The query heads, Hq.
  public let heads: Int
  /// The kv heads, Hkv.
  public let keyValueHeads: Int
  /// The width of a head, d.
  public let headWidth: Int
  /// How queries and keys are turned by their positions, if they are; for self-attention.
  public let rotary: RotaryEmbedding?
  /// Scale, softcap and path.
  public var options: AttentionOptions
  /// The probability with which a weight is dropped in training, before the product with the values.
  public let dropout: Float

  /// One for all three, or those of queries, keys and values; none has a bias or an activation.
  var projections: [Linear]
  /// The biases of queries, keys and values, one after the other, or nil.
  public var projectionBias: Tensor?
  /// From the heads' outputs to the result.
  public var outputProjection: Linear

  /// The width of the rows that attend, and of the result.
  public var width: Int { projections[0].inputs }

  /// Creates a layer with PyTorch's initial values: projections uniform by Xavier's bound, biases 0.
  ///
  /// - Parameters:
  ///   - width: of the rows that attend; a multiple of `heads` unless `headWidth` is given.
  ///   - heads: Hq.
  ///   - keyValueHeads: Hkv; Hq unless given.
  ///   - headWidth: d; width / heads unless given.
  ///   - memoryWidth: the width of the rows that keys and values are made of, for cross-attention over others than
  ///     `width`.
  ///   - hasBias: whether the projections have biases.
  ///   - dropout: the probability with which a weight is dropped in training.
  ///   - rotary: how queries and keys are turned by their positions.
  ///   - options: scale, softcap and path.
  ///   - generator: where the initial values come from.
  /// - Precondition: the heads form groups, and their widths fit.
  public init(
    width: Int, heads: Int, keyValueHeads: Int? = nil, headWidth: Int? = nil, memoryWidth: Int? = nil,
    hasBias: Bool = true, dropout: Float = 0, rotary: RotaryEmbedding? = nil, options: AttentionOptions = .init(),
    using generator: inout some RandomNumberGenerator
  ) {
    let keyValueHeads = keyValueHeads ?? heads
    require(
      heads > 0 && keyValueHeads > 0 && heads.isMultiple(of: keyValueHeads),
      "MultiHeadAttention: \(heads) heads are no multiple of \(keyValueHeads) kv heads")
    require(
      headWidth ?? 1 > 0 && width > 0 && (headWidth != nil || width.isMultiple(of: heads)),
      "MultiHeadAttention: a width of \(width) for \(heads) heads of width \(headWidth.map(String.init) ?? "width/heads")"
    )
    let headWidth = headWidth ?? width / heads
    require(
      rotary.map { $0.width <= headWidth } ?? true,
      "MultiHeadAttention: \(rotary?.width ?? 0) columns of a head of \(headWidth) cannot be turned")
    require(dropout >= 0 && dropout < 1, "MultiHeadAttention: a dropout of \(dropout) is not in 0..<1")
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.headWidth = headWidth
    self.rotary = rotary
    self.options = options
    self.dropout = dropout
    let (queries, keys) = (heads * headWidth, keyValueHeads * headWidth)
    if let memoryWidth, memoryWidth != width {
      projections = [(queries, width), (keys, memoryWidth), (keys, memoryWidth)].map { outputs, inputs in
        Linear(weight: Tensor(xavierUniform: [outputs, inputs], using: &generator))
      }
    } else {
      projections = [Linear(weight: Tensor(xavierUniform: [queries + 2 * keys, width], using: &generator))]
    }
    projectionBias = hasBias ? Tensor(zeros: [queries + 2 * keys]) : nil
    outputProjection = Linear(inputs: queries, outputs: width, hasBias: hasBias, using: &generator)
    if hasBias { outputProjection.bias = Tensor(zeros: [width]) }
  }

  /// Creates a layer from its parts: the projection of queries, keys and values side by side, and the one of the output.
  ///
  /// - Precondition: the projection has the outputs of as many heads, and no activation.
  package init(
    heads: Int, projection: Linear, outputProjection: Linear, dropout: Float = 0, options: AttentionOptions = .init()
  ) {
    require(
      heads > 0 && projection.outputs == 3 * outputProjection.inputs && outputProjection.inputs.isMultiple(of: heads)
        && projection.activation == nil,
      "MultiHeadAttention: \(projection.outputs) and \(outputProjection.inputs) columns for \(heads) heads")
    self.heads = heads
    keyValueHeads = heads
    headWidth = outputProjection.inputs / heads
    rotary = nil
    self.options = options
    self.dropout = dropout
    projectionBias = projection.bias
    var projection = projection
    projection.bias = nil
    projections = [projection]
    self.outputProjection = outputProjection
  }

  /// The weights of the projections of queries, keys and values, one after the other, `[(Hq + 2·Hkv)·d, width]`.
  ///
  /// - Precondition: they have one width.
  package var projectionWeight: Tensor {
    projections.count == 1 ? projections[0].weight : Tensor.concatenated(projections.map(\.weight))
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    let names = projections.count == 1 ? ["in_proj_weight"] : ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
    for (index, name) in names.enumerated() {
      try projections[index].visitParameters { _, role, tensor in try visit(name, role, &tensor) }
    }
    if projectionBias != nil { try visit("in_proj_bias", .parameter, &projectionBias!) }
    try outputProjection.visitParameters(under: "out_proj", visit)
  }

  // MARK: Projections

  private var queryOutputs: Range<Int> { 0..<heads * headWidth }
  private var keyOutputs: Range<Int> { queryOutputs.upperBound..<queryOutputs.upperBound + keyValueHeads * headWidth }
  private var valueOutputs: Range<Int> { keyOutputs.upperBound..<keyOutputs.upperBound + keyValueHeads * headWidth }

  /// The columns of queries, keys and values that lie in `outputs`.
  private func projected(_ x: Tensor, _ outputs: Range<Int>) -> Tensor {
    let bias = outputs == 0..<valueOutputs.upperBound ? projectionBias : projectionBias?.sliced(outputs)
    if projections.count == 1 { return projections[0].applied(to: x, outputs: outputs, bias: bias) }
    let index = outputs == queryOutputs ? 0 : outputs == keyOutputs ? 1 : 2
    return projections[index].applied(to: x, outputs: 0..<outputs.count, bias: bias)
  }

  /// The queries of rows, `[tokens, Hq·d]`.
  private func queries(_ x: Tensor) -> Tensor { projected(x, queryOutputs) }

  /// The keys and values of rows, `[tokens, Hkv·d]` each.
  private func keysAndValues(_ memory: Tensor) -> (key: Tensor, value: Tensor) {
    guard projections.count == 1 else { return (projected(memory, keyOutputs), projected(memory, valueOutputs)) }
    // One product for both.
    let both = projected(memory, keyOutputs.lowerBound..<valueOutputs.upperBound)
    return (both.sliced(0..<keyOutputs.count, along: 1), both.sliced(keyOutputs.count..<2 * keyOutputs.count, along: 1))
  }

  /// Queries, keys and values of the same rows, side by side, turned by their positions.
  private func queriesKeysAndValues(_ x: Tensor, positions: @autoclosure () -> [Int]) -> Tensor {
    let all =
      projections.count == 1
      ? projected(x, 0..<valueOutputs.upperBound)
      : Tensor.concatenated([queries(x), projected(x, keyOutputs), projected(x, valueOutputs)], along: 1)
    guard let rotary else { return all }
    return rotary(all, positions: positions(), heads: heads + keyValueHeads, headWidth: headWidth)
  }

  private func options(_ key: DropoutKey?) -> AttentionOptions {
    guard let key, dropout > 0 else { return options }
    var options = options
    options.dropout = AttentionDropout(probability: dropout, seed: key.seed)
    return options
  }

  private func check(_ x: Tensor, _ layout: SequenceLayout, width: Int, _ name: String) {
    require(
      x.shape == [layout.tokenCount, width],
      "MultiHeadAttention: \(name) \(x.shape) is not [tokens, width] = \([layout.tokenCount, width])")
  }

  // MARK: Self-attention

  /// Self-attention over a ragged batch: `[tokens, width]` to `[tokens, width]`.
  ///
  /// O(tokens · width²) for the projections, and for the attention as `scaledDotProductAttention`.
  ///
  /// - Parameters:
  ///   - x: the rows.
  ///   - layout: the sequences.
  ///   - mask: which of its own sequence a row may attend to; all unless given.
  ///   - key: what decides which weights are dropped; none unless given.
  /// - Precondition: the shapes and the mask fit.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, mask: AttentionMask = .none, dropout key: DropoutKey? = nil
  ) -> Tensor {
    attend(x, layout: layout, mask: mask, dropout: key, returning: []).output
  }

  /// Self-attention over sequences of one length: `[B, L, width]` to `[B, L, width]`.
  ///
  /// - Precondition: the shape and the mask fit.
  public func callAsFunction(_ x: Tensor, mask: AttentionMask = .none, dropout key: DropoutKey? = nil) -> Tensor {
    require(x.rank == 3, "MultiHeadAttention: \(x.shape) is not [B, L, width]; a ragged batch comes with its layout")
    let layout = SequenceLayout(lengths: [Int](repeating: x.shape[1], count: x.shape[0]))
    return self(x.reshaped(to: [layout.tokenCount, x.shape[2]]), layout: layout, mask: mask, dropout: key)
      .reshaped(to: x.shape)
  }

  /// Self-attention that also returns the weights, `[Hq, L, L]` for each sequence; they carry no gradients.
  public func withWeights(
    _ x: Tensor, layout: SequenceLayout, mask: AttentionMask = .none
  ) -> (output: Tensor, weights: [Tensor]) {
    let result = attend(x, layout: layout, mask: mask, dropout: nil, returning: .weights)
    return (result.output, result.weights!)
  }

  private func attend(
    _ x: Tensor, layout: SequenceLayout, mask: AttentionMask, dropout key: DropoutKey?,
    returning extras: AttentionExtras
  ) -> (output: Tensor, weights: [Tensor]?) {
    check(x, layout, width: width, "an input of shape")
    require(
      projections.allSatisfy { $0.inputs == width },
      "MultiHeadAttention: rows of width \(width) cannot be the memory, which has \(projections.map(\.inputs))")
    let result = scaledDotProductAttention(
      queryKeyValue: queriesKeysAndValues(x, positions: layout.positions()), layout: layout, heads: heads,
      keyValueHeads: keyValueHeads, mask: mask, options: options(key), returning: extras)
    return (outputProjection(result.output), result.weights)
  }

  // MARK: Cross-attention

  /// Cross-attention: the rows of `x` attend to those of `memory`, each in its own sequence.
  ///
  /// - Parameters:
  ///   - x: `[tokens, width]`.
  ///   - layout: the sequences of `x`.
  ///   - memory: `[memory tokens, memory width]`.
  ///   - memoryLayout: the sequences of the memory, as many.
  ///   - mask: which rows of its sequence's memory a row may attend to; all unless given.
  ///   - key: what decides which weights are dropped; none unless given.
  /// - Precondition: the shapes and the mask fit, and the layer is not rotary.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, memory: Tensor, memoryLayout: SequenceLayout, mask: AttentionMask = .none,
    dropout key: DropoutKey? = nil
  ) -> Tensor {
    let result = attend(x, layout, memory, memoryLayout, mask, key, returning: [])
    return outputProjection(result.output)
  }

  /// Cross-attention that also returns the weights, `[Hq, Lq, Lk]` for each sequence; they carry no gradients.
  public func withWeights(
    _ x: Tensor, layout: SequenceLayout, memory: Tensor, memoryLayout: SequenceLayout, mask: AttentionMask = .none
  ) -> (output: Tensor, weights: [Tensor]) {
    let result = attend(x, layout, memory, memoryLayout, mask, nil, returning: .weights)
    return (outputProjection(result.output), result.weights!)
  }

  private func attend(
    _ x: Tensor, _ layout: SequenceLayout, _ memory: Tensor, _ memoryLayout: SequenceLayout, _ mask: AttentionMask,
    _ key: DropoutKey?, returning extras: AttentionExtras
  ) -> RaggedAttentionResult {
    checkCross(x, layout, memory, memoryLayout)
    let (keys, values) = keysAndValues(memory)
    return scaledDotProductAttention(
      query: queries(x), key: keys, value: values, layout: layout, keyLayout: memoryLayout, heads: heads,
      keyValueHeads: keyValueHeads, mask: mask, options: options(key), returning: extras)
  }

  private func checkCross(_ x: Tensor, _ layout: SequenceLayout, _ memory: Tensor, _ memoryLayout: SequenceLayout) {
    check(x, layout, width: width, "an input of shape")
    check(memory, memoryLayout, width: projections[projections.count - 1].inputs, "a memory of shape")
    require(rotary == nil, "MultiHeadAttention: rows and memory have no common positions to turn by")
  }

  // MARK: Caches

  /// An empty cache for this layer's keys and values.
  public func makeCache(sequenceCount: Int, window: Int? = nil) -> KeyValueCache {
    KeyValueCache(
      sequenceCount: sequenceCount, keyValueHeads: keyValueHeads, keyWidth: headWidth, valueWidth: headWidth,
      window: window)
  }

  /// Self-attention of new rows over a cache of the earlier ones, to which they are added first. No gradients.
  ///
  /// - Parameters:
  ///   - x: the new rows, `[tokens, width]`.
  ///   - layout: the new rows of each sequence; a length may be 0.
  ///   - cache: what ``makeCache(sequenceCount:window:)`` gave, and earlier calls filled.
  ///   - mask: at the end of the sequences: causal unless given.
  /// - Precondition: the shapes fit, and nothing is tracked.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, cache: inout KeyValueCache, mask: AttentionMask = .causal(.end)
  ) -> Tensor {
    check(x, layout, width: width, "an input of shape")
    let all = queriesKeysAndValues(x.detached(), positions: layout.positions(startingAt: cache.lengths)).detached()
    cache.append(queryKeyValue: all, layout: layout, heads: heads)
    let result = scaledDotProductAttention(
      queryKeyValue: all, layout: layout, cache: cache, heads: heads, mask: mask, options: options)
    return outputProjection(result.output)
  }

  /// The keys and values of a memory, computed once for all steps of a decoder.
  public func prepared(memory: Tensor, layout: SequenceLayout) -> KeyValueCache {
    check(memory, layout, width: projections[projections.count - 1].inputs, "a memory of shape")
    var cache = makeCache(sequenceCount: layout.sequenceCount)
    let (keys, values) = keysAndValues(memory)
    cache.append(key: keys.detached(), value: values.detached(), layout: layout)
    return cache
  }

  /// Cross-attention over a memory that ``prepared(memory:layout:)`` has gone through. No gradients.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, prepared memory: KeyValueCache, mask: AttentionMask = .none
  ) -> Tensor {
    check(x, layout, width: width, "an input of shape")
    require(rotary == nil, "MultiHeadAttention: rows and memory have no common positions to turn by")
    let result = scaledDotProductAttention(
      query: queries(x.detached()).detached(), layout: layout, cache: memory, heads: heads, mask: mask,
      options: options)
    return outputProjection(result.output)
  }
}
