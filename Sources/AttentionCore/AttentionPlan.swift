import AttentionTensors

/// What a call of attention will do, known before it: the path, the memory, the work.
public struct AttentionPlan: Sendable {
  /// The path that will run: never ``AttentionPath/automatic``.
  public let path: AttentionPath
  /// Why this one.
  public let reason: String
  /// What is done with each sequence.
  public let sequences: [SequencePlan]
  /// The bytes of working memory at the most, over all threads, beside inputs and results: scores, panels, a predicate's
  /// cells, and the copy of values that is made when some are not finite, rounded up as `TensorStorage` rounds them. On
  /// ``AttentionPath/fused`` that rounding can add a quarter.
  ///
  /// Bookkeeping of a few words for each position, head and block is not counted, nor what `TensorStorage` keeps
  /// for the next call.
  public let scratchBytes: Int
  /// The same for the way back, where something is tracked: what it works in beside upstream gradients and results. It is
  /// the same on every path: tiles, three numbers of each row, and the parts of query gradients over more than 2,048 keys.
  public let backwardScratchBytes: Int
  /// Floating-point operations of the two products over the keys that queries may attend to: 2 · (dk + dv) for each
  /// visible cell of the score matrix.
  public let usefulOperations: Double
  /// Floating-point operations of the two products as the path carries them out.
  public let executedOperations: Double

  /// What a call does with one sequence.
  public struct SequencePlan: Sendable, Hashable {
    /// The path that computes it: never ``AttentionPath/automatic``.
    public let path: AttentionPath
    /// Why this one.
    public let reason: String
    /// On ``AttentionPath/fused``: the rows that a tile takes at the most, those of a group's heads stacked.
    public let tileRows: Int?
    /// On ``AttentionPath/fused``: the keys of a block, on a grid that starts at the sequence's first key.
    public let blockKeys: Int?

    init(_ choice: (path: AttentionPath, reason: String), tileRows: Int? = nil, blockKeys: Int? = nil) {
      (path, reason) = choice
      (self.tileRows, self.blockKeys) = (tileRows, blockKeys)
    }
  }

  /// Plans a call on 4-D tensors of these shapes. O(B · Hq · Lq), or O(B · Hq · Lq · Lk) with dense masks.
  ///
  /// - Precondition: the shapes fit each other and the mask.
  public init(
    queryShape: [Int], keyShape: [Int], valueShape: [Int], mask: AttentionMask = .none,
    options: AttentionOptions = .init()
  ) {
    self.init(
      AttentionShape(query: queryShape, key: keyShape, value: valueShape), mask: mask, options: options,
      isRagged: false)
  }

  /// Plans a call on a ragged batch of these shapes: `[query tokens, Hq · dk]`, `[key tokens, Hkv · dk]`,
  /// `[key tokens, Hkv · dv]`. O(query tokens · Hq), and with dense masks the cells of all sequences.
  ///
  /// - Precondition: the shapes fit the layouts, the heads and the mask.
  public init(
    queryShape: [Int], keyShape: [Int], valueShape: [Int], layout: SequenceLayout, keyLayout: SequenceLayout? = nil,
    heads: Int, keyValueHeads: Int? = nil, mask: AttentionMask = .none, options: AttentionOptions = .init()
  ) {
    self.init(
      AttentionShape(
        query: queryShape, key: keyShape, value: valueShape, layout: layout, keyLayout: keyLayout ?? layout,
        heads: heads, keyValueHeads: keyValueHeads ?? heads),
      mask: mask, options: options, isRagged: true)
  }

  /// Plans a call on a fused projection of this shape: `[tokens, (Hq + 2 · Hkv) · d]`. O(tokens · Hq), and with dense masks
  /// the cells of all sequences.
  ///
  /// - Precondition: the shape fits the layout, the heads and the mask.
  public init(
    queryKeyValueShape: [Int], layout: SequenceLayout, heads: Int, keyValueHeads: Int? = nil,
    mask: AttentionMask = .none, options: AttentionOptions = .init()
  ) {
    let parts = FusedProjection(
      queryKeyValueShape, layout: layout, heads: heads, keyValueHeads: keyValueHeads ?? heads)
    self.init(parts.shape(layout, heads: heads), mask: mask, options: options, isRagged: true)
  }

  init(_ shape: AttentionShape, mask: AttentionMask, options: AttentionOptions, isRagged: Bool) {
    self.init(
      shape,
      MaskGeometry(
        mask, queryLengths: shape.queryLengths, keyLengths: shape.keyLengths, heads: shape.heads, isRagged: isRagged),
      options: options)
  }

