import AttentionBenchmarks
import AttentionTensors
import Foundation
import Testing

/// Medians and deviations against values computed by hand.
@Suite("Statistics")
struct StatisticsTests {
  @Test(
    arguments: [
      ([5.0], 5.0, 0.0, 5.0), ([1, 2], 1.5, 0.5, 1), ([3, 1, 2], 2, 1, 1), ([1, 1, 2, 2, 4, 6, 9], 2, 1, 1),
      ([4, 4, 4, 4], 4, 0, 4), ([10, 20, 30, 40], 25, 10, 10),
    ])
  func values(samples: [Double], median: Double, deviation: Double, minimum: Double) {
    let statistics = Statistics(samples)
    #expect(statistics.count == samples.count)
    #expect(statistics.median == median)
    #expect(statistics.medianAbsoluteDeviation == deviation)
    #expect(statistics.minimum == minimum)
  }

  @Test func outliersAreFarFromTheMedian() {
    // Median 10.5, distances 0.5 … 4.5 and 89.5: their median is 2.5, and 14.826 · 2.5 = 37.1.
    let samples = [6.0, 7, 8, 9, 10, 11, 12, 13, 14, 100]
    #expect(Statistics(samples).outliers == 1)
    #expect(Statistics(samples.dropLast() + [47.5]).outliers == 0)
    // Too few samples tell nothing, and neither does a deviation of 0.
    #expect(Statistics([1, 2, 1000]).outliers == 0)
    #expect(Statistics([Double](repeating: 1, count: 9) + [1000]).outliers == 0)
  }

  @Test func oneIsAndTwoAre() {
    let samples = [6.0, 7, 8, 9, 10, 11, 12, 13, 14]
    let one = outlierWarnings([("case", Statistics(samples + [100])), ("calm", Statistics(samples))])
    #expect(one == ["case: 1 of 10 samples is far from the median; was the machine busy?"])
    let two = outlierWarnings([("case", Statistics(samples + [100, 100]))])
    #expect(two == ["case: 2 of 11 samples are far from the median; was the machine busy?"])
  }

  @Test func scaling() {
    let scaled = Statistics([1, 2, 4]).scaled(by: 10)
    #expect(scaled.median == 20 && scaled.medianAbsoluteDeviation == 10 && scaled.minimum == 10 && scaled.count == 3)
  }

  @Test(arguments: [(1, 20), (5, 20), (7, 20), (20, 20), (19, 20), (3, 3)])
  func samplesAreSpreadOverAllRounds(planned: Int, rounds: Int) {
    var work = TimedWork("nothing", repeats: planned, budget: nil, sampleSeconds: 0) { _ in }
    work.warmUp()
    let due = (0..<rounds).filter { work.isDue(round: $0, of: rounds) }
    #expect(due.count == planned)
  }

  @Test func everyWorkGetsItsSamples() {
    var works = [2, 5, 1].map { TimedWork("\($0)", repeats: $0, budget: nil, sampleSeconds: 0) { _ in } }
    var generator = SeededGenerator(seed: 3)
    var steps = 0
    works.measureInterleaved(using: &generator) { _, all, _ in steps += all == 8 ? 1 : 0 }
    #expect(works.map(\.samples.count) == [2, 5, 1] && steps == 8)
  }

  /// The iterations of each call, in order.
  private final class Calls {
    var counts: [Int] = []
  }

  @Test func everySampleIsWarmedUpAndLongEnoughThoughTheFirstRunWasDisturbed() throws {
    let calls = Calls()
    // A millisecond a run, but for the first of all.
    let work = TimedWork("sleep", repeats: 3, budget: nil, sampleSeconds: 0.002) { iterations in
      Thread.sleep(forTimeInterval: calls.counts.isEmpty ? 0.06 : Double(iterations) * 1e-3)
      calls.counts.append(iterations)
    }
    var works = [work]
    var generator = SeededGenerator(seed: 1)
    works.measureInterleaved(using: &generator) { _, _, _ in }
    let (taken, calibration) = (calls.counts.suffix(6), calls.counts.dropLast(6))
    let warmUps = taken.enumerated().filter { $0.offset % 2 == 0 }
    let samples = taken.enumerated().filter { $0.offset % 2 == 1 }
    #expect(calibration.first == 1 && calibration.count >= 3)
    #expect(Set(samples.map(\.element)).count == 1 && samples.allSatisfy { (1...3).contains($0.element) })
    // 50 ms, of runs that sleep 1 ms at the least.
    #expect(warmUps.allSatisfy { (5...50).contains($0.element) }, "\(calls.counts)")
    #expect(works[0].samples.count == 3 && works[0].samples.allSatisfy { $0 >= 0.001 })
  }

  @Test(arguments: [(0, 0), (5, 5), (5, 9), (3, 10), (16, 1_000_000)])
  func sampledRowsAreDifferentAndInside(count: Int, total: Int) {
    let rows = Verification.sample(count, of: total, seed: 9)
    #expect(rows.count == count && Set(rows).count == count && rows == rows.sorted())
    #expect(rows.allSatisfy { (0..<total).contains($0) })
    #expect(rows == Verification.sample(count, of: total, seed: 9))
  }
}
