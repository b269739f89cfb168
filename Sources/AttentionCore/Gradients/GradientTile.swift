import AttentionTensors
import CAttentionKernels

/// Some queries of one head against a block of keys, on the way back: the weights again, and the gradients of the scores
/// (Dao et al., 2205.14135, §B.4; Dao, 2307.08691, §3.1).
///
/// What is not finite takes no part in the products: rows and keys that hold something of the kind are zeros there, so
/// that they change no bit of what cannot see them. Their pairs follow one by one (`forEachSpecialPair`).
struct GradientTile {
  let problem: GradientProblem
  let masks: FusedMasks
  let tiling: FusedTiling
  let kernels = KernelSet.kernels

  // Memory of the task that owns the tile.
  /// `[queries, columns]`: the weights, and in their dropped form if some are dropped.
  let weights: UnsafeMutablePointer<Float>
  let dropped: UnsafeMutablePointer<Float>
  /// The gradients of the scores.
  let gradients: UnsafeMutablePointer<Float>
  private let capped: UnsafeMutablePointer<Float>
  private let keyPanel: UnsafeMutablePointer<Float>
  private let valuePanel: UnsafeMutablePointer<Float>
  private let cleanKeys: UnsafeMutablePointer<Float>
  private let cleanValues: UnsafeMutablePointer<Float>
  private let cleanQueries: UnsafeMutablePointer<Float>
  private let cleanUpstream: UnsafeMutablePointer<Float>
  let lower: UnsafeMutablePointer<Int>
  let upper: UnsafeMutablePointer<Int>

  // The block at hand.
  private(set) var sequence = 0
  private(set) var keyValueHead = 0
  private(set) var block = 0
  private(set) var blockKeys = 0..<0
  private(set) var specialKeys: [Int] = []
  /// The block's keys as rows.
  private(set) var keyRows: UnsafePointer<Float>
  private(set) var keyStride = 0
  private(set) var stride = 0
  private var keyLayout: PanelLayout
  private var valueLayout: PanelLayout

  // The rows at hand.
  private(set) var head = 0
  private(set) var queries = 0..<0
  private(set) var queryRows: UnsafePointer<Float>
  private(set) var queryStride = 0
  private(set) var upstreamRows: UnsafePointer<Float>
  private(set) var upstreamStride = 0
  private(set) var hasSpecialRows = false
  /// The keys of the block that some of the rows see.
  private(set) var keys = 0..<0

  /// The scalars of memory that a tile works in.
  static func scalars(_ tiling: FusedTiling) -> Int {
    let (rows, columns) = (tiling.maximumRows, tiling.blockKeys)
    let (keyWidth, valueWidth) = (ProductTiles.padded(tiling.keyWidth), tiling.paddedValueWidth)
    return 4 * rows * columns + (2 * columns + rows) * (keyWidth + valueWidth) + 4 * ProductTiles.padded(rows)
  }

  /// - Parameter memory: room for ``scalars(_:)``, 64-byte aligned.
  init(_ problem: GradientProblem, _ masks: FusedMasks, _ tiling: FusedTiling, memory: UnsafeMutablePointer<Float>) {
    self.problem = problem
    self.masks = masks
    self.tiling = tiling
    let (rows, columns) = (tiling.maximumRows, tiling.blockKeys)
    let (keyWidth, valueWidth) = (ProductTiles.padded(tiling.keyWidth), tiling.paddedValueWidth)
    var next = memory
    func take(_ count: Int) -> UnsafeMutablePointer<Float> {
      defer { next += count }
      return next
    }
    weights = take(rows * columns)
    dropped = take(rows * columns)
    gradients = take(rows * columns)
    capped = take(rows * columns)
    keyPanel = take(columns * keyWidth)
    valuePanel = take(columns * valueWidth)
    cleanKeys = take(columns * keyWidth)
    cleanValues = take(columns * valueWidth)
    cleanQueries = take(rows * keyWidth)
    cleanUpstream = take(rows * valueWidth)
    lower = UnsafeMutableRawPointer(take(2 * ProductTiles.padded(rows))).bindMemory(to: Int.self, capacity: rows)
    upper = UnsafeMutableRawPointer(take(2 * ProductTiles.padded(rows))).bindMemory(to: Int.self, capacity: rows)
    keyRows = UnsafePointer(cleanKeys)
    queryRows = UnsafePointer(cleanQueries)
    upstreamRows = UnsafePointer(cleanUpstream)
    keyLayout = tiling.keyLayout(columns: 16)
    valueLayout = keyLayout
  }

