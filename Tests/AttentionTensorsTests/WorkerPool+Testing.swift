import AttentionTensors
import Foundation
import Synchronization

/// Counts how many threads are at work at once.
final class Tally: Sendable {
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

/// A number that many threads add to.
final class Counter: Sendable {
  private let number: Atomic<Int>

  init(_ value: Int = 0) { number = Atomic(value) }

  var value: Int { number.load(ordering: .relaxed) }

  func add(_ summand: Int) { number.wrappingAdd(summand, ordering: .relaxed) }
}

/// Pools other than the process's own live as long as the process: their workers wait in them.
private let pools = Guarded<[WorkerPool]>([])

extension WorkerPool {
  convenience init(threads: Int, startThread: @escaping PoolThread.Starter = PoolThread.start) {
    self.init(threadCount: ThreadCount(count: threads, reason: .program), startThread: startThread)
  }

  /// Runs so many indices that wait for one another, for so many seconds at the most; answers how many met.
  func meeting(of count: Int, atMost seconds: Double) -> Int {
    let present = Atomic<Int>(0)
    let most = Atomic<Int>(0)
    let deadline = Date().addingTimeInterval(seconds)
    forEach(count) { _ in
      most.max(present.add(1, ordering: .sequentiallyConsistent).newValue, ordering: .sequentiallyConsistent)
      while most.load(ordering: .sequentiallyConsistent) < count, Date() < deadline { usleep(100) }
      present.subtract(1, ordering: .sequentiallyConsistent)
    }
    return most.load(ordering: .sequentiallyConsistent)
  }

  func keepAlive() { pools.withLock { $0.append(self) } }
}
