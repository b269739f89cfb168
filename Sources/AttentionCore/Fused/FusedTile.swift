import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

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
  private let query: UnsafeMutablePointer<Float>
  private let scores: UnsafeMutablePointer<Float>
  private let accumulator: RowSums
  private let merged: RowSums
  let factors: UnsafeMutablePointer<Float>
  private let lower: UnsafeMutablePointer<Int>
  private let upper: UnsafeMutablePointer<Int>

  // The rows at hand.
  private var blocks: KeyBlocks
  private var keys: TileKeys
  var rows: Range<Int> { keys.rows }
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
    query = take(rows * tiling.keyWidth)
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
    for (index, row) in rows.enumerated() {
      let place = place(row)
      (query + index * width).update(
        from: problem.query.row(sequence: sequence, head: place.head, row: place.query), count: width)
    }
  }

  func place(_ row: Int) -> (query: Int, head: Int) { TileKeys.place(row, heads: keys.heads) }

  // MARK: Keys

  /// The scores of these columns of a block, capped and masked: masked ones are −∞.
  private func score(_ block: Int, _ columns: Range<Int>, isPartial: Bool) {
    multiplyQuery(block, columns)
    if let cap = problem.softcap {
      for row in 0..<rows.count {
        kernels.pointee.softcap(scores + row * tiling.blockKeys, scores + row * tiling.blockKeys, cap, columns.count)
      }
    }
    if isPartial { mask(block, columns) }
  }

  private func multiplyQuery(_ block: Int, _ columns: Range<Int>) {
    let panel = blocks.panel(block) + columns.lowerBound
    // A factor of 0 lets BLAS skip the product, and 0·NaN would become 0.
    let factor = problem.scale == 0 ? 1 : problem.scale
    for first in stride(from: 0, to: tiling.keyWidth, by: tiling.chunk) {
      MatrixProduct.multiplyTile(
        rows: rows.count, columns: columns.count, inner: min(tiling.chunk, tiling.keyWidth - first), factor: factor,
        query + first, leftStride: tiling.keyWidth, panel + first * tiling.blockKeys, rightStride: tiling.blockKeys,
        into: scores, resultStride: tiling.blockKeys, adding: first > 0)
    }
    guard problem.scale == 0 else { return }
    for row in 0..<rows.count {
      kernels.pointee.scale(scores + row * tiling.blockKeys, 0, scores + row * tiling.blockKeys, columns.count)
    }
  }

  private func mask(_ block: Int, _ columns: Range<Int>) {
    let start = block * tiling.blockKeys + columns.lowerBound
    for (index, row) in rows.enumerated() {
      let scores = scores + index * tiling.blockKeys
      let keys = max(lower[index], start)..<max(lower[index], start, min(upper[index], start + columns.count))
      guard !keys.isEmpty else {
        scores.update(repeating: -.infinity, count: columns.count)
        continue
      }
      if !masks.geometry.isIntervalsOnly {
        let place = place(row)
        masks.geometry.apply(
          to: scores + keys.lowerBound - start, sequence: sequence, head: place.head, query: place.query, keys: keys,
          kernels: kernels)
      }
      scores.update(repeating: -.infinity, count: keys.lowerBound - start)
      (scores + keys.upperBound - start).update(repeating: -.infinity, count: start + columns.count - keys.upperBound)
    }
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
        scores, tiling.blockKeys, rows.count, columns.count, sums.references, sums.sums, factors)
      if rescales, !isFirst { kernels.pointee.scale_rows(sums.output, padded, rows.count, padded, factors) }
      multiplyValues(block, columns, into: sums.output, adding: !isFirst, cleaned: cleaned)
      isFirst = false
    }
    if isFirst { sums.output.update(repeating: 0, count: rows.count * padded) }
  }

  private func multiplyValues(
    _ block: Int, _ columns: Range<Int>, into output: UnsafeMutablePointer<Float>, adding: Bool,
    cleaned: KeyBlocks.Cleaned?
  ) {
    // No row before the first key or beyond the last one is read.
    let start = block * tiling.blockKeys
    let keys = (columns.lowerBound + start..<columns.upperBound + start).clamped(to: blocks.first..<blocks.count)
    let values = blocks.values(from: keys.lowerBound, cleaned: cleaned)
    for first in stride(from: 0, to: tiling.paddedValueWidth, by: tiling.chunk) {
      MatrixProduct.multiplyTile(
        rows: rows.count, columns: min(tiling.chunk, tiling.paddedValueWidth - first), inner: keys.count,
        scores + keys.lowerBound - start - columns.lowerBound, leftStride: tiling.blockKeys, values.base + first,
        rightStride: values.stride, into: output + first, resultStride: tiling.paddedValueWidth, adding: adding)
    }
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

  // MARK: Results

  /// All of it for the rows at hand: output, log-sum-exp, and what else was asked for.
  func run() { finish(accumulate(segments: visibleSegments)) }

  /// Writes the results of the rows from their sums.
  func finish(_ sums: RowSums) {
    var sums = sums
    factors.update(repeating: 1, count: rows.count)
    if !isFinite(sums) { sums = repaired() }
    if let partial = problem.partial { return write(sums, to: partial) }
    for (index, row) in rows.enumerated() {
      let place = place(row)
      let (reference, sum) = (sums.references[index], sums.sums[index])
      let target = problem.output.row(sequence: sequence, head: place.head, row: place.query)
      let state = state(index, reference: reference)
      switch state {
      case .finite:
        kernels.pointee.finish_row(
          sums.output + index * tiling.paddedValueWidth, 1 / sum, target, tiling.valueWidth)
        if factors[index] != 1 { kernels.pointee.scale(target, factors[index], target, tiling.valueWidth) }
      case .empty: target.update(repeating: 0, count: tiling.valueWidth)
      case .undefined: target.update(repeating: .nan, count: tiling.valueWidth)
      }
      problem.logSumExp?.row(sequence: sequence, head: place.head, row: place.query).pointee =
        state == .finite ? Float(Double(reference) + log(Double(sum))) : maximum(index)
    }
    writeExtras(sums)
  }

  /// What the softmax of a row comes to.
  private enum RowState { case finite, empty, undefined }

  private func state(_ index: Int, reference: Float) -> RowState {
    guard !reference.isFinite else { return .finite }
    // A NaN makes the sum NaN, whatever the reference. Of rows that never saw a finite score, some see nothing.
    guard reference == -.infinity else { return .undefined }
    return seesNothing(index) ? .empty : .undefined
  }

  func seesNothing(_ index: Int) -> Bool {
    let place = place(rows.lowerBound + index)
    return (lower[index]..<max(lower[index], upper[index])).allSatisfy {
      !masks.geometry.cellAllows(sequence: sequence, head: place.head, query: place.query, key: $0)
    }
  }

  /// The largest score of a row that has no finite one, or a NaN if it holds one.
  func maximum(_ index: Int) -> Float {
    var maximum = -Float.infinity
    forEachScoreBlock { _, columns in
      let largest = kernels.pointee.max(scores + index * tiling.blockKeys, columns.count)
      if !(largest <= maximum) && !maximum.isNaN { maximum = largest }
    }
    return maximum
  }

  private func isFinite(_ sums: RowSums) -> Bool {
    kernels.pointee.all_finite(sums.output, rows.count * tiling.paddedValueWidth)
  }

  // MARK: Values that are not finite

  /// What large values are multiplied by so that their sums, before the division, stay finite.
  private static let shrinking: Float = 0x1p-64

  /// Sums where some are not finite. A value behind a mask may be NaN or infinite, and a product spreads it over rows that
  /// do not see it: so the same sums over zeros in their place, which changes no other row, and then each such value
  /// added to the rows that see it. What overflows even so is summed once more over smaller values.
  private func repaired() -> RowSums {
    let memory = TensorStorage(minimumCapacity: tiling.valueBlockScalars + rows.count * tiling.paddedValueWidth)
    defer { withExtendedLifetime(memory) {} }
    let width = tiling.paddedValueWidth
    let shrunken = memory.base + tiling.valueBlockScalars
    var sums = accumulate(segments: visibleSegments, cleaned: (memory.base, 1))
    factors.update(repeating: 1, count: rows.count)
    if !isFinite(sums) {
      sums = accumulate(segments: visibleSegments, cleaned: (memory.base, Self.shrinking))
      shrunken.update(from: sums.output, count: rows.count * width)
      sums = accumulate(segments: visibleSegments, cleaned: (memory.base, 1))
      factors.update(repeating: 1, count: rows.count)
      for index in 0..<rows.count where !kernels.pointee.all_finite(sums.output + index * width, width) {
        (sums.output + index * width).update(from: shrunken + index * width, count: width)
        factors[index] = 1 / Self.shrinking
      }
    }
    forEachWeightBlock(sums) { block, columns in
      let start = block * tiling.blockKeys
      for key in (columns.lowerBound + start..<columns.upperBound + start).clamped(to: blocks.first..<blocks.count) {
        let values = blocks.value(key)
        guard !kernels.pointee.all_finite(values, tiling.valueWidth) else { continue }
        for (index, row) in rows.enumerated() where lower[index] <= key && key < upper[index] {
          let place = place(row)
          guard
            masks.geometry.cellAllows(sequence: sequence, head: place.head, query: place.query, key: key)
          else { continue }
          let weight = scores[index * tiling.blockKeys + key - start - columns.lowerBound]
          let output = sums.output + index * tiling.paddedValueWidth
          for column in 0..<tiling.valueWidth where !values[column].isFinite {
            output[column] += weight * values[column]
          }
        }
      }
    }
    return sums
  }

  // MARK: Extras

  /// Calls `body` for each visible block with its weights, not yet divided by their sum, in `scores`.
  private func forEachWeightBlock(_ sums: RowSums, _ body: (Int, Range<Int>) -> Void) {
    forEachScoreBlock { block, columns in
      for index in 0..<rows.count {
        let row = scores + index * tiling.blockKeys
        let reference = sums.references[index]
        if reference.isFinite {
          kernels.pointee.weights_row(row, reference, 1, row, columns.count)
        } else {
          row.update(repeating: 0, count: columns.count)
        }
      }
      body(block, columns)
    }
  }

  private func forEachScoreBlock(_ body: (Int, Range<Int>) -> Void) {
    for block in keys.blocks {
      guard let (columns, isPartial) = keys.visit(block) else { continue }
      score(block, columns, isPartial: isPartial)
      body(block, columns)
    }
  }

  private func writeExtras(_ sums: RowSums) {
    for stage in [AttentionScoreStage.raw, .capped] {
      if let output = problem.scoreOutput(stage) { writeScores(stage, to: output) }
    }
    if let output = problem.scoreOutput(.biased) {
      fill(output, with: -.infinity)
      forEachScoreBlock { block, columns in copyScores(block, columns, to: output) }
    }
    guard let output = problem.weights else { return }
    fill(output, with: 0)
    forEachWeightBlock(sums) { block, columns in
      for index in 0..<rows.count {
        let row = scores + index * tiling.blockKeys
        kernels.pointee.scale(row, 1 / sums.sums[index], row, columns.count)
        if !sums.references[index].isFinite || sums.sums[index].isNaN { markUndefined(index, block, columns) }
      }
      copyScores(block, columns, to: output)
    }
  }

  /// Weights of a row without a finite maximum: NaN where the mask is open, 0 behind it.
  private func markUndefined(_ index: Int, _ block: Int, _ columns: Range<Int>) {
    let place = place(rows.lowerBound + index)
    let start = block * tiling.blockKeys + columns.lowerBound
    for column in 0..<columns.count {
      let key = start + column
      let isVisible =
        lower[index] <= key && key < upper[index]
        && masks.geometry.cellAllows(sequence: sequence, head: place.head, query: place.query, key: key)
      scores[index * tiling.blockKeys + column] = isVisible ? .nan : 0
    }
  }

  private func outputRow(_ output: AttentionProblem.ScoreOutput, _ row: Int) -> UnsafeMutablePointer<Float> {
    let place = place(row)
    return output.row(sequence: sequence, head: place.head, row: place.query)
  }

  private func fill(_ output: AttentionProblem.ScoreOutput, with value: Float) {
    let keys = problem.shape.keyLengths[sequence]
    for row in rows { outputRow(output, row).update(repeating: value, count: keys) }
  }

  private func copyScores(_ block: Int, _ columns: Range<Int>, to output: AttentionProblem.ScoreOutput) {
    let start = block * tiling.blockKeys + columns.lowerBound
    let count = min(columns.count, blocks.count - start)
    for (index, row) in rows.enumerated() {
      (outputRow(output, row) + start).update(from: scores + index * tiling.blockKeys, count: count)
    }
  }

  /// Writes the scores of a stage before the mask, over all keys that exist.
  private func writeScores(_ stage: AttentionScoreStage, to output: AttentionProblem.ScoreOutput) {
    fill(output, with: -.infinity)
    for block in 0..<tiling.blocks(keys: blocks.count) {
      let columns = 0..<ProductTiles.padded(blocks.keys(of: block).count)
      multiplyQuery(block, columns)
      if stage == .capped, let cap = problem.softcap {
        for row in 0..<rows.count {
          kernels.pointee.softcap(scores + row * tiling.blockKeys, scores + row * tiling.blockKeys, cap, columns.count)
        }
      }
      copyScores(block, columns, to: output)
    }
  }
}
