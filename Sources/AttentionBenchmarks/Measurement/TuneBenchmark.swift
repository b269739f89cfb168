import Attention

/// The subject `tune`: the tile plan of this machine's OpenBLAS core against other tiles. It reports, and changes
/// nothing.
public struct TuneBenchmark: Sendable {
  /// What inputs and the order of the samples are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?
  /// The queries and keys of the fused path's cases.
  public var length: Int

  /// The widths of heads whose tiles are measured.
  public static let widths = [32, 64, 128]
  /// What a plan may be slower by than the best tile.
  static let tolerance = 0.05

  /// Creates a benchmark.
  public init(seed: Int = 0, repeats: Int? = nil, length: Int = 1024) {
    self.seed = seed
    self.repeats = repeats
    self.length = length
  }

  /// The bytes that a run takes on so many threads, roughly and from above: query, key, value, the plan's output, and
  /// two more while one is computed.
  package func memoryEstimate(threads: Int) -> Int {
    TuneBenchmark.widths.reduce(0) { $0 + 6 * 4 * 4 * threads * length * $1 }
  }

  /// One alternative: what is run, and what it comes to.
  private struct Candidate {
    let group: String
    let tile: String
    let isPlanned: Bool
    let operations: Double
    /// The largest distance of its results from the plan's.
    var difference: Double?
    let work: TimedWork
  }

  /// Runs it.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<TuneRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    var candidates: [Candidate] = []
    for width in TuneBenchmark.widths {
      progress(.init(stage: "checking heads \(width) wide", done: candidates.count, all: 0))
      candidates += fusedCandidates(width: width, run)
    }
    candidates += productCandidates(run)
    run.measure(candidates.map(\.work), taken: 0, progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let speeds = zip(candidates, statistics).map { $0.operations / ($1.median * 1e6) }
    let rows = candidates.indices.map { index in
      let candidate = candidates[index]
      let best = candidates.indices.filter { candidates[$0].group == candidate.group }.map { speeds[$0] }.max() ?? 0
      return TuneRow(
        group: candidate.group, tile: candidate.tile, isPlanned: candidate.isPlanned,
        timing: RowTiming(statistics[index]), gflops: speeds[index], bestFraction: speeds[index] / best,
        peakFraction: run.machine.gemmPeak.map { speeds[index] / $0 }, difference: candidate.difference)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  // MARK: The fused path

  /// Rows × keys of the tiles that are tried beside the plan's.
  package static func sizes(width: Int, tiles: ProductTiles = .current) -> [FusedTileSize] {
    let planned = FusedTileSize.planned(width: width)
    var sizes = [planned]
    let blocks = tiles.smallVolume == nil ? [64, 128, 256, 512] : [64, 128, 192, 256, 448]
    let heights = tiles.smallVolume == nil ? [32, 64, 128, 256] : [32, 64, 96, 128]
    for block in blocks {
      for rows in heights {
        let size = FusedTileSize(blockKeys: block, maximumRows: rows)
        // Past the bound, products leave the fast path; the tiles that are far below it do not fill it.
        let volume = block * rows * width
        let isNear = tiles.smallVolume.map { volume <= $0 && 4 * volume >= min($0, 4 * 64 * 128 * width) } ?? true
        if isNear, !sizes.contains(size) { sizes.append(size) }
      }
    }
    return sizes
  }

  private func fusedCandidates(width: Int, _ run: BenchmarkRun) -> [Candidate] {
    var generator = SeededGenerator(seed: UInt64(truncatingIfNeeded: seed) ^ drawingHash(of: "tune d\(width)"))
    // As many heads as threads several times over, so that none idles at the end.
    let shape = [1, 4 * run.machine.threads, length, width]
    let query = Tensor(randomNormal: shape, using: &generator)
    let key = Tensor(randomNormal: shape, using: &generator)
    let value = Tensor(randomNormal: shape, using: &generator)
    let planned = FusedTileSize.planned(width: width)
    let plan = AttentionPlan(queryShape: shape, keyShape: shape, valueShape: shape)
    func compute(_ size: FusedTileSize) -> Tensor {
      var options = AttentionOptions(path: .fused)
      options.fusedTileSize = size
      return scaledDotProductAttention(query: query, key: key, value: value, options: options)
    }
    let expected = compute(planned)
    return TuneBenchmark.sizes(width: width).map { size in
      let name = "\(size.maximumRows)×\(size.blockKeys)"
      return Candidate(
        group: "fused d\(width)", tile: name, isPlanned: size == planned, operations: plan.usefulOperations,
        difference: TuneBenchmark.difference(compute(size), expected),
        work: TimedWork("fused d\(width) \(name)", repeats: run.samples, budget: run.budget) { iterations in
          for _ in 0..<iterations { _ = compute(size) }
        })
    }
  }

  private static func difference(_ one: Tensor, _ other: Tensor) -> Double {
    one.withUnsafeBufferPointer { a in
      other.withUnsafeBufferPointer { b in
        zip(a, b).reduce(0) { known, pair in
          let distance = abs(Double(pair.0) - Double(pair.1))
          return distance.isNaN ? .infinity : max(known, distance)
        }
      }
    }
  }

  // MARK: The bound of small products

  /// The rows of products × 128 × 64 on both sides of the plan's bound of 1,000,000 multiply-adds.
  private static let productRows = [32, 64, 96, 120, 128, 160, 192, 256]

  private func productCandidates(_ run: BenchmarkRun) -> [Candidate] {
    let (columns, inner) = (128, 64)
    let bound = ProductTiles.current.rows(columns: columns, inner: inner, limit: .max)
    return TuneBenchmark.productRows.map { rows in
      let tile = GEMMTile(rows: rows, columns: columns, inner: inner, isRightTransposed: false)
      return Candidate(
        group: TuneRow.products, tile: tile.name, isPlanned: rows <= bound,
        operations: Double(run.machine.threads) * tile.operations,
        work: tile.work(threads: run.machine.threads, repeats: run.samples, seed: UInt64(truncatingIfNeeded: seed)))
    }
  }
}
