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

  init(_ input: AttentionInput, path: AttentionPath, seed: UInt64) {
    self.init(input, seed: seed) { input.run(path) }
  }

  /// - Parameter run: computes the input.
  package init(_ input: AttentionInput, seed: UInt64, run: () -> Tensor) {
    let output = run()
    let again = run()
    let threads = Engine.threadCount.count
    Engine.setThreadCount(1)
    let alone = run()
    Engine.setThreadCount(threads)
    isRepeatable = Verification.haveSameBits(output, again) && Verification.haveSameBits(output, alone)
    (maximumError, rows) = Verification.error(of: output, input, seed: seed)
  }

  /// Bits, not values: a NaN equals itself, and −0 differs from 0.
  package static func haveSameBits(_ left: Tensor, _ right: Tensor) -> Bool {
    left.withUnsafeBufferPointer { a in
      right.withUnsafeBufferPointer { b in a.elementsEqual(b) { $0.bitPattern == $1.bitPattern } }
    }
  }

  /// Multiplications of the reference that take some 0.3 s on two threads.
  private static let referenceWork = 1.2e8

  package static func error(of output: Tensor, _ input: AttentionInput, seed: UInt64) -> (maximum: Double, rows: Int) {
    let total = input.batch * input.heads * input.queryLength
    let work = Double(input.keyLength * (input.keyWidth + input.valueWidth))
    let count = min(total, max(16, Int(referenceWork / max(1, work))))
    let rows = sample(count, of: total, seed: seed)
    let reference = ReferenceAttention(
      query: input.query, key: input.key, value: input.value, mask: input.mask, options: input.options(.naive))
    let maximum = Guarded(0.0)
    WorkerPool.shared.forEach(rows.count) { index in
      let (head, query) = rows[index].quotientAndRemainder(dividingBy: input.queryLength)
      let expected = reference.row(
        sequence: head / input.heads, head: head % input.heads, query: query
      ).output
      let found = rowError(output, rows[index] * input.valueWidth, expected)
      maximum.withLock { $0 = max($0, found) }
    }
    return (maximum.withLock { $0 }, rows.count)
  }

  private static func rowError(_ output: Tensor, _ start: Int, _ expected: [Double]) -> Double {
    output.withUnsafeBufferPointer { buffer in
      expected.indices.reduce(0) { known, column in
        let value = Double(buffer[start + column])
        if value == expected[column] || value.isNaN && expected[column].isNaN { return known }
        let distance = abs(value - expected[column])
        return distance.isNaN ? .infinity : max(known, distance)
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
