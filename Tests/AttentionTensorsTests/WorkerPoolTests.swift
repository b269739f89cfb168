import AttentionTensors
import AttentionTestSupport
import Foundation
import Synchronization
import Testing

@Suite struct WorkerPoolTests {
  private static func pool(_ threads: Int) -> WorkerPool {
    WorkerPool(threadCount: ThreadCount(count: threads, reason: .program))
  }

  @Test(arguments: [1, 2, 3, 8], [0, 1, 2, 7, 1000])
  func everyIndexOnce(_ threads: Int, _ count: Int) {
    let pool = Self.pool(threads)
    for inline in [false, true] {
      let seen = Guarded([Int](repeating: 0, count: count))
      pool.forEach(count, inline: inline) { index in seen.withLock { $0[index] += 1 } }
      #expect(seen.withLock { $0.allSatisfy { $0 == 1 } })
    }
    pool.keepAlive()
  }

  @Test func nestedCallsRunInPlace() {
    let pool = Self.pool(3)
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
    let pool = Self.pool(threads)
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
    let pool = Self.pool(4)
    let threads = Guarded(Set<UInt>())
    // Each index waits for company, for at most two seconds, so that one thread cannot take all of them.
    let arrived = Atomic<Int>(0)
    pool.forEach(4) { _ in
      arrived.wrappingAdd(1, ordering: .sequentiallyConsistent)
      let deadline = Date().addingTimeInterval(2)
      while arrived.load(ordering: .sequentiallyConsistent) < 4, Date() < deadline { usleep(100) }
      let thread = UInt(bitPattern: Thread.current.hash)
      threads.withLock { _ = $0.insert(thread) }
    }
    #expect(threads.withLock(\.count) > 1)
    pool.keepAlive()
  }
}

/// Counts how many threads are at work at once.
private final class Tally: Sendable {
  let running = Atomic<Int>(0)
  let most = Atomic<Int>(0)
  let total = Atomic<Int>(0)

  func work() {
    let now = running.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
    most.max(now, ordering: .sequentiallyConsistent)
    var x = 1.0
    for _ in 0..<2_000 { x = x * 1.000001 + 1 }
    total.wrappingAdd(x > 0 ? 1 : 0, ordering: .relaxed)
    running.wrappingSubtract(1, ordering: .sequentiallyConsistent)
  }
}

/// Pools other than the process's own live as long as the process: their workers wait in them.
private let pools = Guarded<[WorkerPool]>([])

extension WorkerPool {
  fileprivate func keepAlive() { pools.withLock { $0.append(self) } }
}