  // MARK: A block of keys

  /// Takes up a block: transposes its keys and values.
  mutating func begin(sequence: Int, keyValueHead: Int, block: Int) {
    (self.sequence, self.keyValueHead, self.block) = (sequence, keyValueHead, block)
    let start = block * tiling.blockKeys
    let existing = problem.mask.existingKeys[sequence]
    blockKeys = start..<max(start, min(existing, start + tiling.blockKeys))
    specialKeys.removeAll(keepingCapacity: true)
    guard !blockKeys.isEmpty else { return }
    stride = min(tiling.blockKeys, ProductTiles.padded(existing))
    let panelColumns = min(stride, tiling.panelColumns)
    keyLayout = PanelLayout(rows: tiling.keyWidth, columns: stride, panelColumns: panelColumns)
    valueLayout = PanelLayout(rows: tiling.valueWidth, columns: stride, panelColumns: panelColumns)
    keyRows = problem.key.row(sequence: sequence, head: keyValueHead, row: start)
    keyStride = problem.key.strides.row
    var valueRows = problem.value.row(sequence: sequence, head: keyValueHead, row: start)
    var valueStride = problem.value.strides.row
    for index in 0..<blockKeys.count
    where !kernels.pointee.all_finite(keyRows + index * keyStride, tiling.keyWidth)
      || !kernels.pointee.all_finite(valueRows + index * valueStride, tiling.valueWidth)
    {
      specialKeys.append(start + index)
    }
    if !specialKeys.isEmpty {
      copy(keyRows, keyStride, blockKeys, width: tiling.keyWidth, into: cleanKeys) { specialKeys.contains($0) }
      copy(valueRows, valueStride, blockKeys, width: tiling.valueWidth, into: cleanValues) { specialKeys.contains($0) }
      (keyRows, keyStride) = (UnsafePointer(cleanKeys), tiling.keyWidth)
      (valueRows, valueStride) = (UnsafePointer(cleanValues), tiling.valueWidth)
    }
    transpose(keyRows, keyStride, width: tiling.keyWidth, keyLayout, into: keyPanel)
    transpose(valueRows, valueStride, width: tiling.valueWidth, valueLayout, into: valuePanel)
  }

  private func transpose(
    _ rows: UnsafePointer<Float>, _ rowStride: Int, width: Int, _ layout: PanelLayout,
    into panel: UnsafeMutablePointer<Float>
  ) {
    guard width > 0 else { return }
    layout.forEachPanel(of: 0..<blockKeys.count) { columns, first, stride in
      kernels.pointee.transpose(
        rows + columns.lowerBound * rowStride, rowStride, panel + first, stride, columns.count, width)
    }
  }

  /// Copies rows side by side, zeros in place of some.
  private func copy(
    _ rows: UnsafePointer<Float>, _ rowStride: Int, _ range: Range<Int>, width: Int,
    into target: UnsafeMutablePointer<Float>, leavingOut isLeftOut: (Int) -> Bool
  ) {
    for (index, row) in range.enumerated() {
      if isLeftOut(row) {
        (target + index * width).update(repeating: 0, count: width)
      } else {
        (target + index * width).update(from: rows + index * rowStride, count: width)
      }
    }
  }

  // MARK: Rows