  /// - Parameters:
  ///   - isPacked: whether the keys lie in panels already.
  ///   - onlyFused: why no other path can take the call, if so.
  init(
    _ shape: AttentionShape, _ geometry: MaskGeometry, options: AttentionOptions, isPacked: Bool = false,
    onlyFused: String? = nil
  ) {
    func choose(_ sequence: Int? = nil) -> (path: AttentionPath, reason: String) {
      let choice = onlyFused.map { (.fused, $0) } ?? AttentionPlan.choose(options.path, shape: shape)
      if let sequence, shape.queryLengths[sequence] == 0 { return (choice.0, "no query: nothing is computed") }
      if let sequence, shape.keyLengths[sequence] == 0 { return (choice.0, "no key: its rows are 0") }
      return choice
    }
    (path, reason) = choose()
    let choices = (0..<shape.sequenceCount).map { choose($0) }
    guard !shape.isEmpty else {
      (usefulOperations, executedOperations, scratchBytes) = (0, 0, geometry.predicateBytes)
      backwardScratchBytes = geometry.predicateBytes
      sequences = choices.map { SequencePlan($0) }
      return
    }
    let visible = (0..<shape.sequenceCount).reduce(0) { $0 + geometry.visibleCells(sequence: $1) }
    let operationsPerCell = 2 * Double(shape.keyWidth + shape.valueWidth)
    usefulOperations = operationsPerCell * Double(visible)
    backwardScratchBytes = AttentionPlan.backwardBytes(shape, geometry)
    switch path {
    case .naive:
      executedOperations = usefulOperations
      // A row of scores, of weights and of flags on each thread, and what an array holds beside its elements.
      scratchBytes = Engine.threadCount.count * ((shape.keyLengths.max() ?? 0) * 9 + 3 * 64) + geometry.predicateBytes
      sequences = choices.map { SequencePlan($0) }
    case .fused:
      let cost = FusedCost(shape, geometry, isPacked: isPacked)
      executedOperations = operationsPerCell * Double(cost.cells)
      scratchBytes = cost.bytes + geometry.predicateBytes
      sequences = choices.enumerated().map { sequence, choice in
        SequencePlan(choice, tileRows: cost.tileRows[sequence], blockKeys: cost.blockKeys)
      }
    case .blas, .automatic:
      var cells = 0
      var largest = 0
      let panel = AttentionPlan.storageBytes(scalars: MatrixProduct.panelScalars(inner: shape.keyWidth))
      for block in ScoreBlock.all(shape) {
        let keys = VisibleKeys(geometry, block)
        cells += block.rows.count * keys.union.count
        var bytes = panel
        bytes += AttentionPlan.storageBytes(scalars: block.rows.count * ScoreBlock.rowStride(keys: keys.union.count))
        if keys.isPartial { bytes += AttentionPlan.storageBytes(scalars: keys.union.count * shape.valueWidth) }
        largest = max(largest, bytes)
      }
      executedOperations = operationsPerCell * Double(cells)
      scratchBytes = Engine.threadCount.count * largest + geometry.predicateBytes
      sequences = choices.map { SequencePlan($0) }
    }
  }

  private static func backwardBytes(_ shape: AttentionShape, _ geometry: MaskGeometry) -> Int {
    let tiling = FusedTiling(keyWidth: shape.keyWidth, valueWidth: shape.valueWidth)
    let schedule = GradientSchedule(shape, tiling, wantsQuery: true)
    return storageBytes(scalars: GradientRows.scalars(shape))
      + (schedule.partialScalars > 0 ? storageBytes(scalars: schedule.partialScalars) : 0)
      + Engine.threadCount.count * storageBytes(scalars: GradientTile.scalars(tiling))
      + FusedMasks(geometry, blockKeys: tiling.blockKeys).summaryBytes + geometry.predicateBytes
  }

  private static func storageBytes(scalars: Int) -> Int {
    TensorStorage.sizeClass(forBytes: scalars * MemoryLayout<Float>.stride)
  }

  /// The path that a choice comes to, and why.
  static func choose(_ path: AttentionPath, shape: AttentionShape) -> (path: AttentionPath, reason: String) {
    switch path {
    case .naive, .blas, .fused: (path, "asked for")
    case .automatic:
      (
        .fused,
        """
        at every length measured it is the fastest path, or within 2 µs of it\
        \(OpenBLAS.hasSmallMatrixKernels ? ", and its rows keep their bits however a sequence is cut" : "")
        """
      )
    }
  }
}
