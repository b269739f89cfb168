import Attention

/// What is checked about a path's results, outside of the timing.
package struct Verification: Sendable {
  /// The largest distance from the float64 reference over the rows looked at; infinite where one has a NaN and the
  /// other has none.
  package let maximumError: Double
  /// The rows looked at: all, or a seeded sample.
  package let rows: Int
  /// Whether two runs and one on a single thread gave the same bits.
  package let isRepeatable: Bool
  /// Whether each value is as near to float64's x as is tolerated, 1e-5 + 5e-6·|x| unless the input has it otherwise, or
  /// else the largest error is at most twice that of plain float32 arithmetic, and 1e-7 more: past scores of ±64, that
  /// itself misses the first bound.
  package let isWithinContract: Bool

  /// - Parameter run: computes the input.
  package init(_ input: some Verifiable, seed: UInt64, run: () -> Tensor) {
    let output = run()
    let again = run()
    let threads = Engine.threadCount.count
    Engine.setThreadCount(1)
    let alone = run()
    Engine.setThreadCount(threads)
    isRepeatable = Verification.haveSameBits(output, again) && Verification.haveSameBits(output, alone)
    let error = Verification.error(of: output, input, seed: seed)
    (maximumError, rows) = (error.maximum, error.rows)
    isWithinContract =
      error.excess <= 0
      || input.runNaively().map {
        error.maximum <= 2 * Verification.error(of: $0, input, seed: seed).maximum + 1e-7
      } ?? false
  }

  /// Bits, not values: a NaN equals itself, and −0 differs from 0.
  package static func haveSameBits(_ left: Tensor, _ right: Tensor) -> Bool {
    left.withUnsafeBufferPointer { a in
      right.withUnsafeBufferPointer { b in a.elementsEqual(b) { $0.bitPattern == $1.bitPattern } }
    }
  }

  package static func error(of output: Tensor, _ input: some Verifiable, seed: UInt64) -> (
    maximum: Double, excess: Double, rows: Int
  ) {
    let rows = input.sampledRows(seed: seed)
    let largest = Guarded((error: 0.0, excess: -Double.infinity))
    input.forEachExpectedRow(rows) { row, expected in
      let found = rowError(output, row * input.valueWidth, expected, input.tolerances(of: expected))
      largest.withLock { $0 = (max($0.error, found.error), max($0.excess, found.excess)) }
    }
    let (error, excess) = largest.withLock { $0 }
    return (error, excess, rows.count)
  }

  private static func rowError(
    _ output: Tensor, _ start: Int, _ expected: [Double], _ tolerances: [Double]
  ) -> (error: Double, excess: Double) {
    output.withUnsafeBufferPointer { buffer in
      expected.indices.reduce((error: 0, excess: -Double.infinity)) { known, column in
        let value = Double(buffer[start + column])
        if value == expected[column] || value.isNaN && expected[column].isNaN { return known }
        let distance = abs(value - expected[column])
        guard distance.isFinite else { return (.infinity, .infinity) }
        return (max(known.error, distance), max(known.excess, distance - tolerances[column]))
      }
    }
  }

  /// `count` different numbers below `total`, in ascending order.
  package static func sample(_ count: Int, of total: Int, seed: UInt64) -> [Int] {
    guard count < total else { return Array(0..<total) }
    var generator = SeededGenerator(seed: seed)
    // Floyd's sampling: count draws, whatever the total.
    var chosen: Set<Int> = []
    for limit in total - count..<total {
      let draw = Int.random(in: 0...limit, using: &generator)
      chosen.insert(chosen.contains(draw) ? limit : draw)
    }
    return chosen.sorted()
  }
}
