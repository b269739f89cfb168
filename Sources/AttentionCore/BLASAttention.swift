import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Attention by `cblas_sgemm`: for a block of query rows one product gives their scores over all keys that any of them
/// sees, kernels mask and normalise each row, and one more product gives the output.
///
/// A block is cut by the lengths of its sequence alone, and belongs to one task, so that results do not depend on the
/// number of threads. Blocks rather than whole heads keep the scores in the cache and the memory bounded, give one
/// head work for several threads, and let a causal mask leave out what lies right of the diagonal.
func runBLAS(_ problem: AttentionProblem) {
  let blocks = ScoreBlock.all(problem.shape)
  let operations = blocks.reduce(0.0) {
    $0 + 2 * Double($1.rows.count * problem.shape.keyLengths[$1.sequence])
      * Double(problem.shape.keyWidth + problem.shape.valueWidth)
  }
  WorkerPool.shared.forEach(blocks.count, inline: operations < 1e6) { index in
    BLASBlock(problem, blocks[index]).run()
  }
}

/// Some query rows of one head of one sequence.
struct ScoreBlock: Sendable {
  let sequence: Int
  let head: Int
  let rows: Range<Int>

  /// The scores of a block at the most, so that they stay in an L2 cache unless a few rows take more.
  private static let maximumScores = 1 << 18
  /// The rows of a block at the most: a causal mask cuts away what lies right of each block's own diagonal.
  private static let maximumRows = 128

  /// The rows of a block for sequences of these lengths: a function of the lengths alone.
  static func rowCount(queries: Int, keys: Int) -> Int {
    let rows = min(maximumRows, max(48, maximumScores / max(1, keys)))
    guard rows < queries else { return max(1, queries) }
    // Blocks of nearly equal height, in whole sixteens, as OpenBLAS's kernels take them.
    let blocks = (queries + rows - 1) / rows
    return ((queries + blocks - 1) / blocks + 15) / 16 * 16
  }

  /// From one row of scores to the next: whole cache lines, an odd number of them. Rows a power of 2 apart would share
  /// the few lines of a cache set.
  static func rowStride(keys: Int) -> Int { ((keys + 15) / 16 | 1) * 16 }

  /// The blocks of a call; the last rows of a head first, since under a causal mask they see the most keys.
  static func all(_ shape: AttentionShape) -> [ScoreBlock] {
    var blocks: [ScoreBlock] = []
    for sequence in 0..<shape.sequenceCount {
      let queries = shape.queryLengths[sequence]
      let step = rowCount(queries: queries, keys: shape.keyLengths[sequence])
      for head in 0..<shape.heads {
        for first in stride(from: 0, to: queries, by: step).reversed() {
          blocks.append(ScoreBlock(sequence: sequence, head: head, rows: first..<min(queries, first + step)))
        }
      }
    }
    return blocks
  }
}

/// The keys that the rows of a block see, taken together.
struct VisibleKeys {
  /// From the first to the last key that any row sees.
  let union: Range<Int>
  /// Whether some row does not see some key of `union`.
  let isPartial: Bool

  init(_ mask: MaskGeometry, _ block: ScoreBlock) {
    var union: Range<Int>?
    var differ = false
    for query in block.rows {
      let keys = mask.interval(sequence: block.sequence, head: block.head, query: query)
      if let known = union, known != keys { differ = true }
      guard !keys.isEmpty else {
        differ = true
        continue
      }
      union = union.map { min($0.lowerBound, keys.lowerBound)..<max($0.upperBound, keys.upperBound) } ?? keys
    }
    self.union = union ?? 0..<0
    isPartial = differ || !mask.intervalsSuffice
  }
}

/// One block's work.
private struct BLASBlock {
  let problem: AttentionProblem
  let block: ScoreBlock
  let kernels = KernelSet.kernels
  let keyValueHead: Int

  init(_ problem: AttentionProblem, _ block: ScoreBlock) {
    self.problem = problem
    self.block = block
    keyValueHead = problem.shape.keyValueHead(of: block.head)
  }

