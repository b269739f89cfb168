import Attention

/// What every subject's run is made of: its works, measured in turns with the machine's own limits.
struct BenchmarkRun {
  let repeats: Int?
  /// The machine, with its limits once they are measured.
  private(set) var machine: MachineReport
  /// One for each work, in seconds.
  private(set) var statistics: [Statistics] = []
  /// For each work its samples, in seconds.
  private var measured: [[Double]] = []
  /// What products reach on this machine, once measured.
  private(set) var peaks: MachinePeaks.Results?
  private let seed: UInt64

  /// - Parameters:
  ///   - seed: what the order of the samples is drawn from.
  ///   - repeats: the samples of each work; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  init(seed: Int, repeats: Int?) {
    self.repeats = repeats
    self.seed = UInt64(truncatingIfNeeded: seed)
    machine = MachineReport(seed: seed)
    TensorStorage.cacheLimit = min(TensorStorage.cacheLimit, CaseLimits.cacheShare)
  }

  /// The samples of a work at the most.
  var samples: Int { repeats ?? AttentionBenchmark.defaultRepeats }
  /// The samples of a work, in seconds, in the order in which they were taken.
  func samples(of work: Int) -> [Double] { measured[work] }

  /// The seconds that one work's samples may take.
  var budget: Double? { repeats == nil ? 1.2 : nil }

  /// Measures the works and the machine in turns: what disturbs one disturbs the others alike.
  ///
  /// - Parameters:
  ///   - works: the subject's.
  ///   - taken: the bytes of ``CaseLimits/defaultMemory`` that they hold.
  ///   - bandwidthSamples: the samples of each pattern of reading.
  mutating func measure(
    _ works: [TimedWork], taken: Int, bandwidthSamples: Int = 5, progress: (BenchmarkProgress) -> Void
  ) {
    var generator = SeededGenerator(seed: seed)
    let peaks = MachinePeaks(threads: machine.threads, repeats: samples, seed: seed)
    let bandwidth = ReadBandwidth(taken: taken, repeats: min(bandwidthSamples, samples))
    var all = works + peaks.works + bandwidth.works
    all.measureInterleaved(using: &generator) { done, all, name in
      progress(.init(stage: "measuring \(name)", done: done, all: all))
    }
    measured = all.prefix(works.count).map(\.samples)
    statistics = measured.map { Statistics($0) }
    let results = peaks.results(all.dropFirst(works.count).prefix(peaks.works.count))
    machine.readBandwidth = bandwidth.gigabytesPerSecond(all.suffix(bandwidth.works.count))
    machine.gemmPeak = results.gemmPeak
    machine.fmaPeak = results.fmaPeak
    self.peaks = results
  }
}
