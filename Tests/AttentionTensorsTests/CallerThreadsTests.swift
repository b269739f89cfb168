import AttentionTensors
import AttentionTestSupport
import Foundation
import Synchronization
import Testing

/// Calls that tasks hand over to threads of their own kind.
@Suite struct CallerThreadsTests {
  /// Threads wait for calls as long as the process lives.
  private static let kept = Guarded<[CallerThreads]>([])

  private static func threads(_ limit: Int, startThread: @escaping PoolThread.Starter = PoolThread.start)
    -> CallerThreads
  {
    let threads = CallerThreads(startThread: startThread) { limit }
    kept.withLock { $0.append(threads) }
    return threads
  }

  /// Every call runs once, answers its own task, and no more run at once than there may be.
  @Test(arguments: [1, 2, 5])
  func callsOfManyTasks(_ limit: Int) async {
    let threads = Self.threads(limit)
    let tally = Tally()
    let wrong = await withTaskGroup(of: Bool.self) { group in
      for task in 0..<200 {
        group.addTask {
          await threads.run {
            tally.work()
            return task
          } != task
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(wrong == 0)
    #expect(tally.total.load(ordering: .relaxed) == 200)
    #expect(tally.most.load(ordering: .relaxed) <= limit)
    #expect(threads.warning == nil)
  }

  /// Threads are kept, and so many calls run at once as may: they wait for one another.
  @Test func callsMeetOnThreadsThatAreKept() async {
    let system = Counter()
    let threads = Self.threads(3) { name, body in
      system.add(1)
      return PoolThread.start(named: name, body)
    }
    for _ in 0..<20 {
      let present = Counter()
      let met = await withTaskGroup(of: Bool.self) { group in
        for _ in 0..<3 {
          group.addTask {
            await threads.run {
              present.add(1)
              let deadline = Date().addingTimeInterval(20)
              while present.value < 3, Date() < deadline { usleep(50) }
              return present.value == 3
            }
          }
        }
        return await group.allSatisfy { $0 }
      }
      #expect(met)
    }
    #expect(system.value == 3)
  }

  /// What a call holds is let go when it is done, not when the next one comes.
  @Test func callsAreReleased() async {
    final class Token: Sendable {}
    let threads = Self.threads(1)
    var token: Token? = Token()
    weak let observer = token
    await threads.run { [token] in withExtendedLifetime(token) {} }
    token = nil
    // The thread lets go of the call after the task goes on.
    let deadline = Date().addingTimeInterval(20)
    while observer != nil, Date() < deadline { await Task.yield() }
    #expect(observer == nil)
  }

  /// A system that grants no thread, or too few: every call runs all the same, and a warning says where.
  @Test(arguments: [0, 1])
  func refusedThreads(_ granted: Int) async {
    let requests = Counter()
    let isGenerous = Atomic<Bool>(false)
    let threads = Self.threads(4) { name, body in
      requests.add(1)
      guard requests.value <= granted || isGenerous.load(ordering: .relaxed) else { return EAGAIN }
      return PoolThread.start(named: name, body)
    }
    func sum() async -> Int {
      await withTaskGroup(of: Int.self) { group in
        for task in 0..<50 {
          group.addTask {
            await threads.run {
              usleep(100)
              return task
            }
          }
        }
        return await group.reduce(0, +)
      }
    }
    #expect(await sum() == 1225)
    #expect(requests.value == granted + 1)
    let warning = threads.warning ?? ""
    #expect(warning.contains(String(cString: strerror(EAGAIN))))
    #expect(warning.contains(granted == 0 ? "block the threads of the tasks" : "1 async calls run at once"))

    isGenerous.store(true, ordering: .relaxed)
    threads.askAgain()
    #expect(await sum() == 1225)
    #expect(threads.warning == nil)
    #expect(requests.value > granted + 1)
  }

  /// Calls whose tasks are cancelled while they are queued end while the thread is still held, and never run.
  @Test func cancelledCallsLeaveTheQueue() async {
    let threads = Self.threads(1)
    let (isHeld, isOpen) = (Guarded(false), Guarded(false))
    let ran = Counter()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        await threads.run {
          isHeld.withLock { $0 = true }
          while !isOpen.withLock({ $0 }) { usleep(50) }
        }
      }
      while !isHeld.withLock({ $0 }) { await Task.yield() }
      let queued = (0..<10).map { place in
        Task {
          await threads.runUnlessCancelled {
            ran.add(1)
            return place
          }
        }
      }
      // The thread is held: that they end at all shows that they did not wait for it.
      while threads.waitingCallCount < 10 { await Task.yield() }
      for task in queued where task != queued[3] { task.cancel() }
      for task in queued where task != queued[3] {
        let answer = await task.value
        #expect(answer == nil)
      }
      #expect(ran.value == 0)
      isOpen.withLock { $0 = true }
      let kept = await queued[3].value
      #expect(kept == 3)
    }
    #expect(ran.value == 1)
    // A task that is cancelled before it makes the call.
    let late = Task {
      while !Task.isCancelled { await Task.yield() }
      return await threads.runUnlessCancelled { ran.add(1) }
    }
    late.cancel()
    let answer: Void? = await late.value
    #expect(answer == nil && ran.value == 1)
    let after = await threads.runUnlessCancelled { 5 }
    #expect(after == 5 && threads.waitingCallCount == 0)
  }

  /// A long call that ends its turn when others wait lets a short one through.
  @Test func longCallsTakeTurns() async {
    let threads = Self.threads(1)
    let (turns, isShortDone) = (Counter(), Guarded(false))
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        var isDone = false
        while !isDone {
          isDone = await threads.run {
            turns.add(1)
            while threads.waitingCallCount == 0, !isShortDone.withLock({ $0 }) { usleep(50) }
            return isShortDone.withLock({ $0 })
          }
        }
      }
      while turns.value == 0 { await Task.yield() }
      await threads.run { isShortDone.withLock { $0 = true } }
    }
    #expect(turns.value >= 1 && isShortDone.withLock({ $0 }))
  }
}
