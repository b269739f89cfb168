import Attention

/// The subject `gemm`: the fixed list of products that percentages refer to, and the peaks beside it.
public struct GEMMBenchmark: Sendable {
  /// What operands and the order of the samples are drawn from.
  public var seed: Int
  /// The samples of each product; ``AttentionBenchmark/defaultRepeats`` unless given.
  public var repeats: Int?

  /// Creates a benchmark.
  public init(seed: Int = 0, repeats: Int? = nil) {
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<GEMMRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    run.measure([], taken: 0, progress: progress)
    guard let results = run.peaks else { preconditionFailure("GEMMBenchmark: nothing was measured") }
    let rows = GEMMTile.all.indices.map { index in
      let (tile, time) = (GEMMTile.all[index], results.tiles[index])
      let speed = results.tileSpeeds[index]
      return GEMMRow(
        tile: tile.name, call: tile.call, rows: tile.rows, columns: tile.columns, inner: tile.inner,
        medianMilliseconds: time.median * 1e3, deviationMilliseconds: time.medianAbsoluteDeviation * 1e3,
        minimumMilliseconds: time.minimum * 1e3, samples: time.count, gflops: speed,
        peakFraction: speed / results.gemmPeak, fmaFraction: speed / results.fmaPeak)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: results.tiles)
  }
}