  func run() {
    for stage in [AttentionScoreStage.raw, .capped] {
      if let output = problem.scoreOutput(stage) { writeScores(stage, to: output) }
    }
    let keys = VisibleKeys(problem.mask, block)
    let stride = ScoreBlock.rowStride(keys: keys.union.count)
    let scratch = TensorStorage(minimumCapacity: block.rows.count * stride)
    let scores = MutableMatrixView(
      base: scratch.base, rows: block.rows.count, columns: keys.union.count, rowStride: stride)
    multiplyQueries(by: keys.union, into: scores)
    for row in 0..<block.rows.count {
      normalise(scores.base + row * stride, union: keys.union, query: block.rows.lowerBound + row)
    }
    multiplyValues(weights: MatrixView(scores), keys)
    withExtendedLifetime(scratch) {}
  }

  /// scale·Q·Kᵀ for the block's rows and these keys.
  private func multiplyQueries(by keys: Range<Int>, into scores: MutableMatrixView) {
    // A factor of 0 lets BLAS skip the product, and 0·NaN would become 0.
    let factor = problem.scale == 0 ? 1 : problem.scale
    let width = problem.shape.keyWidth
    let panel = TensorStorage(minimumCapacity: MatrixProduct.panelScalars(inner: width))
    defer { withExtendedLifetime(panel) {} }
    MatrixProduct.multiplyByPanels(
      MatrixView(
        base: problem.query.row(sequence: block.sequence, head: block.head, row: block.rows.lowerBound),
        rows: block.rows.count, columns: width, rowStride: problem.query.strides.row),
      transposing: MatrixView(
        base: problem.key.row(sequence: block.sequence, head: keyValueHead, row: keys.lowerBound),
        rows: keys.count, columns: width, rowStride: problem.key.strides.row),
      factor: factor, panel: panel.base, into: scores)
    guard problem.scale == 0 else { return }
    for row in 0..<scores.rows {
      let start = scores.base + row * scores.rowStride
      kernels.pointee.scale(start, 0, start, scores.columns)
    }
  }

  /// Turns a row of scores over `union` into weights, in place: zero behind the mask.
  private func normalise(_ row: UnsafeMutablePointer<Float>, union: Range<Int>, query: Int) {
    let (sequence, head) = (block.sequence, block.head)
    let keys = problem.mask.interval(sequence: sequence, head: head, query: query)
    let first = keys.isEmpty ? 0 : keys.lowerBound - union.lowerBound
    let scores = row + first
    if let cap = problem.softcap { kernels.pointee.softcap(scores, scores, cap, keys.count) }
    if !problem.mask.isIntervalsOnly {
      problem.mask.apply(to: scores, sequence: sequence, head: head, query: query, keys: keys, kernels: kernels)
    }
    if let output = problem.scoreOutput(.biased)?.row(sequence: sequence, head: head, row: query) {
      copy(scores, keys, filling: -.infinity, to: output)
    }

    let maximum = kernels.pointee.max(scores, keys.count)
    var sum: Float = 1
    if maximum.isFinite {
      sum = kernels.pointee.exp_sum(scores, maximum, scores, keys.count)
      kernels.pointee.scale(scores, 1 / sum, scores, keys.count)
    } else {
      // Nothing visible gives 0; a maximum of ±∞ or NaN gives NaN wherever the mask is open, as the formula does.
      for key in keys {
        let isVisible = problem.mask.cellAllows(sequence: sequence, head: head, query: query, key: key)
        row[key - union.lowerBound] = isVisible ? .nan : 0
      }
    }
    if keys.count < union.count {
      row.update(repeating: 0, count: first)
      (scores + keys.count).update(repeating: 0, count: union.count - first - keys.count)
    }

    problem.logSumExp?.row(sequence: sequence, head: head, row: query).pointee =
      maximum.isFinite ? maximum + logf(sum) : maximum
    if let output = problem.weights?.row(sequence: sequence, head: head, row: query) {
      copy(scores, keys, filling: 0, to: output)
    }
    if problem.statistics != nil {
      let seesNothing =
        maximum == -.infinity
        && !keys.contains { problem.mask.cellAllows(sequence: sequence, head: head, query: query, key: $0) }
      problem.writeStatistics(
        sequence: sequence, head: head, row: query, reference: maximum,
        sum: maximum.isFinite ? sum : seesNothing ? 0 : .nan)
    }
    if let dropout = problem.dropout {
      let place = AttentionDropout.RowPlace(sequence: sequence, heads: problem.shape.heads, head: head, query: query)
      dropout.apply(to: scores, into: scores, count: keys.count, row: place, firstKey: keys.lowerBound)
    }
  }