  /// Whether something of a row is not finite: of its query, its upstream gradient, its output or its softmax.
  func isSpecial(query: Int) -> Bool {
    problem.rows.inverses[problem.rows.position(sequence: sequence, head: head, query: query)].isNaN
  }

  /// Takes up rows, if they see something of the block, and computes their weights.
  mutating func compute(head: Int, queries: Range<Int>) -> Bool {
    (self.head, self.queries) = (head, queries)
    let (lower, upper) = (lower, upper)
    let visible = TileKeys(
      masks, blockKeys: tiling.blockKeys, sequence: sequence, heads: head..<head + 1, rows: queries
    ) { index, keys in
      lower[index] = keys.lowerBound
      upper[index] = keys.upperBound
    }
    guard let (columns, isPartial) = visible.visit(block) else { return false }
    let start = block * tiling.blockKeys
    keys = (start + columns.lowerBound..<start + columns.upperBound).clamped(to: blockKeys)
    guard !keys.isEmpty else { return false }
    takeRows()
    // A factor of 0 lets BLAS skip the product, and 0·∞ would become 0.
    MatrixProduct.multiplyTile(
      rows: queries.count, columns: columns, inner: 0..<tiling.keyWidth, chunk: tiling.chunk,
      factor: problem.scale == 0 ? 1 : problem.scale, queryRows, leftStride: queryStride, keyPanel, keyLayout,
      into: weights, resultStride: stride)
    for row in 0..<queries.count {
      let scores = weights + row * stride
      if problem.scale == 0 { kernels.pointee.scale(scores, 0, scores, columns.count) }
      if let cap = problem.softcap {
        kernels.pointee.softcap(scores, scores, cap, columns.count)
        (capped + row * stride).update(from: scores, count: columns.count)
      }
    }
    if isPartial { mask(columns) }
    for key in specialKeys where keys.contains(key) {
      for row in 0..<queries.count { weights[row * stride + key - keys.lowerBound] = -.infinity }
    }
    let first = problem.rows.position(sequence: sequence, head: head, query: queries.lowerBound)
    for row in 0..<queries.count {
      let (reference, inverse) = (problem.rows.references[first + row], problem.rows.inverses[first + row])
      let scores = weights + row * stride
      if reference.isFinite, inverse.isFinite {
        kernels.pointee.weights_row(scores, reference, inverse, scores, columns.count)
      } else {
        scores.update(repeating: 0, count: columns.count)
      }
    }
    drop(weights, into: dropped, columns: columns.count)
    return true
  }

  private mutating func takeRows() {
    let first = problem.rows.position(sequence: sequence, head: head, query: queries.lowerBound)
    queryRows = problem.query.row(sequence: sequence, head: head, row: queries.lowerBound)
    queryStride = problem.query.strides.row
    upstreamRows = problem.upstream.row(sequence: sequence, head: head, row: queries.lowerBound)
    upstreamStride = problem.upstream.strides.row
    hasSpecialRows = (first..<first + queries.count).contains { problem.rows.inverses[$0].isNaN }
    guard hasSpecialRows else { return }
    copy(queryRows, queryStride, queries, width: tiling.keyWidth, into: cleanQueries) { isSpecial(query: $0) }
    copy(upstreamRows, upstreamStride, queries, width: tiling.valueWidth, into: cleanUpstream) {
      isSpecial(query: $0)
    }
    (queryRows, queryStride) = (UnsafePointer(cleanQueries), tiling.keyWidth)
    (upstreamRows, upstreamStride) = (UnsafePointer(cleanUpstream), tiling.valueWidth)
  }

  private func mask(_ columns: Range<Int>) {
    let start = keys.lowerBound
    if !masks.geometry.isIntervalsOnly {
      for (index, query) in queries.enumerated() {
        let visible = max(lower[index], start)..<max(lower[index], start, min(upper[index], start + columns.count))
        guard !visible.isEmpty else { continue }
        masks.geometry.apply(
          to: weights + index * stride + visible.lowerBound - start, sequence: sequence, head: head, query: query,
          keys: visible, kernels: kernels)
      }
    }
    kernels.pointee.keep_intervals(weights, stride, queries.count, columns.count, start, lower, upper)
  }

