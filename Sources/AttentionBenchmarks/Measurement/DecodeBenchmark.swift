import Attention

/// The subject `decode`: one new token for each sequence over a key-value cache, held against the read bandwidth of the
/// same run.
public struct DecodeBenchmark: Sendable {
  /// What is measured.
  public var cases: [BenchmarkCase]
  /// What inputs and the order of the samples are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// Creates a benchmark of cases with one query.
  public init(cases: [BenchmarkCase], seed: Int = 0, repeats: Int? = nil) {
    self.cases = cases
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. Takes the memory of all cases together, and a quarter of what is left, 512 MiB at most.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<DecodeRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    let bits = UInt64(truncatingIfNeeded: seed)
    var works: [TimedWork] = []
    var measured: [(input: DecodeInput, step: DecodeStep, verification: Verification)] = []
    for sizes in cases {
      let input = DecodeInput(sizes, seed: bits)
      progress(.init(stage: "filling \(input.name)", done: works.count, all: 2 * cases.count))
      let caches = input.filledCaches(copies: input.copies)
      for step in DecodeStep.allCases {
        progress(.init(stage: "checking \(input.name) \(step.rawValue)", done: works.count, all: 2 * cases.count))
        measured.append((input, step, Verification(input, seed: bits) { caches.run(step) }))
        works.append(
          TimedWork("\(input.name) \(step.rawValue)", repeats: run.samples, budget: run.budget) { iterations in
            for _ in 0..<iterations { _ = caches.run(step) }
          })
      }
    }
    run.measure(
      works, taken: Int(DecodeBenchmark.memoryEstimate(cases)), bandwidthSamples: run.samples, progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let rows = zip(measured, statistics).map { found, time in
      DecodeRow(found.input, found.step, time, found.verification, readBandwidth: run.machine.readBandwidth)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  // MARK: Cases

  /// The depths, batch sizes and heads that are measured unless others are asked for.
  public static let (defaultDepths, defaultBatches, defaultHeads) = ("1024,16384,65536", "1,4", "h32d128-kv8")

  /// Cases from the texts of the command line: each of the batch sizes at each of the depths, with each of the heads.
  ///
  /// - Parameters:
  ///   - depths: numbers as in a case: `1024,16384` or `1024-65536*4`.
  ///   - batches: the same.
  ///   - heads: cases without b, q and k: `h32d128-kv8`.
  ///   - limits: what counts as too large.
  ///   - dropping: whether cases that do not fit into memory together with those before them are left out.
  /// - Returns: the cases, and those that were left out.
  public static func cases(
    depths: String, batches: String, heads: String, limits: CaseLimits = .init(), dropping: Bool
  ) throws(BenchmarkCaseError) -> (cases: [BenchmarkCase], dropped: [BenchmarkCase]) {
    var all: [BenchmarkCase] = []
    for batch in try CaseScanner.numbers(batches, of: "--batch", limit: limits.cases) {
      for depth in try CaseScanner.numbers(depths, of: "--depths", limit: limits.cases) {
        all += try BenchmarkCase.list(
          parsing: heads, given: ["b": batch, "q": 1, "k": depth],
          limits: CaseLimits(memory: .max, cases: limits.cases))
        guard all.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
      }
    }
    var known: Set<BenchmarkCase> = []
    var (cases, dropped): ([BenchmarkCase], [BenchmarkCase]) = ([], [])
    for one in all where known.insert(one).inserted {
      let needed = memoryEstimate(cases + [one])
      if needed <= Double(limits.memory) {
        cases.append(one)
      } else if dropping {
        dropped.append(one)
      } else {
        let alone = memoryEstimate([one])
        guard alone <= Double(limits.memory) else {
          throw .tooLarge(case: one.description, bytes: Int(clamping: alone), limit: limits.memory)
        }
        throw .tooLargeTogether(cases: all.count, limit: limits.memory)
      }
    }
    return (cases, dropped)
  }

  /// The bytes that measuring all of the cases takes, roughly and from above; they are checked one by one.
  private static func memoryEstimate(_ cases: [BenchmarkCase]) -> Double {
    let estimates = cases.map(DecodeInput.memoryEstimate)
    return estimates.reduce(0) { $0 + $1.caches } + (estimates.map(\.checking).max() ?? 0)
  }
}

extension Int {
  fileprivate init(clamping value: Double) { self = value < Double(Int.max) ? Int(value) : .max }
}
