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
    var machine = MachineReport(seed: seed)
    let bits = UInt64(truncatingIfNeeded: seed)
    var generator = SeededGenerator(seed: bits)
    let peaks = MachinePeaks(
      threads: machine.threads, repeats: repeats ?? AttentionBenchmark.defaultRepeats, seed: bits)
    var works = peaks.works
    works.measureInterleaved(using: &generator) { done, all, name in
      progress(.init(stage: "measuring \(name)", done: done, all: all))
    }
    progress(.init(stage: "reading memory", done: 0, all: 0))
    machine.readBandwidth = ReadBandwidth.measure(taken: 0, rounds: min(5, repeats ?? 5), using: &generator)
    let results = peaks.results(works)
    machine.gemmPeak = results.gemmPeak
    machine.fmaPeak = results.fmaPeak
    let rows = GEMMTile.all.indices.map { index in
      let (tile, time) = (GEMMTile.all[index], results.tiles[index])
      let speed = results.tileSpeeds[index]
      return GEMMRow(
        tile: tile.name, call: tile.call, rows: tile.rows, columns: tile.columns, inner: tile.inner,
        medianMilliseconds: time.median * 1e3, deviationMilliseconds: time.medianAbsoluteDeviation * 1e3,
        minimumMilliseconds: time.minimum * 1e3, samples: time.count, gflops: speed,
        peakFraction: speed / results.gemmPeak, fmaFraction: speed / results.fmaPeak)
    }
    return MeasuredReport(
      report: Report(machine: machine, rows: rows),
      warnings: outlierWarnings(zip(GEMMTile.all.map(\.name), results.tiles)))
  }
}
