import AttentionTensors
import CAttentionKernels

/// The gradient of a bias: those of the scores that it was added to, summed over every axis that it repeats along.
///
/// A pass of its own, since only biases that are learnt pay for it: two products for each tile. A task owns some cells of
/// the bias and goes through all that adds to them, in one order.
///
/// - Parameters:
///   - index: which of the mask's biases, in their order.
///   - shape: of the bias.
func biasGradient(_ problem: GradientProblem, index: Int, shape: [Int]) -> Tensor {
  var result = Tensor(zeros: shape)
  guard result.count > 0 else { return result }
  let tiling = FusedTiling(keyWidth: problem.shape.keyWidth, valueWidth: problem.shape.valueWidth)
  result.withUnsafeMutableBufferPointer { buffer in
    BiasGradient(
      problem: problem, tiling: tiling, masks: FusedMasks(problem.mask, blockKeys: tiling.blockKeys),
      bias: problem.mask.biases[index], result: Unchecked(buffer.baseAddress!)
    ).run()
  }
  return result
}

private struct BiasGradient: Sendable {
  let problem: GradientProblem
  let tiling: FusedTiling
  let masks: FusedMasks
  let bias: MaskGeometry.Dense<Float>
  let result: Unchecked<UnsafeMutablePointer<Float>>

  /// The tiles of a bias that has cells of its own for each query: so many queries go to a task.
  private static let taskQueries = 128

  func run() {
    let shape = problem.shape
    let sequences = bias.sequenceStride == 0 ? 1 : shape.sequenceCount
    let heads = bias.headStride == 0 ? 1 : shape.heads
    let queries = shape.queryLengths.max() ?? 0
    let strips = bias.queryStride == 0 ? 1 : (queries + Self.taskQueries - 1) / Self.taskQueries
    let allBlocks = tiling.blocks(keys: shape.keyLengths.max() ?? 0)
    let columns = bias.keyStride == 0 ? 1 : allBlocks
    WorkerPool.shared.forEach(sequences * heads * strips * columns) { task in
      let (place, column) = task.quotientAndRemainder(dividingBy: columns)
      let (plane, strip) = place.quotientAndRemainder(dividingBy: strips)
      let (sequence, head) = plane.quotientAndRemainder(dividingBy: heads)
      let rows = bias.queryStride == 0 ? 0..<queries : strip * Self.taskQueries..<(strip + 1) * Self.taskQueries
      run(
        sequences: bias.sequenceStride == 0 ? 0..<shape.sequenceCount : sequence..<sequence + 1,
        heads: bias.headStride == 0 ? 0..<shape.heads : head..<head + 1, queries: rows,
        blocks: bias.keyStride == 0 ? 0..<allBlocks : column..<column + 1)
    }
  }

  private func run(sequences: Range<Int>, heads: Range<Int>, queries: Range<Int>, blocks: Range<Int>) {
    let scratch = TensorStorage(minimumCapacity: GradientTile.scalars(tiling))
    var tile = GradientTile(problem, masks, tiling, memory: scratch.base)
    for sequence in sequences {
      let rows = queries.clamped(to: 0..<problem.shape.queryLengths[sequence])
      // A task's rows begin on the grid of tiles, whose rows divide them or are all of them.
      let step = min(Self.taskQueries, problem.tileRows(tiling, sequence: sequence))
      for keyValueHead in 0..<problem.shape.keyValueHeads {
        let group = keyValueHead * problem.shape.group..<(keyValueHead + 1) * problem.shape.group
        guard group.overlaps(heads), !rows.isEmpty else { continue }
        for block in blocks.clamped(to: 0..<tiling.blocks(keys: problem.mask.existingKeys[sequence])) {
          tile.begin(sequence: sequence, keyValueHead: keyValueHead, block: block)
          for head in group.clamped(to: heads) {
            for first in stride(from: rows.lowerBound, to: rows.upperBound, by: step) {
              guard tile.compute(head: head, queries: first..<min(rows.upperBound, first + step)) else { continue }
              tile.computeBiasedGradients()
              add(tile)
            }
          }
        }
      }
    }
    withExtendedLifetime(scratch) {}
  }

  private func cell(_ tile: GradientTile, query: Int, key: Int) -> UnsafeMutablePointer<Float> {
    result.value + tile.sequence * bias.sequenceStride + tile.head * bias.headStride + query * bias.queryStride
      + key * bias.keyStride
  }

  private func add(_ tile: GradientTile) {
    for (index, query) in tile.queries.enumerated() {
      let gradients = tile.gradients + index * tile.stride
      let target = cell(tile, query: query, key: tile.keys.lowerBound)
      if bias.keyStride == 0 {
        target.pointee += KernelSet.kernels.pointee.sum(gradients, tile.keys.count)
      } else {
        KernelSet.kernels.pointee.axpy(1, gradients, target, tile.keys.count)
      }
    }
    tile.forEachSpecialPair { cell(tile, query: $0.query, key: $0.key).pointee += $0.biased }
  }
}
