import AttentionTensors
import CAttentionKernels

/// Some rows of one sequence and kv head, and the state of their softmax while the keys go by.
///
/// The rows of a group are stacked query by query: row r is query r / G in the group's head r mod G. Blocks of keys go
/// by in order; scores of a block live in one tile that stays in the nearest cache.
struct FusedTile {
  let problem: AttentionProblem
  let masks: FusedMasks
  let tiling: FusedTiling
  let kernels = KernelSet.kernels

  // Memory of the task that owns the tile.
  private let gathered: UnsafeMutablePointer<Float>
  let scores: UnsafeMutablePointer<Float>
  private let accumulator: RowSums
  private let merged: RowSums
  let factors: UnsafeMutablePointer<Float>
  let lower: UnsafeMutablePointer<Int>
  let upper: UnsafeMutablePointer<Int>

  // The rows at hand.
  var blocks: KeyBlocks
  var keys: TileKeys
  /// `[rows, dk]`, where they are or gathered.
  private var query: UnsafePointer<Float>
  var rows: Range<Int> { keys.rows }
  /// From row to row of the scores: those of short sequences lie close together.
  var scoreStride: Int { blocks.keyLayout.columns }
  var sequence: Int { keys.sequence }

  static func scalars(_ tiling: FusedTiling) -> Int {
    tiling.tileScalars + 4 * ProductTiles.padded(tiling.maximumRows)
  }

  /// - Parameter memory: room for ``scalars(_:)``, 64-byte aligned.
  init(
    _ problem: AttentionProblem, _ masks: FusedMasks, _ tiling: FusedTiling, memory: UnsafeMutablePointer<Float>
  ) {
    self.problem = problem
    self.masks = masks
    self.tiling = tiling
    blocks = KeyBlocks(problem, tiling, sequence: 0, keyValueHead: 0)
    keys = TileKeys(masks, blockKeys: tiling.blockKeys, sequence: 0, heads: 0..<1, rows: 0..<0)
    let rows = tiling.maximumRows
    let padded = ProductTiles.padded(rows)
    var next = memory
    func take(_ count: Int) -> UnsafeMutablePointer<Float> {
      defer { next += count }
      return next
    }
    scores = take(rows * tiling.blockKeys)
    accumulator = RowSums(
      output: take(rows * tiling.paddedValueWidth), references: take(padded), sums: take(padded))
    merged = RowSums(output: take(rows * tiling.paddedValueWidth), references: take(padded), sums: take(padded))
    factors = take(padded)
    lower = UnsafeMutableRawPointer(take(2 * padded)).bindMemory(to: Int.self, capacity: padded)
    upper = UnsafeMutableRawPointer(take(2 * padded)).bindMemory(to: Int.self, capacity: padded)
    gathered = take(rows * tiling.keyWidth)
    query = UnsafePointer(gathered)
  }

  // MARK: Rows

  /// Takes up rows: gathers their queries and the keys that they see.
  mutating func begin(sequence: Int, keyValueHead: Int, rows: Range<Int>, blocks: KeyBlocks) {
    self.blocks = blocks
    let group = problem.shape.group
    let width = tiling.keyWidth
    let (lower, upper) = (lower, upper)
    keys = TileKeys(
      masks, blockKeys: tiling.blockKeys, sequence: sequence,
      heads: keyValueHead * group..<(keyValueHead + 1) * group, rows: rows
    ) { index, keys in
      lower[index] = keys.lowerBound
      upper[index] = keys.upperBound
    }
    if group == 1, problem.query.strides.row == width {
      query = problem.query.row(sequence: sequence, head: keyValueHead, row: rows.lowerBound)
      return
    }
    // Rows far apart would share few sets of the cache.
    for (index, place) in keys.places.enumerated() {
      (gathered + index * width).update(
        from: problem.query.row(sequence: sequence, head: place.head, row: place.query), count: width)
    }
    query = UnsafePointer(gathered)
  }

  func place(_ row: Int) -> (query: Int, head: Int) { TileKeys.place(row, heads: keys.heads) }

  // MARK: Keys

  /// The scores of these columns of a block, capped and masked: masked ones are −∞.
  func score(_ block: Int, _ columns: Range<Int>, isPartial: Bool) {
    multiplyQuery(block, columns)
    if let cap = problem.softcap {
      for row in 0..<rows.count {
        kernels.pointee.softcap(scores + row * scoreStride, scores + row * scoreStride, cap, columns.count)
      }
    }
    if isPartial { mask(block, columns) }
  }

