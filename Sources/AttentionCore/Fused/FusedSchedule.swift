import AttentionTensors

/// Who computes what on the fused path: units, tasks and their order. It may depend on the number of threads, since no
/// bit of a result depends on it.
struct FusedSchedule: Sendable {
  /// All rows of one sequence and kv head.
  struct Unit: Sendable {
    let sequence: Int
    let keyValueHead: Int
    let rowCount: Int
    let tileRows: Int
    /// Score cells that its tiles go through, about.
    let work: Double
    var packing = PanelPacking.ready
    var panelOffset = 0

    /// The scalars that a task on this unit holds for itself.
    func ownScalars(_ tiling: FusedTiling) -> Int {
      guard case .own(let slots) = packing else { return 0 }
      return PackedSlots.scalars(tiling, slots: slots)
    }
  }

  /// Where a unit's panels are.
  enum PanelPacking: Sendable {
    /// Packed by each task as it needs them, into room for so many blocks.
    case own(slots: Int)
    /// Packed beforehand, for several tasks.
    case shared
    /// There already: a cache's pages.
    case ready
  }

  struct Packing: Sendable {
    let unit: Unit
    let blocks: Range<Int>
  }

  /// Segments of a tile that one task sums up, and where the sums go.
  struct Part: Sendable {
    let segments: Range<Int>
    let offset: Int
  }

  struct Task: Sendable {
    let unit: Unit
    let rows: Range<Int>
    let part: Part?
    let work: Double
  }

  struct Merge: Sendable {
    let unit: Unit
    let rows: Range<Int>
    let parts: [Part]
  }

  /// What runs between two barriers.
  struct Wave: Sendable {
    var packings: [Packing] = []
    var tasks: [Task] = []
    /// Runs of tasks that go to a thread together.
    var batches: [Range<Int>] = []
    var merges: [Merge] = []
    var panelScalars = 0
    var partialScalars = 0
    var isSmall = false
  }

  /// The scalars of shared panels in a wave at the most, unless one unit takes more: 64 MiB.
  private static let maximumPanels = 1 << 24
  /// Fewer operations than this run on the caller's thread: waking another one costs more.
  private static let smallOperations = 1e6

  private(set) var waves: [Wave] = []

  init(_ shape: AttentionShape, _ mask: MaskGeometry, _ tiling: FusedTiling, threads: Int, isPacked: Bool = false) {
    var units: [Unit] = []
    units.reserveCapacity(shape.sequenceCount * shape.keyValueHeads)
    for sequence in 0..<shape.sequenceCount where shape.queryLengths[sequence] > 0 {
      let visible = FusedSchedule.visibleKeys(shape, mask, sequence: sequence)
      let rows = shape.group * shape.queryLengths[sequence]
      let tileRows = tiling.tileRows(
        rows: rows, group: shape.group, averageKeys: visible, rowsDiffer: !mask.bands.isEmpty)
      for head in 0..<shape.keyValueHeads {
        units.append(
          Unit(
            sequence: sequence, keyValueHead: head, rowCount: rows, tileRows: tileRows,
            work: Double(rows) * max(1, visible)))
      }
    }
    let total = units.reduce(0) { $0 + $1.work }
    let isSmall = 2 * total * Double(shape.keyWidth + shape.valueWidth) < FusedSchedule.smallOperations
    let evenly = (units.count + threads - 1) / threads * threads
    let isEven = units.allSatisfy { $0.work == units[0].work } && Double(evenly) <= 1.07 * Double(units.count)
    let largest = isEven || threads == 1 || isSmall ? .infinity : total / Double(16 * threads)
    let taskWork = max(total / Double(8 * threads), FusedSchedule.smallOperations / Double(2 * shape.keyWidth))

    var wave = Wave(isSmall: isSmall)
    for var unit in units {
      let keys = mask.heldKeys(ofSequence: unit.sequence)
      let tiles = (unit.rowCount + unit.tileRows - 1) / unit.tileRows
      // The blocks that a tile goes through; the next tile comes back to most of them.
      let span = FusedSchedule.tileKeys(mask, sequence: unit.sequence, queries: unit.tileRows / shape.group + 1)
      let slots = tiles == 1 ? 1 : min(tiling.blocks(of: keys).count, tiling.blocks(keys: span) + 1)
      if !isPacked { unit.packing = .own(slots: slots) }
      // Without a key there is nothing to share out, and no panel to point at.
      guard unit.work > largest, !keys.isEmpty else {
        wave.tasks.append(Task(unit: unit, rows: 0..<unit.rowCount, part: nil, work: unit.work))
        continue
      }
      // Tasks that see few of the keys pack those themselves, though some be packed twice: a sixth more at the most.
      let taskQueries = Double(unit.rowCount / shape.group) * min(1, taskWork / unit.work)
      if !isPacked, tiles > 1, Double(6 * span) > taskQueries {
        let scalars = tiling.packedScalars(blocks: tiling.blocks(of: keys).count)
        if wave.panelScalars > 0, wave.panelScalars + scalars > FusedSchedule.maximumPanels {
          waves.append(wave)
          wave = Wave()
        }
        unit.packing = .shared
        unit.panelOffset = wave.panelScalars
        wave.panelScalars += scalars
        for blocks in tiling.blocks(of: keys).chunks(of: FusedTiling.segmentBlocks) {
          wave.packings.append(Packing(unit: unit, blocks: blocks))
        }
      }
      wave.add(unit, tiles: tiles, segments: tiling.segments(of: keys), taskWork: taskWork, tiling)
    }
    waves.append(wave)
    // Longest first; of equal ones the last rows first, which see the most keys under a causal mask.
    for index in waves.indices {
      if !isSmall, !isEven || waves[index].panelScalars > 0 {
        waves[index].tasks.sort { ($0.work, $0.rows.lowerBound) > ($1.work, $1.rows.lowerBound) }
      }
      waves[index].makeBatches(work: isSmall ? .infinity : min(taskWork, total / Double(32 * threads)))
    }
  }

