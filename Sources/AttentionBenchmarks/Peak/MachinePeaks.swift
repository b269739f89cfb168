/// The machine's own limits, measured in turns with what is held against them.
struct MachinePeaks {
  let threads: Int
  /// One for each of ``GEMMTile/all``, then the FMA peak.
  let works: [TimedWork]

  init(threads: Int, repeats: Int, seed: UInt64) {
    self.threads = threads
    works =
      GEMMTile.all.map { $0.work(threads: threads, repeats: repeats, seed: seed) }
      + [FMAPeak.work(threads: threads, repeats: repeats)]
  }

  /// The bytes that the works hold.
  static func bytes(threads: Int) -> Int {
    threads * GEMMTile.all.reduce(0) { $0 + 4 * ($1.rows * $1.inner + $1.columns * $1.inner + $1.rows * $1.columns) }
  }

  struct Results {
    /// In seconds, one for each of ``GEMMTile/all``.
    let tiles: [Statistics]
    /// In GFLOP/s, one for each of ``GEMMTile/all``, by the median.
    let tileSpeeds: [Double]
    let fmaPeak: Double

    var gemmPeak: Double { tileSpeeds.max() ?? 0 }
  }

  /// What the works came to.
  ///
  /// - Parameter measured: ``works`` with their samples.
  func results(_ measured: some Collection<TimedWork>) -> Results {
    let statistics = measured.map { Statistics($0.samples) }
    let speeds = zip(GEMMTile.all, statistics).map { tile, time in
      Double(threads) * tile.operations / time.median / 1e9
    }
    let fma = statistics[GEMMTile.all.count].median
    return Results(
      tiles: Array(statistics.prefix(GEMMTile.all.count)), tileSpeeds: speeds,
      fmaPeak: Double(threads) * FMAPeak.operations() / fma / 1e9)
  }
}
