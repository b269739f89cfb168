import AttentionTensors

/// What a call of the fused path takes, without running it.
struct FusedCost {
  /// Score cells that its tiles go through.
  let cells: Int
  /// Working memory over all threads.
  let bytes: Int
  /// The rows of a tile at the most, for each sequence that has queries.
  let tileRows: [Int: Int]
  let blockKeys: Int

  /// O(B · Hq · Lq), and one pass over dense masks.
  ///
  /// - Parameter isPacked: whether the keys lie in panels already.
  init(_ shape: AttentionShape, _ geometry: MaskGeometry, isPacked: Bool) {
    let tiling = FusedTiling(keyWidth: shape.keyWidth, valueWidth: shape.valueWidth)
    let masks = FusedMasks(geometry, blockKeys: tiling.blockKeys)
    let threads = Engine.threadCount.count
    let schedule = FusedSchedule(shape, geometry, tiling, threads: threads, isPacked: isPacked)
    var cells = 0
    var scalars = 0
    var tileRows: [Int: Int] = [:]
    for wave in schedule.waves {
      var own = 0
      for task in wave.tasks {
        own = max(own, task.unit.ownScalars(tiling))
        tileRows[task.unit.sequence] = task.unit.tileRows
        cells += FusedCost.cells(task, shape, masks, tiling)
      }
      let tile = FusedTile.scalars(tiling) + FusedTile.repairScalars(tiling)
      scalars = max(
        scalars,
        wave.panelScalars + wave.partialScalars
          + max(
            min(threads, wave.batches.count) * (tile + own),
            min(threads, wave.merges.count) * (tile + PackedSlots.scalars(tiling, slots: 1))))
    }
    self.cells = cells
    self.tileRows = tileRows
    blockKeys = tiling.blockKeys
    bytes = scalars * MemoryLayout<Float>.stride + masks.summaryBytes
  }

  private static func cells(
    _ task: FusedSchedule.Task, _ shape: AttentionShape, _ masks: FusedMasks, _ tiling: FusedTiling
  ) -> Int {
    let head = task.unit.keyValueHead * shape.group
    let segments = task.part.map {
      $0.segments.lowerBound * FusedTiling.segmentBlocks..<$0.segments.upperBound * FusedTiling.segmentBlocks
    }
    return task.rows.chunks(of: task.unit.tileRows).reduce(0) { sum, rows in
      let keys = TileKeys(
        masks, blockKeys: tiling.blockKeys, sequence: task.unit.sequence, heads: head..<head + shape.group, rows: rows)
      let blocks = segments.map { keys.blocks.clamped(to: $0) } ?? keys.blocks
      return sum + rows.count * blocks.reduce(0) { $0 + (keys.visit($1)?.columns.count ?? 0) }
    }
  }
}
