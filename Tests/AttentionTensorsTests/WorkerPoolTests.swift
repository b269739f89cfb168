import AttentionTensors
import AttentionTestSupport
import Foundation
import Synchronization
import Testing

@Suite struct WorkerPoolTests {
  @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 7, 1000])
  func everyIndexOnce(_ threads: Int, _ count: Int) {
    let pool = WorkerPool(threads: threads)
    for inline in [false, true] {
      let seen = Guarded([Int](repeating: 0, count: count))
      pool.forEach(count, inline: inline) { index in seen.withLock { $0[index] += 1 } }
      #expect(seen.withLock { $0.allSatisfy { $0 == 1 } })
    }
    pool.keepAlive()
  }

  @Test func nestedCallsRunInPlace() {
    let pool = WorkerPool(threads: 3)
    let sum = Atomic<Int>(0)
    pool.forEach(10) { outer in
      pool.forEach(10) { inner in sum.wrappingAdd(outer * inner, ordering: .relaxed) }
    }
    #expect(sum.load(ordering: .relaxed) == 45 * 45)
    pool.keepAlive()
  }

  /// However many callers there are, no more threads compute than the pool has.
  @Test(arguments: [1, 2, 3])
  func callersShareTheThreads(_ threads: Int) async {
    let pool = WorkerPool(threads: threads)
    let tally = Tally()
    await withTaskGroup(of: Void.self) { group in
      for caller in 0..<64 {
        group.addTask {
          await onThread {
            for round in 0..<20 {
              pool.forEach(1 + (caller + round) % 5, inline: round % 3 == 0) { _ in tally.work() }
            }
          }
        }
      }
    }
    let expected = (0..<64).reduce(0) { sum, caller in sum + (0..<20).reduce(0) { $0 + 1 + (caller + $1) % 5 } }
    #expect(tally.total.load(ordering: .relaxed) == expected)
    #expect(tally.most.load(ordering: .relaxed) <= threads)
    pool.keepAlive()
  }

  @Test func severalThreadsTakePart() {
    let pool = WorkerPool(threads: 4)
    #expect(pool.meeting(of: 4, atMost: 10) == 4)
    pool.keepAlive()
  }
}
