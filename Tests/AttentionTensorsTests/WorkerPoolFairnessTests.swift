import AttentionTensors
import AttentionTestSupport
import Foundation
import Synchronization
import Testing

/// Callers beside each other. What a caller waits for is told by counting indices, not by clocks.
@Suite struct WorkerPoolFairnessTests {
  /// A call of a few indices ends while jobs of thousands are still far from their end.
  @Test(arguments: [1, 2, 3], [1, 3])
  func aSmallJobDoesNotWaitForLargeOnes(_ threads: Int, _ smallCount: Int) async {
    let pool = WorkerPool(threads: threads)
    for inline in [false, true] {
      let large = LargeJobs(callers: threads, indices: 1_000)
      async let ends: Void = large.run(on: pool)
      await onThread {
        large.waitUntilRunning()
        let seen = Counter()
        pool.forEach(smallCount, inline: inline) { _ in seen.add(1) }
        large.noteStartedAndHurry()
        #expect(seen.value == smallCount)
      }
      await ends
      #expect(large.finished == threads * 1_000)
      // Each index of the small job waits for about one of the others'; a machine under load may be slower.
      #expect(large.startedWhenNoted < threads * 500)
    }
    pool.keepAlive()
  }

  /// A caller that has given its permit back is not forgotten: two large jobs on one thread both go on.
  @Test func largeJobsTakeTurns() async {
    let pool = WorkerPool(threads: 1)
    let counts = Guarded([0, 0])
    let leastWhenOneEnded = Guarded<Int?>(nil)
    await withTaskGroup(of: Void.self) { group in
      for caller in 0..<2 {
        group.addTask {
          await onThread {
            pool.forEach(400) { _ in
              usleep(500)
              counts.withLock { $0[caller] += 1 }
            }
            let least = counts.withLock { $0.min()! }
            leastWhenOneEnded.withLock { if $0 == nil { $0 = least } }
          }
        }
      }
    }
    #expect(counts.withLock { $0 } == [400, 400])
    // One after the other would leave the second at 0 or few.
    let least = leastWhenOneEnded.withLock { $0 ?? 0 }
    #expect(least > 100)
    pool.keepAlive()
  }

  /// 64 callers whose jobs give permits back all the time: the cap holds, and every index runs once.
  @Test(arguments: [1, 2, 3])
  func theCapHoldsWhileTurnsChange(_ threads: Int) async {
    let pool = WorkerPool(threads: threads)
    let tally = Tally()
    await withTaskGroup(of: Void.self) { group in
      for caller in 0..<64 {
        group.addTask {
          await onThread {
            pool.forEach(40, inline: caller % 4 == 0) { _ in
              tally.work()
              // Longer than a turn now and then, so that permits change hands.
              if caller % 8 == 0 { usleep(200) }
            }
          }
        }
      }
    }
    #expect(tally.total.load(ordering: .relaxed) == 64 * 40)
    #expect(tally.most.load(ordering: .relaxed) <= threads)
    pool.keepAlive()
  }

  /// The thread count goes up and down under 16 callers with thousands of jobs; each checks its own results.
  @Test func theThreadCountChangesUnderCallers() async {
    let pool = WorkerPool(threads: 2)
    let tally = Tally()
    let running = Counter(16)
    let wrong = Counter()
    await withTaskGroup(of: Void.self) { group in
      for caller in 0..<16 {
        group.addTask {
          await onThread {
            for round in 0..<250 {
              let count = 1 + (caller * 7 + round) % 23
              var results = [Float](repeating: 0, count: count)
              results.withUnsafeMutableBufferPointer { buffer in
                let pointer = SendablePointer(buffer.baseAddress!)
                pool.forEach(count, inline: (caller + round) % 5 == 0) { index in
                  tally.work()
                  pointer.value[index] += Float(caller + round + index)
                }
              }
              if results != (0..<count).map({ Float(caller + round + $0) }) { wrong.add(1) }
            }
            running.add(-1)
          }
        }
      }
      group.addTask {
        await onThread {
          var step = 0
          while running.value > 0 {
            step += 1
            pool.setThreadCount(ThreadCount(count: [1, 4, 2, 3, 1, 2][step % 6], reason: .program))
            usleep(300)
          }
        }
      }
    }
    #expect(wrong.value == 0)
    #expect(tally.most.load(ordering: .relaxed) <= 4)
    // Every permit has come back: as many threads as are asked for compute again, and no more.
    pool.setThreadCount(ThreadCount(count: 3, reason: .program))
    #expect(pool.meeting(of: 3, atMost: 10) == 3)
    #expect(pool.meeting(of: 4, atMost: 0.3) == 3)
    pool.keepAlive()
  }

  /// A lowered count holds for the job that is under way, too.
  @Test func aLoweredCountHoldsAtOnce() async {
    let pool = WorkerPool(threads: 3)
    let running = Atomic<Int>(0)
    let isLowered = Atomic<Bool>(false)
    let alone = Atomic<Int>(0)
    await onThread {
      pool.forEach(20_000) { index in
        let isAlone = running.add(1, ordering: .sequentiallyConsistent).newValue == 1
        if index == 10 {
          pool.setThreadCount(ThreadCount(count: 1, reason: .program))
          isLowered.store(true, ordering: .sequentiallyConsistent)
        }
        if alone.load(ordering: .relaxed) < 50 {
          usleep(200)
          let isStillAlone = isAlone && running.load(ordering: .sequentiallyConsistent) == 1
          if isLowered.load(ordering: .sequentiallyConsistent) {
            if isStillAlone { alone.add(1, ordering: .relaxed) } else { alone.store(0, ordering: .relaxed) }
          }
        }
        running.subtract(1, ordering: .sequentiallyConsistent)
      }
    }
    #expect(alone.load(ordering: .relaxed) >= 50)
    pool.keepAlive()
  }
}

/// Callers on threads of their own, each with a job of many indices of a millisecond.
private final class LargeJobs: Sendable {
  private let callers: Int
  private let indices: Int
  private let started = Atomic<Int>(0)
  private let ended = Atomic<Int>(0)
  private let noted = Atomic<Int>(Int.max)

  init(callers: Int, indices: Int) {
    self.callers = callers
    self.indices = indices
  }

  var finished: Int { ended.load(ordering: .relaxed) }
  var startedWhenNoted: Int { noted.load(ordering: .relaxed) }

  func run(on pool: WorkerPool) async {
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<callers {
        group.addTask { [self] in
          await onThread { [self] in
            pool.forEach(indices) { _ in
              started.add(1, ordering: .relaxed)
              if startedWhenNoted == Int.max { usleep(1_000) }
              ended.add(1, ordering: .relaxed)
            }
          }
        }
      }
    }
  }

  func waitUntilRunning() {
    while started.load(ordering: .relaxed) <= callers { usleep(100) }
  }

  /// Notes how many indices have started, and lets the rest do nothing.
  func noteStartedAndHurry() { noted.store(started.load(ordering: .relaxed), ordering: .relaxed) }
}
