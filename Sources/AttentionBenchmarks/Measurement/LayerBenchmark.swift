import Attention

/// The subject `layers`: whole layers, forward and as training runs them, and operations on rows beside copies.
public struct LayerBenchmark: Sendable {
  /// What is measured.
  public var cases: [LayerCase]
  /// What inputs, the order of the samples, and what errors are sought in are drawn from.
  public var seed: Int
  /// The samples of each measurement; nil: up to ``AttentionBenchmark/defaultRepeats``, fewer where they take long.
  public var repeats: Int?

  /// Creates a benchmark.
  public init(cases: [LayerCase], seed: Int = 0, repeats: Int? = nil) {
    self.cases = cases
    self.seed = seed
    self.repeats = repeats
  }

  /// Runs it. Takes the memory of all cases together, and a quarter of what is left, 512 MiB at most.
  public func run(progress: (BenchmarkProgress) -> Void = { _ in }) -> MeasuredReport<LayerRow> {
    var run = BenchmarkRun(seed: seed, repeats: repeats)
    let bits = UInt64(truncatingIfNeeded: seed)
    var works: [TimedWork] = []
    var measured: [Measured] = []
    func add(_ one: Measured, _ body: @escaping () -> Void) {
      measured.append(one)
      works.append(
        TimedWork("\(one.sizes) \(one.way)", repeats: run.samples, budget: run.budget) { iterations in
          for _ in 0..<iterations { body() }
        })
    }
    for sizes in cases {
      let input = LayerInput(sizes, seed: bits)
      let reference = LayerReference(input)
      progress(.init(stage: "checking \(sizes)", done: works.count, all: 2 * cases.count))
      add(LayerBenchmark.check(reference, .forward, seed: bits)) { withExtendedLifetime(input.forward()) {} }
      if sizes.kind.isRowwise {
        for copy in RowCopy.allCases {
          add(Measured(sizes: sizes, way: copy.rawValue)) { withExtendedLifetime(copy.run(input.x)) {} }
        }
      } else {
        add(LayerBenchmark.check(reference, .training, seed: bits)) { withExtendedLifetime(input.training()) {} }
      }
    }
    let memory = cases.reduce(0) { $0 + $1.memoryEstimate }
    run.measure(works, taken: Int(min(memory, 0x1p62)), progress: progress)
    let statistics = run.statistics.map { $0.scaled(by: 1e3) }
    let rows = measured.indices.map { index in
      let copies = measured.indices.filter {
        measured[$0].sizes == measured[index].sizes && RowCopy(rawValue: measured[$0].way) != nil
      }
      return LayerRow(
        measured[index], statistics[index], fastestCopy: copies.map { statistics[$0].median }.min(),
        gemmPeak: run.machine.gemmPeak)
    }
    return MeasuredReport(machine: run.machine, rows: rows, statistics: statistics)
  }

  /// A case by one of the ways, and what is known of its results.
  struct Measured {
    let sizes: LayerCase
    let way: String
    var checks: RowChecks?
    var slopes: LayerReference.SlopeCheck?
  }

  static func check(_ reference: LayerReference, _ way: LayerWay, seed: UInt64) -> Measured {
    let input = reference.input
    let outputs = Verification(reference, seed: seed) {
      way == .forward ? input.forward() : input.training().output
    }
    var measured = Measured(sizes: input.sizes, way: way.rawValue)
    var checks = RowChecks(outputs, outputRows: reference.outputRows)
    if way == .training {
      measured.slopes = reference.checkSlopes(seed: seed) { input.training(upstream: $0).gradients }
      checks.isRepeatable = checks.isRepeatable && isRepeatable(input)
      if let slopes = measured.slopes, !(slopes.error <= LayerReference.SlopeCheck.tolerance) {
        checks.isWithinContract = false
      }
    }
    measured.checks = checks
    return measured
  }

  /// Whether two runs and one on a single thread give the same bits in every gradient.
  private static func isRepeatable(_ input: LayerInput) -> Bool {
    let first = input.training().gradients
    let again = input.training().gradients
    let threads = Engine.threadCount.count
    Engine.setThreadCount(1)
    let alone = input.training().gradients
    Engine.setThreadCount(threads)
    return zip(first, again).allSatisfy(Verification.haveSameBits)
      && zip(first, alone).allSatisfy(Verification.haveSameBits)
  }
}

/// A copy of a tensor by all threads, which an operation on rows can hardly beat.
enum RowCopy: String, CaseIterable {
  /// Pieces of 64 KiB, into which operations on rows are cut.
  case pieces = "copy in pieces"
  /// One piece for each thread, which the C library writes past the caches.
  case parts = "copy in parts"

  func run(_ x: Tensor) -> Tensor {
    let pieces = self == .pieces ? (x.count + (1 << 14) - 1) >> 14 : Engine.threadCount.count
    return Tensor(uninitialized: x.shape) { buffer in
      guard let base = buffer.baseAddress else { return }
      let (source, target, count) = (Unchecked(x.unsafeBase), Unchecked(base), x.count)
      let length = (count + pieces - 1) / pieces
      WorkerPool.shared.forEach(pieces) { piece in
        let first = min(count, piece * length)
        (target.value + first).update(from: source.value + first, count: min(length, count - first))
      }
    }
  }
}
