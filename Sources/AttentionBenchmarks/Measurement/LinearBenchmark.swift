import Attention

/// The subject `linear`: linear maps by tiles over packed weights, beside one `cblas_sgemm` on OpenBLAS's own threads.
public struct LinearBenchmark: Sendable {
  /// What is measured.
  public var cases: [LinearCase]
  /// What inputs and the order of the samples are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// Creates a benchmark.
  public init(cases: [LinearCase], seed: Int = 0, repeats: Int? = nil) {
    self.cases = cases
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. Takes the memory of all cases together, and a quarter of what is left, 512 MiB at most. Nothing else may
  /// compute meanwhile: OpenBLAS's own threads are used.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<LinearRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    let (bits, threads) = (UInt64(truncatingIfNeeded: seed), run.machine.threads)
    var taken = 1
    OpenBLAS.withThreads(threads) { taken = $0 }
    var works: [TimedWork] = []
    var measured: [(sizes: LinearCase, way: LinearWay, verification: Verification)] = []
    for sizes in cases {
      let input = LinearInput(sizes, seed: bits)
      for way in LinearWay.allCases {
        let name = "\(sizes) \(way.rawValue)"
        progress(.init(stage: "checking \(name)", done: works.count, all: LinearWay.allCases.count * cases.count))
        let verification = Verification(input.expected(of: way), seed: bits) { input.run(way, threads: threads) }
        measured.append((sizes, way, verification))
        works.append(LinearBenchmark.work(name, input, way, threads: threads, run))
      }
    }
    let memory = cases.reduce(0) { $0 + $1.memoryEstimate }
    run.measure(works, taken: Int(memory), progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let rows = measured.indices.map { index in
      let (sizes, way, verification) = measured[index]
      let rivals = measured.indices.filter { measured[$0].sizes == sizes && measured[$0].way != .linear }
      let fastest = rivals.map { statistics[$0].median }.min() ?? .infinity
      return LinearRow(
        sizes, way, statistics[index], verification, sgemmMedian: fastest, gemmPeak: run.machine.gemmPeak,
        threads: way == .linear ? threads : taken)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  private static func work(
    _ name: String, _ input: LinearInput, _ way: LinearWay, threads: Int, _ run: BenchmarkRun
  ) -> TimedWork {
    guard way != .linear else {
      return TimedWork(name, repeats: run.samples, budget: run.budget) { iterations in
        for _ in 0..<iterations { _ = input.run() }
      }
    }
    return TimedWork(
      name, repeats: run.samples, budget: run.budget,
      surround: { body in OpenBLAS.withThreads(threads) { _ in body() } },
      run: { iterations in
        var result = Tensor(uninitialized: [input.sizes.rows, input.sizes.outputs]) { _ in }
        for _ in 0..<iterations { input.product(way, into: &result) }
      })
  }
}
