import Attention

/// One input by one path: what is run, and what is known before it is timed.
struct AttentionMeasurement {
  let input: AttentionInput
  let path: AttentionPath
  /// How much of the input is run.
  let part: AttentionInput.Part
  /// That part.
  let piece: AttentionInput
  let plan: AttentionPlan
  /// The useful work of the whole over that of the part.
  let factor: Double
  let verification: Verification

  func work(repeats: Int, budget: Double?) -> TimedWork {
    TimedWork("\(input.name) \(path.rawValue)", repeats: repeats, budget: budget) { [piece, path] iterations in
      for _ in 0..<iterations { _ = piece.run(path) }
    }
  }

  /// - Parameters:
  ///   - statistics: of a call on the whole input, in milliseconds.
  ///   - naiveMedian: the naive path's, if it was run.
  ///   - gemmPeak: in GFLOP/s.
  func row(_ statistics: Statistics, naiveMedian: Double?, gemmPeak: Double) -> AttentionRow {
    let useful = plan.usefulOperations / 1e9
    let gflops = useful / (statistics.median / 1e3)
    return AttentionRow(
      name: input.name, path: path.rawValue, medianMilliseconds: statistics.median,
      deviationMilliseconds: statistics.medianAbsoluteDeviation, minimumMilliseconds: statistics.minimum,
      samples: statistics.count, gflops: gflops, usefulGFLOP: useful, executedGFLOP: plan.executedOperations / 1e9,
      speedupOverNaive: naiveMedian.map { $0 / statistics.median }, peakFraction: gflops / gemmPeak,
      scratchBytes: plan.scratchBytes,
      maximumError: verification.maximumError.isFinite ? verification.maximumError : nil,
      errorRows: verification.rows, isRepeatable: verification.isRepeatable,
      isWithinContract: verification.isWithinContract,
      measuredHeads: part.sequences * part.heads, measuredQueries: part.queries, batch: input.batch,
      heads: input.heads, keyValueHeads: input.keyValueHeads, queryLength: input.queryLength,
      keyLength: input.keyLength, keyWidth: input.keyWidth, valueWidth: input.valueWidth, isCausal: input.isCausal,
      window: input.window, softcap: input.softcap.map(Double.init))
  }
}

/// A few milliseconds of the naive path, to tell how long more of it would take.
enum NaiveProbe {
  static func operationsPerSecond(like input: AttentionInput) -> Double {
    let threads = Engine.threadCount.count
    var generator = SeededGenerator(seed: 1)
    // A rate is asked for, so that very wide heads need not be as wide here: they could be wider than memory.
    let (keyWidth, valueWidth) = (min(input.keyWidth, 256), min(input.valueWidth, 256))
    var probe = AttentionInput(
      name: "probe", query: Tensor(randomNormal: [1, threads, 32, keyWidth], using: &generator),
      key: Tensor(randomNormal: [1, threads, 256, keyWidth], using: &generator),
      value: Tensor(randomNormal: [1, threads, 256, valueWidth], using: &generator))
    probe.softcap = input.softcap
    let seconds = (0..<3).map { _ in Stopwatch.seconds { _ = probe.run(.naive) } }
    return probe.plan(.naive).usefulOperations / max(1e-9, Statistics.median(seconds))
  }
}