  private func drop(_ source: UnsafeMutablePointer<Float>, into target: UnsafeMutablePointer<Float>, columns: Int) {
    guard let dropout = problem.dropout else { return }
    for (index, query) in queries.enumerated() {
      dropout.apply(
        to: source + index * stride, into: target + index * stride, count: columns, row: rowPlace(query),
        firstKey: keys.lowerBound)
    }
  }

  func rowPlace(_ query: Int) -> AttentionDropout.RowPlace {
    .init(sequence: sequence, heads: problem.shape.heads, head: head, query: query)
  }

  // MARK: Gradients

  /// The gradients of the scores that biases were added to, in `gradients`.
  func computeBiasedGradients() {
    let count = keys.count
    let start = keys.lowerBound - block * tiling.blockKeys
    if tiling.valueWidth > 0 {
      MatrixProduct.multiplyTile(
        rows: queries.count, columns: start..<start + count, inner: 0..<tiling.valueWidth, chunk: tiling.chunk,
        upstreamRows, leftStride: upstreamStride, valuePanel, valueLayout, into: gradients, resultStride: stride)
    } else {
      gradients.update(repeating: 0, count: queries.count * stride)
    }
    drop(gradients, into: gradients, columns: count)
    let first = problem.rows.position(sequence: sequence, head: head, query: queries.lowerBound)
    kernels.pointee.score_gradients(
      weights, gradients, stride, queries.count, count, problem.rows.means + first)
  }

  /// The gradients of the products of queries and keys, but for the scale.
  func computeGradients() {
    computeBiasedGradients()
    guard let cap = problem.softcap else { return }
    for row in 0..<queries.count {
      kernels.pointee.softcap_gradients(capped + row * stride, cap, gradients + row * stride, keys.count)
    }
  }

  /// target `[queries, dk]` += scale · gradients · keys.
  func addQueryGradients(to target: UnsafeMutablePointer<Float>, stride targetStride: Int) {
    let start = block * tiling.blockKeys
    MatrixProduct.multiplyTile(
      rows: queries.count, columns: 0..<tiling.keyWidth, inner: keys.lowerBound - start..<keys.upperBound - start,
      factor: problem.scale, gradients, leftStride: stride, keyRows,
      PanelLayout(rowStride: keyStride, columns: tiling.keyWidth, panelColumns: tiling.panelColumns), into: target,
      resultStride: targetStride, adding: true)
  }

  /// target `[keys, dk]` += scale · gradientsᵀ · queries.
  func addKeyGradients(to target: UnsafeMutablePointer<Float>, stride targetStride: Int) {
    addTransposed(
      gradients, queryRows, queryStride, width: tiling.keyWidth, factor: problem.scale, to: target, targetStride)
  }

  /// target `[keys, dv]` += weightsᵀ · upstream.
  func addValueGradients(to target: UnsafeMutablePointer<Float>, stride targetStride: Int) {
    addTransposed(
      problem.dropout == nil ? weights : dropped, upstreamRows, upstreamStride, width: tiling.valueWidth, factor: 1,
      to: target, targetStride)
  }

  private func addTransposed(
    _ left: UnsafePointer<Float>, _ right: UnsafePointer<Float>, _ rightStride: Int, width: Int, factor: Float,
    to target: UnsafeMutablePointer<Float>, _ targetStride: Int
  ) {
    for column in Swift.stride(from: 0, to: width, by: min(tiling.panelColumns, max(1, width))) {
      MatrixProduct.multiplyTile(
        rows: keys.count, columns: min(tiling.panelColumns, width - column), inner: queries.count, factor: factor,
        left, leftStride: stride, transposingLeft: true, right + column, rightStride: rightStride,
        into: target + column, resultStride: targetStride, adding: true)
    }
  }
}
