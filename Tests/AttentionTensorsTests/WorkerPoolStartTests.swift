import AttentionTensors
import AttentionTestSupport
import Foundation
import Synchronization
import Testing

/// How the workers' threads come to be, or do not.
@Suite struct WorkerPoolStartTests {
  /// Without the threads that it asks for, the pool goes on with those that it has, and does not ask at every call.
  @Test(arguments: [0, 1])
  func refusedThreads(_ granted: Int) async {
    let system = Refusing(after: granted)
    let pool = WorkerPool(threads: 4, startThread: system.start)
    #expect(pool.warning == nil)
    let sum = Counter()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          await onThread {
            for _ in 0..<200 { pool.forEach(10) { sum.add($0) } }
          }
        }
      }
    }
    #expect(sum.value == 8 * 200 * 45)
    #expect(system.requests == granted + 1)
    let warning = pool.warning ?? ""
    #expect(warning.contains(String(cString: strerror(EAGAIN))))
    #expect(warning.contains("\(granted + 1) of 4"))
    #expect(pool.threadCount.count == 4)
    #expect(await onThread { pool.meeting(of: 2, atMost: granted == 0 ? 0.2 : 10) } == granted + 1)

    // Setting the count asks again, once; with fewer threads nothing is missing.
    pool.setThreadCount(ThreadCount(count: 3, reason: .program))
    for _ in 0..<10 { pool.forEach(10) { sum.add($0) } }
    #expect(system.requests == granted + 2)
    pool.setThreadCount(ThreadCount(count: granted + 1, reason: .program))
    #expect(pool.warning == nil)

    system.refuses.store(false, ordering: .relaxed)
    pool.setThreadCount(ThreadCount(count: 4, reason: .program))
    #expect(await onThread { pool.meeting(of: 4, atMost: 10) } == 4)
    #expect(pool.warning == nil)
    pool.keepAlive()
  }

  #if os(Linux)
    /// The same with the system's own refusal, in the pool of the process.
    @Test func theSystemRefuses() async {
      await #expect(processExitsWith: .success) {
        setDefaultStack(bytes: 1 << 50)
        var token: Token? = Token()
        weak let observer = token
        let status = PoolThread.start(named: "refused") { [token] in withExtendedLifetime(token) {} }
        if status != EAGAIN { exit(2) }
        token = nil
        if observer != nil { exit(3) }

        Engine.setThreadCount(3)
        let before = Engine.warnings
        let sum = Counter()
        WorkerPool.shared.forEach(100) { sum.add($0) }
        if sum.value != 4950 { exit(4) }
        let added = Engine.warnings.filter { !before.contains($0) }
        guard added.count == 1, added[0].contains("Resource temporarily unavailable") else { exit(5) }

        setDefaultStack(bytes: 1 << 21)
        Engine.setThreadCount(3)
        if WorkerPool.shared.meeting(of: 3, atMost: 10) != 3 { exit(6) }
        if Engine.warnings != before { exit(7) }
      }
    }
  #endif

  /// A host program's handlers run on the host's threads; faults stay where they happen.
  @Test func workersLeaveSignalsToTheHost() async {
    let (seen, after) = await onThread {
      // Other libraries' threads block much, and a new thread inherits it.
      var mask = sigset_t()
      sigemptyset(&mask)
      sigaddset(&mask, SIGUSR2)
      pthread_sigmask(SIG_SETMASK, &mask, nil)
      let seen = Guarded<Set<Int32>>([])
      let ended = DispatchSemaphore(value: 0)
      let status = PoolThread.start(named: "signals") {
        seen.withLock { $0 = blockedSignals() }
        ended.signal()
      }
      if status == 0 { ended.wait() }
      return (seen.withLock { $0 }, blockedSignals())
    }
    #expect(seen.isSuperset(of: [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, SIGALRM, SIGPIPE]))
    #expect(seen.isDisjoint(with: [SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT]))
    #expect(after == [SIGUSR2])
  }
}

/// A system that grants so many threads and then no more.
private final class Refusing: Sendable {
  let refuses = Atomic<Bool>(true)
  private let granted: Int
  private let count = Atomic<Int>(0)

  init(after granted: Int) { self.granted = granted }

  var requests: Int { count.load(ordering: .relaxed) }

  @Sendable func start(named name: String, _ body: @escaping @Sendable () -> Void) -> Int32 {
    let earlier = count.add(1, ordering: .relaxed).oldValue
    guard earlier < granted || !refuses.load(ordering: .relaxed) else { return EAGAIN }
    return PoolThread.start(named: name, body)
  }
}

private final class Token: Sendable {}

/// The signals that this thread blocks.
private func blockedSignals() -> Set<Int32> {
  var mask = sigset_t()
  pthread_sigmask(SIG_SETMASK, nil, &mask)
  return Set((1..<32).filter { sigismember(&mask, $0) == 1 })
}

#if os(Linux)
  /// Sets the stack of threads to come: the system refuses a thread whose stack no address space can hold.
  private func setDefaultStack(bytes: Int) {
    typealias Setter = @convention(c) (UnsafePointer<pthread_attr_t>) -> Int32
    guard let address = dlsym(nil, "pthread_setattr_default_np") else { exit(10) }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    if pthread_attr_setstacksize(&attributes, bytes) != 0 { exit(11) }
    if unsafeBitCast(address, to: Setter.self)(&attributes) != 0 { exit(12) }
  }
#endif
