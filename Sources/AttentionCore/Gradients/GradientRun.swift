import AttentionTensors
import CAttentionKernels

/// The gradients of queries, keys and values, as far as they are wanted, by tiles: five products for each, and no score
/// matrix in memory.
///
/// A task goes block by block through its keys, and for each through the rows of the group's heads in order. So every sum
/// runs in an order of its own, whoever computes it.
func runGradients(_ problem: GradientProblem) {
  let tiling = FusedTiling(keyWidth: problem.shape.keyWidth, valueWidth: problem.shape.valueWidth)
  let run = GradientRun(
    problem: problem, tiling: tiling, masks: FusedMasks(problem.mask, blockKeys: tiling.blockKeys),
    schedule: GradientSchedule(problem.shape, tiling, wantsQuery: problem.ofQuery != nil))
  run.run()
}

private struct GradientRun: Sendable {
  let problem: GradientProblem
  let tiling: FusedTiling
  let masks: FusedMasks
  let schedule: GradientSchedule

  func run() {
    let partials = schedule.partialScalars > 0 ? TensorStorage(minimumCapacity: schedule.partialScalars) : nil
    let base = partials.map { Unchecked($0.base) }
    WorkerPool.shared.forEach(schedule.tasks.count, inline: schedule.isSmall) { index in
      run(schedule.tasks[index], partials: base)
    }
    WorkerPool.shared.forEach(schedule.merges.count, inline: schedule.isSmall) { index in
      merge(schedule.merges[index], partials: base!)
    }
    withExtendedLifetime(partials) {}
  }

  private func heads(_ keyValueHead: Int) -> Range<Int> {
    keyValueHead * problem.shape.group..<(keyValueHead + 1) * problem.shape.group
  }

  /// Where a task's share of the query gradients lies, from a head's first query on.
  private func queryTarget(
    _ task: GradientSchedule.Task, head: Int, partials: Unchecked<UnsafeMutablePointer<Float>>?
  ) -> (base: UnsafeMutablePointer<Float>, stride: Int)? {
    guard let ofQuery = problem.ofQuery else { return nil }
    guard let partial = task.partial else {
      return (ofQuery.row(sequence: task.sequence, head: head, row: 0), ofQuery.strides.row)
    }
    let index = head - task.keyValueHead * problem.shape.group
    let rows = index * problem.shape.queryLengths[task.sequence]
    return (partials!.value + partial + rows * tiling.keyWidth, tiling.keyWidth)
  }

  private func run(_ task: GradientSchedule.Task, partials: Unchecked<UnsafeMutablePointer<Float>>?) {
    let queries = problem.shape.queryLengths[task.sequence]
    for head in heads(task.keyValueHead) {
      guard queries > 0, let target = queryTarget(task, head: head, partials: partials) else { continue }
      clear(target.base, target.stride, rows: queries, width: tiling.keyWidth)
    }
    for (output, width) in [(problem.ofKey, tiling.keyWidth), (problem.ofValue, tiling.valueWidth)] {
      guard let output, !task.keys.isEmpty else { continue }
      clear(
        output.row(sequence: task.sequence, head: task.keyValueHead, row: task.keys.lowerBound), output.strides.row,
        rows: task.keys.count, width: width)
    }
    guard queries > 0, !task.keys.isEmpty else { return }
    let scratch = TensorStorage(minimumCapacity: GradientTile.scalars(tiling))
    var tile = GradientTile(problem, masks, tiling, memory: scratch.base)
    let step = problem.tileRows(tiling, sequence: task.sequence)
    for block in task.blocks {
      tile.begin(sequence: task.sequence, keyValueHead: task.keyValueHead, block: block)
      guard !tile.blockKeys.isEmpty else { continue }
      for head in heads(task.keyValueHead) {
        let target = queryTarget(task, head: head, partials: partials)
        for first in stride(from: 0, to: queries, by: step) {
          guard tile.compute(head: head, queries: first..<min(queries, first + step)) else { continue }
          add(tile, target)
        }
      }
    }
    withExtendedLifetime(scratch) {}
  }

  private func clear(_ base: UnsafeMutablePointer<Float>, _ stride: Int, rows: Int, width: Int) {
    for row in 0..<rows { (base + row * stride).update(repeating: 0, count: width) }
  }

  private func add(_ tile: GradientTile, _ ofQuery: (base: UnsafeMutablePointer<Float>, stride: Int)?) {
    let keys = tile.keys
    func row(_ output: AttentionProblem.Output, _ key: Int) -> UnsafeMutablePointer<Float> {
      output.row(sequence: tile.sequence, head: tile.keyValueHead, row: key)
    }
    if let ofValue = problem.ofValue {
      tile.addValueGradients(to: row(ofValue, keys.lowerBound), stride: ofValue.strides.row)
    }
    if ofQuery != nil || problem.ofKey != nil { tile.computeGradients() }
    if let (base, stride) = ofQuery {
      tile.addQueryGradients(to: base + tile.queries.lowerBound * stride, stride: stride)
    }
    if let ofKey = problem.ofKey {
      tile.addKeyGradients(to: row(ofKey, keys.lowerBound), stride: ofKey.strides.row)
    }
    let kernels = KernelSet.kernels
    tile.forEachSpecialPair { pair in
      if let ofValue = problem.ofValue {
        let upstream = problem.upstream.row(sequence: tile.sequence, head: tile.head, row: pair.query)
        kernels.pointee.axpy(pair.weight, upstream, row(ofValue, pair.key), tiling.valueWidth)
      }
      let gradient = problem.scale * pair.gradient
      if let (base, stride) = ofQuery {
        let key = problem.key.row(sequence: tile.sequence, head: tile.keyValueHead, row: pair.key)
        kernels.pointee.axpy(gradient, key, base + pair.query * stride, tiling.keyWidth)
      }
      if let ofKey = problem.ofKey {
        let query = problem.query.row(sequence: tile.sequence, head: tile.head, row: pair.query)
        kernels.pointee.axpy(gradient, query, row(ofKey, pair.key), tiling.keyWidth)
      }
    }
  }

  private func merge(_ merge: GradientSchedule.Merge, partials: Unchecked<UnsafeMutablePointer<Float>>) {
    guard let ofQuery = problem.ofQuery else { return }
    let queries = problem.shape.queryLengths[merge.sequence]
    for (index, head) in heads(merge.keyValueHead).enumerated() {
      for query in 0..<queries {
        let target = ofQuery.row(sequence: merge.sequence, head: head, row: query)
        for partial in merge.partials {
          let source = partials.value + partial + (index * queries + query) * tiling.keyWidth
          KernelSet.kernels.pointee.axpy(1, source, target, tiling.keyWidth)
        }
      }
    }
  }
}