  func multiplyQuery(_ block: Int, _ columns: Range<Int>) {
    // A factor of 0 lets BLAS skip the product, and 0·NaN would become 0.
    let factor = problem.scale == 0 ? 1 : problem.scale
    MatrixProduct.multiplyTile(
      rows: rows.count, columns: columns, inner: 0..<tiling.keyWidth, chunk: tiling.chunk, factor: factor,
      query, leftStride: tiling.keyWidth, blocks.panel(block), blocks.keyLayout, into: scores,
      resultStride: scoreStride)
    guard problem.scale == 0 else { return }
    for row in 0..<rows.count {
      kernels.pointee.scale(scores + row * scoreStride, 0, scores + row * scoreStride, columns.count)
    }
  }

  private func mask(_ block: Int, _ columns: Range<Int>) {
    let start = block * tiling.blockKeys + columns.lowerBound
    if !masks.geometry.isIntervalsOnly {
      for (index, place) in keys.places.enumerated() {
        let keys = max(lower[index], start)..<max(lower[index], start, min(upper[index], start + columns.count))
        guard !keys.isEmpty else { continue }
        masks.geometry.apply(
          to: scores + index * scoreStride + keys.lowerBound - start, sequence: sequence, head: place.head,
          query: place.query, keys: keys, kernels: kernels)
      }
    }
    kernels.pointee.keep_intervals(scores, scoreStride, rows.count, columns.count, start, lower, upper)
  }

  // MARK: Softmax and values

  /// Sums up the keys of one segment into `sums`, which need not be initialised.
  private func accumulate(segment: Int, into sums: RowSums, cleaned: KeyBlocks.Cleaned?) {
    let padded = tiling.paddedValueWidth
    sums.references.update(repeating: -.infinity, count: rows.count)
    sums.sums.update(repeating: 0, count: rows.count)
    var isFirst = true
    let first = segment * FusedTiling.segmentBlocks
    for block in keys.blocks.clamped(to: first..<first + FusedTiling.segmentBlocks) {
      guard let (columns, isPartial) = keys.visit(block) else { continue }
      score(block, columns, isPartial: isPartial)
      let rescales = kernels.pointee.softmax_tile(
        scores, scoreStride, rows.count, columns.count, sums.references, sums.sums, factors)
      drop(block, columns)
      if rescales, !isFirst { kernels.pointee.scale_rows(sums.output, padded, rows.count, padded, factors) }
      multiplyValues(block, columns, into: sums.output, adding: !isFirst, cleaned: cleaned)
      isFirst = false
    }
    if isFirst { sums.output.update(repeating: 0, count: rows.count * padded) }
  }

  /// Drops weights that are not divided by their sums yet: the sums are those of all of them.
  func drop(_ block: Int, _ columns: Range<Int>) {
    guard let dropout = problem.dropout else { return }
    for (index, place) in keys.places.enumerated() {
      let row = AttentionDropout.RowPlace(
        sequence: sequence, heads: problem.shape.heads, head: place.head, query: place.query)
      dropout.apply(
        to: scores + index * scoreStride, into: scores + index * scoreStride, count: columns.count, row: row,
        firstKey: block * tiling.blockKeys + columns.lowerBound)
    }
  }

  private func multiplyValues(
    _ block: Int, _ columns: Range<Int>, into output: UnsafeMutablePointer<Float>, adding: Bool,
    cleaned: KeyBlocks.Cleaned?
  ) {
    // No row before the first key or beyond the last one is read.
    let start = block * tiling.blockKeys
    let keys = (columns.lowerBound + start..<columns.upperBound + start).clamped(to: blocks.first..<blocks.count)
    let values = blocks.values(block, cleaned: cleaned)
    MatrixProduct.multiplyTile(
      rows: rows.count, columns: 0..<tiling.paddedValueWidth,
      inner: keys.lowerBound - values.firstKey..<keys.upperBound - values.firstKey,
      scores + keys.lowerBound - start - columns.lowerBound, leftStride: scoreStride, values.base, values.layout,
      into: output, resultStride: tiling.paddedValueWidth, adding: adding)
  }

  /// Sums up segments in order, merging each into the ones before.
  ///
  /// - Parameter cleaned: to take zeros for the values that are not finite.
  func accumulate(
    segments: Range<Int>, into target: RowSums? = nil, cleaned: KeyBlocks.Cleaned? = nil
  ) -> RowSums {
    let used = segments.clamped(to: visibleSegments)
    let into = target ?? merged
    guard !used.isEmpty else {
      into.clear(rows: rows.count, width: tiling.paddedValueWidth)
      return into
    }
    accumulate(segment: used.lowerBound, into: into, cleaned: cleaned)
    for segment in used.dropFirst() {
      accumulate(segment: segment, into: accumulator, cleaned: cleaned)
      into.merge(accumulator, rows: rows.count, width: tiling.paddedValueWidth, kernels: kernels)
    }
    return into
  }

  var visibleSegments: Range<Int> {
    keys.union.isEmpty
      ? 0..<0 : keys.union.lowerBound / tiling.segmentKeys..<tiling.segments(keys: keys.union.upperBound)
  }
}