  /// The keys that neighbouring queries see at the most, from the first to the last.
  private static func tileKeys(_ mask: MaskGeometry, sequence: Int, queries: Int) -> Int {
    let keys = mask.slidingInterval(sequence: sequence)
    let (width, overflow) = keys.right.subtractingReportingOverflow(keys.left)
    let all = mask.heldKeys(ofSequence: sequence).count
    return overflow || width > all ? all : min(all, max(0, width) + queries)
  }

  /// The keys that a query of the sequence sees on average, about.
  private static func visibleKeys(_ shape: AttentionShape, _ mask: MaskGeometry, sequence: Int) -> Double {
    guard !mask.bands.isEmpty || !mask.documents.isEmpty else {
      return Double(mask.heldKeys(ofSequence: sequence).count)
    }
    let queries = shape.queryLengths[sequence]
    let samples = min(queries, 16)
    let sum = (0..<samples).reduce(0) {
      $0 + mask.interval(sequence: sequence, head: 0, query: (2 * $1 + 1) * queries / (2 * samples)).count
    }
    return Double(sum) / Double(samples)
  }
}

extension FusedSchedule.Wave {
  /// Tasks so short that a thread should take several at once go together.
  fileprivate mutating func makeBatches(work: Double) {
    var first = 0
    var sum = 0.0
    for index in tasks.indices {
      sum += tasks[index].work
      guard sum >= work || index == tasks.count - 1 else { continue }
      batches.append(first..<index + 1)
      (first, sum) = (index + 1, 0)
    }
  }

  /// Adds the tiles of a unit as tasks, several to a task or a tile to several.
  fileprivate mutating func add(
    _ unit: FusedSchedule.Unit, tiles: Int, segments: Range<Int>, taskWork: Double, _ tiling: FusedTiling
  ) {
    let tileWork = unit.work / Double(tiles)
    let parts = min(segments.count, Int((tileWork / taskWork).rounded(.up)))
    if parts > 1, tiles <= 4 {
      for rows in (0..<unit.rowCount).chunks(of: unit.tileRows) {
        let scalars = RowSums.scalars(rows: rows.count, width: tiling.paddedValueWidth)
        let length = (segments.count + parts - 1) / parts
        let pieces = segments.chunks(of: length).map { piece in
          defer { partialScalars += piece.count * scalars }
          return FusedSchedule.Part(segments: piece, offset: partialScalars)
        }
        for piece in pieces {
          tasks.append(FusedSchedule.Task(unit: unit, rows: rows, part: piece, work: tileWork / Double(pieces.count)))
        }
        merges.append(FusedSchedule.Merge(unit: unit, rows: rows, parts: pieces))
      }
      return
    }
    let tilesTogether = max(1, Int(taskWork / tileWork))
    for rows in (0..<unit.rowCount).chunks(of: unit.tileRows * tilesTogether) {
      tasks.append(
        FusedSchedule.Task(
          unit: unit, rows: rows, part: nil, work: unit.work * Double(rows.count) / Double(unit.rowCount)))
    }
  }
}
