import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What becomes of a tile's sums: rows of the output, and what else was asked for.
extension FusedTile {
  // MARK: Results

  /// All of it for the rows at hand: output, log-sum-exp, and what else was asked for.
  func run() { finish(accumulate(segments: visibleSegments)) }

  /// Writes the results of the rows from their sums.
  func finish(_ sums: RowSums) {
    var sums = sums
    if let partial = problem.partial {
      factors.update(repeating: 1, count: rows.count)
      if !isFinite(sums) { sums = repaired() }
      return write(sums, to: partial)
    }
    if !divide(sums) {
      factors.update(repeating: 1, count: rows.count)
      if !isFinite(sums) { sums = repaired() }
      divideOneByOne(sums)
    }
    writeLogSumExp(sums)
    writeStatistics(sums)
    writeExtras(sums)
  }

  private func writeStatistics(_ sums: RowSums) {
    guard problem.statistics != nil else { return }
    for (index, place) in keys.places.enumerated() {
      let (reference, sum) = (sums.references[index], sums.sums[index])
      let isEmpty = state(index, reference: reference) == .empty
      problem.writeStatistics(
        sequence: sequence, head: place.head, row: place.query, reference: reference,
        sum: isEmpty ? 0 : reference.isFinite ? sum : .nan)
    }
  }

  /// Writes the rows as if all of them were finite; whether they are.
  private func divide(_ sums: RowSums) -> Bool {
    let (width, padded) = (tiling.valueWidth, tiling.paddedValueWidth)
    func divide(_ index: Int, count: Int, into target: UnsafeMutablePointer<Float>) -> Bool {
      kernels.pointee.finish_rows(
        sums.output + index * padded, padded, count, sums.references + index, sums.sums + index, target,
        problem.output.strides.row, width)
    }
    if keys.heads.count == 1 {
      let target = problem.output.row(sequence: sequence, head: keys.heads.lowerBound, row: rows.lowerBound)
      return divide(0, count: rows.count, into: target)
    }
    var isFinite = true
    for (index, place) in keys.places.enumerated() {
      let target = problem.output.row(sequence: sequence, head: place.head, row: place.query)
      isFinite = divide(index, count: 1, into: target) && isFinite
    }
    return isFinite
  }

  /// Writes the rows where some are not finite, or see nothing.
  private func divideOneByOne(_ sums: RowSums) {
    for (index, place) in keys.places.enumerated() {
      let target = problem.output.row(sequence: sequence, head: place.head, row: place.query)
      switch state(index, reference: sums.references[index]) {
      case .finite:
        _ = kernels.pointee.finish_rows(
          sums.output + index * tiling.paddedValueWidth, 0, 1, sums.references + index, sums.sums + index, target, 0,
          tiling.valueWidth)
        if factors[index] != 1 { kernels.pointee.scale(target, factors[index], target, tiling.valueWidth) }
      case .empty: target.update(repeating: 0, count: tiling.valueWidth)
      case .undefined: target.update(repeating: .nan, count: tiling.valueWidth)
      }
    }
  }

  private func writeLogSumExp(_ sums: RowSums) {
    guard let logSumExp = problem.logSumExp else { return }
    var maxima: [Float]?
    for (index, place) in keys.places.enumerated() {
      let (reference, sum) = (sums.references[index], sums.sums[index])
      let target = logSumExp.row(sequence: sequence, head: place.head, row: place.query)
      switch state(index, reference: reference) {
      case .finite: target.pointee = Float(Double(reference) + log(Double(sum)))
      case .empty: target.pointee = -.infinity
      case .undefined: target.pointee = maximum(index, of: &maxima)
      }
    }
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
    return masks.geometry.seesNothing(
      sequence: sequence, head: place.head, query: place.query,
      keys: lower[index]..<max(lower[index], upper[index]), kernels: kernels)
  }

