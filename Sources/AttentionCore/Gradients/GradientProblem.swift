import AttentionTensors
import CAttentionKernels

/// One way back through attention, whatever the layout of its tensors.
final class GradientProblem: @unchecked Sendable {
  // @unchecked: pointers into tensors that the caller keeps alive; each task writes rows of its own.

  typealias Input = AttentionProblem.Input
  typealias Output = AttentionProblem.Output

  let shape: AttentionShape
  let scale: Float
  let softcap: Float?
  let dropout: AttentionDropout?
  let mask: MaskGeometry
  let query: Input
  let key: Input
  let value: Input
  /// What came back to the output.
  let upstream: Input
  let rows: GradientRows
  /// Each row's sum of weights.
  let sums: Input
  /// Where the gradients go that are wanted.
  let ofQuery: Output?
  let ofKey: Output?
  let ofValue: Output?

  init(
    shape: AttentionShape, scale: Float, softcap: Float?, dropout: AttentionDropout?, mask: MaskGeometry, query: Input,
    key: Input, value: Input, upstream: Input, rows: GradientRows, sums: Input, ofQuery: Output?, ofKey: Output?,
    ofValue: Output?
  ) {
    self.shape = shape
    self.scale = scale
    self.softcap = softcap
    self.dropout = dropout
    self.mask = mask
    self.query = query
    self.key = key
    self.value = value
    self.upstream = upstream
    self.rows = rows
    self.sums = sums
    self.ofQuery = ofQuery
    self.ofKey = ofKey
    self.ofValue = ofValue
  }

  /// The rows of a tile in this sequence: a function of lengths and mask alone, since sums over queries run tile by tile.
  /// Low ones where neighbouring rows see different keys.
  func tileRows(_ tiling: FusedTiling, sequence: Int) -> Int {
    GradientProblem.tileRows(tiling, mask, queries: shape.queryLengths[sequence], keys: shape.keyLengths[sequence])
  }

  static func tileRows(_ tiling: FusedTiling, _ mask: MaskGeometry, queries: Int, keys: Int) -> Int {
    guard !mask.bands.isEmpty else { return tiling.maximumRows }
    return min(tiling.maximumRows, max(32, keys / 128 * 16))
  }
}

/// What the way back needs to know of each query row, `[sequence][head][query]` one after the other.
struct GradientRows: @unchecked Sendable {
  // @unchecked: filled by `fill`, which gives each task rows of its own, and only read afterwards.

  /// What is taken away from each slope of the weights: Σ upstream · output, less what came back to the log-sum-exp.
  let means: UnsafeMutablePointer<Float>
  let references: UnsafeMutablePointer<Float>
  /// One over the sum of the weights; 0 for a row that sees nothing, NaN for one of which something is not finite.
  let inverses: UnsafeMutablePointer<Float>
  private let starts: [Int]
  private let queryLengths: [Int]
  private let storage: TensorStorage

  static func scalars(_ shape: AttentionShape) -> Int { 3 * shape.heads * shape.queryLengths.reduce(0, +) }

  init(_ shape: AttentionShape) {
    var starts = [0]
    for length in shape.queryLengths { starts.append(starts[starts.count - 1] + shape.heads * length) }
    let count = starts[starts.count - 1]
    storage = TensorStorage(minimumCapacity: 3 * count)
    (means, references, inverses) = (storage.base, storage.base + count, storage.base + 2 * count)
    self.starts = starts
    queryLengths = shape.queryLengths
  }

  func position(sequence: Int, head: Int, query: Int) -> Int {
    starts[sequence] + head * queryLengths[sequence] + query
  }

  /// O(queries · (dk + dv)).
  func fill(
    _ shape: AttentionShape, query: AttentionProblem.Input, output: AttentionProblem.Input,
    upstream: AttentionProblem.Input, logSumExpUpstream: AttentionProblem.Input?,
    statistics: (references: AttentionProblem.Input, sums: AttentionProblem.Input)
  ) {
    let cost = shape.heads * shape.queryLengths.reduce(0, +) * (shape.keyWidth + shape.valueWidth)
    WorkerPool.shared.forEach(shape.sequenceCount * shape.heads, inline: cost < 1 << 18) { task in
      let kernels = KernelSet.kernels
      let (sequence, head) = task.quotientAndRemainder(dividingBy: shape.heads)
      for row in 0..<shape.queryLengths[sequence] {
        let place = position(sequence: sequence, head: head, query: row)
        let incoming = upstream.row(sequence: sequence, head: head, row: row)
        var mean = kernels.pointee.dot(
          incoming, output.row(sequence: sequence, head: head, row: row), shape.valueWidth)
        if let logSumExpUpstream { mean -= logSumExpUpstream.row(sequence: sequence, head: head, row: row).pointee }
        let reference = statistics.references.row(sequence: sequence, head: head, row: row).pointee
        let sum = statistics.sums.row(sequence: sequence, head: head, row: row).pointee
        let isFinite =
          mean.isFinite && sum.isFinite && kernels.pointee.all_finite(incoming, shape.valueWidth)
          && kernels.pointee.all_finite(query.row(sequence: sequence, head: head, row: row), shape.keyWidth)
        means[place] = mean
        references[place] = reference
        inverses[place] = !isFinite ? .nan : sum == 0 ? 0 : 1 / sum
      }
    }
  }
}