  /// Writes the block's rows of weights·V.
  private func multiplyValues(weights: MatrixView, _ keys: VisibleKeys) {
    let width = problem.shape.valueWidth
    let output = MutableMatrixView(
      base: problem.output.row(sequence: block.sequence, head: block.head, row: block.rows.lowerBound),
      rows: block.rows.count, columns: width, rowStride: problem.output.strides.row)
    let values = MatrixView(
      base: problem.value.row(sequence: block.sequence, head: keyValueHead, row: keys.union.lowerBound),
      rows: keys.union.count, columns: width, rowStride: problem.value.strides.row)
    MatrixProduct.multiplyByTiles(weights, values, into: output)
    // 0·NaN and 0·∞ are NaN, so a value behind the mask that is not finite shows in the output.
    guard keys.isPartial else { return }
    let isFinite = (0..<output.rows).allSatisfy {
      kernels.pointee.all_finite(output.base + $0 * output.rowStride, width)
    }
    if !isFinite { multiplyFiniteValues(weights: weights, values: values, keys.union, into: output) }
  }

  /// weights·V where some values are not finite: the same product with zeros in their place, which leaves the bits of
  /// the rows that do not see them as they were; then each is added to the rows that do, key after key.
  private func multiplyFiniteValues(
    weights: MatrixView, values: MatrixView, _ union: Range<Int>, into output: MutableMatrixView
  ) {
    let scratch = TensorStorage(minimumCapacity: values.rows * values.columns)
    for row in 0..<values.rows {
      for column in 0..<values.columns {
        let value = values.base[row * values.rowStride + column]
        scratch.base[row * values.columns + column] = value.isFinite ? value : 0
      }
    }
    let finite = MatrixView(base: scratch.base, rows: values.rows, columns: values.columns, rowStride: values.columns)
    MatrixProduct.multiplyByTiles(weights, finite, into: output)
    withExtendedLifetime(scratch) {}

    for index in 0..<values.rows {
      let key = union.lowerBound + index
      let value = values.base + index * values.rowStride
      guard !kernels.pointee.all_finite(value, values.columns) else { continue }
      for row in 0..<output.rows
      where problem.mask.allows(
        sequence: block.sequence, head: block.head, query: block.rows.lowerBound + row, key: key)
      {
        let weight = weights.base[row * weights.rowStride + index]
        let sums = output.base + row * output.rowStride
        for column in 0..<values.columns where !value[column].isFinite { sums[column] += weight * value[column] }
      }
    }
  }

  /// Writes the scores of a stage before the mask, by a product of its own: the other one leaves out what no row sees.
  private func writeScores(_ stage: AttentionScoreStage, to output: AttentionProblem.ScoreOutput) {
    let existing = problem.mask.existingKeys[block.sequence]
    let keys = problem.shape.keyLengths[block.sequence]
    let base = output.row(sequence: block.sequence, head: block.head, row: block.rows.lowerBound)
    multiplyQueries(
      by: 0..<existing,
      into: MutableMatrixView(base: base, rows: block.rows.count, columns: existing, rowStride: keys))
    for row in 0..<block.rows.count {
      let start = base + row * keys
      if stage == .capped, let cap = problem.softcap { kernels.pointee.softcap(start, start, cap, existing) }
      (start + existing).update(repeating: -.infinity, count: keys - existing)
    }
  }

  /// Copies a row over `keys` into one over all keys of the sequence.
  private func copy(
    _ row: UnsafePointer<Float>, _ keys: Range<Int>, filling filler: Float, to output: UnsafeMutablePointer<Float>
  ) {
    output.update(repeating: filler, count: keys.lowerBound)
    (output + keys.lowerBound).update(from: row, count: keys.count)
    (output + keys.upperBound).update(
      repeating: filler, count: problem.shape.keyLengths[block.sequence] - keys.upperBound)
  }
}