  /// The largest score of a row that has no finite one, or a NaN if it holds one.
  ///
  /// - Parameter maxima: those of all rows, once they were looked for.
  func maximum(_ index: Int, of maxima: inout [Float]?) -> Float {
    if let maxima { return maxima[index] }
    var found = [Float](repeating: -.infinity, count: rows.count)
    forEachScoreBlock { _, columns in
      for row in found.indices where !found[row].isNaN {
        let largest = kernels.pointee.max(scores + row * scoreStride, columns.count)
        if !(largest <= found[row]) { found[row] = largest }
      }
    }
    maxima = found
    return found[index]
  }

  private func isFinite(_ sums: RowSums) -> Bool {
    kernels.pointee.all_finite(sums.output, rows.count * tiling.paddedValueWidth)
  }

  // MARK: Values that are not finite

  /// What large values are multiplied by so that their sums, before the division, stay finite.
  private static let shrinking: Float = 0x1p-64

  /// The scalars of memory that a tile takes beside its own when some sums are not finite.
  static func repairScalars(_ tiling: FusedTiling) -> Int {
    tiling.valueBlockScalars + (tiling.maximumRows + 1) * tiling.paddedValueWidth
  }

  /// Sums where some are not finite. A value behind a mask may be NaN or infinite, and a product spreads it over rows that
  /// do not see it: so the same sums over zeros in their place, which changes no other row, and then each such value
  /// added to the rows that see it. What overflows even so is summed once more over smaller values.
  private func repaired() -> RowSums {
    let width = tiling.paddedValueWidth
    let memory = TensorStorage(minimumCapacity: tiling.valueBlockScalars + (rows.count + 1) * width)
    defer { withExtendedLifetime(memory) {} }
    let shrunken = memory.base + tiling.valueBlockScalars
    let values = shrunken + rows.count * width
    var sums = accumulate(segments: visibleSegments, cleaned: (memory.base, 1))
    factors.update(repeating: 1, count: rows.count)
    func overflows(_ index: Int) -> Bool {
      // Where the sum of the weights is NaN, so is the row, whatever its values.
      !sums.sums[index].isNaN && !kernels.pointee.all_finite(sums.output + index * width, width)
    }
    if (0..<rows.count).contains(where: overflows) {
      sums = accumulate(segments: visibleSegments, cleaned: (memory.base, Self.shrinking))
      shrunken.update(from: sums.output, count: rows.count * width)
      sums = accumulate(segments: visibleSegments, cleaned: (memory.base, 1))
      factors.update(repeating: 1, count: rows.count)
      for index in 0..<rows.count where overflows(index) {
        (sums.output + index * width).update(from: shrunken + index * width, count: width)
        factors[index] = 1 / Self.shrinking
      }
    }
    forEachWeightBlock(sums) { block, columns in
      drop(block, columns)
      let start = block * tiling.blockKeys
      for key in (columns.lowerBound + start..<columns.upperBound + start).clamped(to: blocks.first..<blocks.count) {
        blocks.copyValues(key, into: values)
        guard !kernels.pointee.all_finite(values, tiling.valueWidth) else { continue }
        // The others are in the sums.
        for column in 0..<tiling.valueWidth where values[column].isFinite { values[column] = 0 }
        for (index, row) in rows.enumerated() where lower[index] <= key && key < upper[index] {
          let place = place(row)
          guard
            masks.geometry.cellAllows(sequence: sequence, head: place.head, query: place.query, key: key)
          else { continue }
          let weight = scores[index * scoreStride + key - start - columns.lowerBound]
          kernels.pointee.axpy(weight, values, sums.output + index * tiling.paddedValueWidth, tiling.valueWidth)
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
        let row = scores + index * scoreStride
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
        let row = scores + index * scoreStride
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
      scores[index * scoreStride + column] = isVisible ? .nan : 0
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
      (outputRow(output, row) + start).update(from: scores + index * scoreStride, count: count)
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
          kernels.pointee.softcap(scores + row * scoreStride, scores + row * scoreStride, cap, columns.count)
        }
      }
      copyScores(block, columns, to: output)
    }
  }
}
