import AttentionTensors
import CAttentionKernels

/// Attention by tiles, with a running softmax and no score matrix in memory (Rabe and Staats, 2112.05682; Dao et al.,
/// 2205.14135), on products that stay on OpenBLAS's fast path.
///
/// Keys are transposed once for each sequence and kv head, into panels on a grid that starts at the sequence's first
/// key. A row is summed block by block, segment by segment, in that order, whoever computes it: its bits depend on its
/// query, its visible keys, and that grid.
///
/// - Parameter size: of tiles, in place of the plan's.
func runFused(_ problem: AttentionProblem, size: FusedTileSize? = nil) {
  let tiling = FusedTiling(keyWidth: problem.shape.keyWidth, valueWidth: problem.shape.valueWidth, size: size)
  let masks = FusedMasks(problem.mask, blockKeys: tiling.blockKeys)
  let schedule = FusedSchedule(
    problem.shape, masks.geometry, tiling, threads: Engine.threadCount.count, isPacked: problem.isPacked)
  let run = FusedRun(problem: problem, tiling: tiling, masks: masks)
  for wave in schedule.waves { run.run(wave) }
}

/// A call of the fused path.
private struct FusedRun: Sendable {
  let problem: AttentionProblem
  let tiling: FusedTiling
  let masks: FusedMasks

  func run(_ wave: FusedSchedule.Wave) {
    let panels = wave.panelScalars > 0 ? TensorStorage(minimumCapacity: wave.panelScalars) : nil
    let partials = wave.partialScalars > 0 ? TensorStorage(minimumCapacity: wave.partialScalars) : nil
    nonisolated(unsafe) let panelBase = panels?.base
    nonisolated(unsafe) let partialBase = partials?.base
    WorkerPool.shared.forEach(wave.packings.count, inline: wave.isSmall) { index in
      pack(wave.packings[index], into: panelBase!)
    }
    WorkerPool.shared.forEach(wave.batches.count, inline: wave.isSmall) { index in
      run(wave.tasks[wave.batches[index]], panels: panelBase, partials: partialBase)
    }
    WorkerPool.shared.forEach(wave.merges.count, inline: wave.isSmall) { index in
      merge(wave.merges[index], partials: partialBase!)
    }
    withExtendedLifetime((panels, partials)) {}
  }

  private func blocks(_ unit: FusedSchedule.Unit, _ packing: KeyBlocks.Packing = .none) -> KeyBlocks {
    KeyBlocks(problem, tiling, sequence: unit.sequence, keyValueHead: unit.keyValueHead, packing: packing)
  }

  // MARK: Packing

  /// Panels of all blocks, then padded values if they are needed.
  private func pack(
    _ blocks: Range<Int>, of keys: KeyBlocks, into memory: UnsafeMutablePointer<Float>
  ) {
    for block in blocks {
      let index = block - keys.all.lowerBound
      keys.packPanel(block, into: memory + index * tiling.panelScalars)
      if !KeyBlocks.usesValuesInPlace(tiling) {
        keys.padValues(
          block, into: memory + keys.all.count * tiling.panelScalars + index * tiling.valueBlockScalars)
      }
    }
  }

  private func pack(_ packing: FusedSchedule.Packing, into panels: UnsafeMutablePointer<Float>) {
    pack(packing.blocks, of: blocks(packing.unit), into: panels + packing.unit.panelOffset)
  }

  // MARK: Tasks

  private func run(
    _ tasks: ArraySlice<FusedSchedule.Task>, panels: UnsafeMutablePointer<Float>?,
    partials: UnsafeMutablePointer<Float>?
  ) {
    let ownScalars = tasks.reduce(0) { max($0, $1.unit.ownScalars(tiling)) }
    let scratch = TensorStorage(minimumCapacity: FusedTile.scalars(tiling) + ownScalars)
    let own = scratch.base + FusedTile.scalars(tiling)
    let short = ShortHeads(problem, tiling, memory: scratch.base, panel: own)
    var tile = FusedTile(problem, masks, tiling, memory: scratch.base)
    for task in tasks {
      if let short, short.run(task) { continue }
      let unit = task.unit
      let keys = blocks(unit, panels: panels, own: own)
      var first = task.rows.lowerBound
      while first < task.rows.upperBound {
        let rows = first..<min(task.rows.upperBound, first + unit.tileRows)
        tile.begin(sequence: unit.sequence, keyValueHead: unit.keyValueHead, rows: rows, blocks: keys)
        if let part = task.part {
          for segment in part.segments {
            _ = tile.accumulate(
              segments: segment..<segment + 1, into: sums(part, segment, rows: rows.count, partials: partials!))
          }
        } else {
          tile.run()
        }
        first = rows.upperBound
      }
    }
    withExtendedLifetime(scratch) {}
  }

  /// The blocks of a unit where a task finds them.
  private func blocks(
    _ unit: FusedSchedule.Unit, panels: UnsafeMutablePointer<Float>?, own memory: UnsafeMutablePointer<Float>
  ) -> KeyBlocks {
    switch unit.packing {
    case .ready: return blocks(unit)
    case .shared: return blocks(unit, .all(panels! + unit.panelOffset))
    case .own(let slots): return blocks(unit, .slots(PackedSlots(tiling, slots: slots, memory: memory)))
    }
  }

  /// Every segment has sums of its own, so that they are merged in one order however they were shared out.
  private func sums(
    _ part: FusedSchedule.Part, _ segment: Int, rows: Int, partials: UnsafeMutablePointer<Float>
  ) -> RowSums {
    let width = tiling.paddedValueWidth
    let position = (segment - part.segments.lowerBound) * RowSums.scalars(rows: rows, width: width)
    return RowSums(memory: partials + part.offset + position, rows: rows, width: width)
  }

  /// Merges the segments of a tile in their order.
  private func merge(_ merge: FusedSchedule.Merge, partials: UnsafeMutablePointer<Float>) {
    let unit = merge.unit
    let scratch = TensorStorage(
      minimumCapacity: FusedTile.scalars(tiling) + PackedSlots.scalars(tiling, slots: 1))
    let slot = PackedSlots(tiling, slots: 1, memory: scratch.base + FusedTile.scalars(tiling))
    let keys = blocks(unit, .slots(slot))
    var tile = FusedTile(problem, masks, tiling, memory: scratch.base)
    tile.begin(sequence: unit.sequence, keyValueHead: unit.keyValueHead, rows: merge.rows, blocks: keys)
    let firstSegment = merge.parts[0].segments.lowerBound
    let first = sums(merge.parts[0], firstSegment, rows: merge.rows.count, partials: partials)
    for part in merge.parts {
      for segment in part.segments where segment > firstSegment {
        first.merge(
          sums(part, segment, rows: merge.rows.count, partials: partials), rows: merge.rows.count,
          width: tiling.paddedValueWidth, kernels: KernelSet.kernels)
      }
    }
    tile.finish(first)
    withExtendedLifetime(scratch) {}
  }
}

extension Range<Int> {
  /// The range cut into pieces of this length, the last one shorter.
  func chunks(of length: Int) -> [Range<Int>] {
    stride(from: lowerBound, to: upperBound, by: length).map { $0..<Swift.min(upperBound, $0 + length) }
  }
}
