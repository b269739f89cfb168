import AttentionTensors
import CAttentionKernels

/// Heads whose keys fit one block, without masks or extras, each in one call of a kernel.
///
/// Of a tile of 32 queries and keys, products are a quarter of the time on the general way: what is left goes into OpenBLAS's
/// entry, and the tile's own bookkeeping. The kernel does the same arithmetic in the same order, and so has the same bits.
struct ShortHeads {
  private let problem: AttentionProblem
  private let tiling: FusedTiling
  private let key: AttentionProblem.Input
  private let value: AttentionProblem.Input
  private let panel: UnsafeMutablePointer<Float>
  private let scores: UnsafeMutablePointer<Float>
  private let values: UnsafeMutablePointer<Float>
  private let references: UnsafeMutablePointer<Float>
  private let sums: UnsafeMutablePointer<Float>
  private let factors: UnsafeMutablePointer<Float>

  /// nil where the call has something that the kernel does not know.
  ///
  /// - Parameters:
  ///   - memory: room for a ``FusedTile``.
  ///   - panel: room for a block of its own, of tasks that have one.
  init?(
    _ problem: AttentionProblem, _ tiling: FusedTiling, memory: UnsafeMutablePointer<Float>,
    panel: UnsafeMutablePointer<Float>
  ) {
    guard ProductTiles.current.hasNarrowProducts, problem.isPlain, problem.shape.group == 1,
      case .rows(let key, let value) = problem.keys, KeyBlocks.usesValuesInPlace(tiling),
      1...tiling.chunk ~= tiling.keyWidth, tiling.valueWidth > 0
    else { return nil }
    (self.problem, self.tiling, self.key, self.value, self.panel) = (problem, tiling, key, value, panel)
    let rows = ProductTiles.padded(tiling.maximumRows)
    scores = memory
    values = scores + tiling.maximumRows * tiling.blockKeys
    references = values + tiling.maximumRows * tiling.paddedValueWidth
    sums = references + rows
    factors = sums + rows
  }

  /// Computes a task; whether its rows are done. They are not where keys fill several blocks or lie in shared panels, or
  /// where not everything is finite.
  func run(_ task: FusedSchedule.Task) -> Bool {
    let (unit, rows) = (task.unit, task.rows)
    let keys = problem.mask.existingKeys[unit.sequence]
    guard case .own = unit.packing, task.part == nil, 1...tiling.blockKeys ~= keys else { return false }
    let (sequence, head) = (unit.sequence, unit.keyValueHead)
    var call = attention_head(
      query: problem.query.row(sequence: sequence, head: head, row: rows.lowerBound),
      key: key.row(sequence: sequence, head: head, row: 0), value: value.row(sequence: sequence, head: head, row: 0),
      output: problem.output.row(sequence: sequence, head: head, row: rows.lowerBound),
      query_stride: problem.query.strides.row, key_stride: key.strides.row, value_stride: value.strides.row,
      output_stride: problem.output.strides.row, queries: rows.count, keys: keys, key_width: tiling.keyWidth,
      value_width: tiling.valueWidth, scale: problem.scale, tile_rows: unit.tileRows, panel: panel, scores: scores,
      values: values, references: references, sums: sums, factors: factors)
    return KernelSet.kernels.pointee.head_attention(&call)
  }
}

extension AttentionProblem {
  /// Whether a call is the softmax of scaled products over all keys that exist, and its output all that is asked for.
  fileprivate var isPlain: Bool {
    // A factor of 0 does not reach the scores, whatever they are.
    scale != 0 && softcap == nil && dropout == nil && mask.isLengthsOnly && logSumExp == nil && weights == nil
      && scores.isEmpty && partial == nil && statistics == nil
  }
}
