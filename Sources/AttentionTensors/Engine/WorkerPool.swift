import CAttentionSystem
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The threads of the process that compute, shared by all callers.
///
/// One rule bounds everything: at most `threadCount` threads compute at once, workers and callers together. A thread
/// needs a *permit* to compute. A caller that gets one works on its own job beside the workers; a caller that gets none
/// waits until its job is done or a permit is free. So 64 callers on 2 threads use 2 processors and 2 of OpenBLAS's
/// work buffers, and a job always has a thread that can run it: its own caller.
///
/// A call made from inside a job runs in place. A job is cut into indices by the caller, the same ones for every
/// number of threads, so results do not depend on who runs what.
package final class WorkerPool: @unchecked Sendable {
  // @unchecked: the mutable state is guarded by `lock`.

  /// The pool of the process.
  package static let shared = WorkerPool(threadCount: Engine.startThreads.threads)

  private let lock = Lock()
  private let work = Condition()
  private var configured: ThreadCount
  private var permits: Int
  private var workers = 0
  private var idleWorkers = 0
  private var spinningWorkers = 0
  /// Changes when there may be something for a worker, so that it can look out for work without the lock.
  private let shared = Atomic<Int>(0)
  /// Jobs with unclaimed indices, oldest first.
  private var queue: [Job] = []

  package init(threadCount: ThreadCount) {
    configured = threadCount
    permits = threadCount.count
  }

  package var threadCount: ThreadCount { lock.withLock { configured } }

  func setThreadCount(_ newValue: ThreadCount) {
    lock.withLock {
      permits += newValue.count - configured.count
      configured = newValue
      wakeForFreePermits()
    }
  }

  /// Calls `body` with every index in `0..<count`, on several threads unless `inline`; returns when all calls have.
  ///
  /// - Parameters:
  ///   - count: the number of indices.
  ///   - inline: run every index on this thread, in order: for work so small that waking another thread costs more.
  ///   - body: what to do for an index; called concurrently.
  package func forEach(_ count: Int, inline: Bool = false, _ body: @Sendable (Int) -> Void) {
    guard count > 0 else { return }
    guard !PoolThread.isComputing else {
      for index in 0..<count { body(index) }
      return
    }
    withoutActuallyEscaping(body) { escapable in
      withUnsafePointer(to: escapable) { pointer in
        run(Job(count: count, mayShare: !inline && count > 1, body: pointer))
      }
    }
  }

  private func run(_ job: Job) {
    lock.acquire()
    queue.append(job)
    if job.mayShare {
      startWorkers()
      shared.wrappingAdd(1, ordering: .releasing)
    }
    while true {
      if permits > 0, job.hasUnclaimed {
        permits -= 1
        if job.mayShare { wakeForFreePermits() }
        lock.release()
        PoolThread.compute { job.runUnclaimed() }
        if job.mayShare { job.spinUntilFinished() }
        lock.acquire()
        permits += 1
        retire(job)
        wakeForFreePermits()
      }
      if job.isFinished { break }
      job.callerIsWaiting = true
      job.changed.wait(lock)
      job.callerIsWaiting = false
    }
    retire(job)
    lock.release()
  }

  /// Takes a job without unclaimed indices off the queue. Under the lock.
  private func retire(_ job: Job) {
    if let position = queue.firstIndex(where: { $0 === job && !$0.hasUnclaimed }) { queue.remove(at: position) }
  }

  /// Wakes as many threads as there are permits and jobs for: an oldest job's own caller first. Under the lock.
  private func wakeForFreePermits() {
    var free = permits
    var sleepers = idleWorkers
    var spinners = spinningWorkers
    for job in queue where free > 0 && job.hasUnclaimed {
      if job.callerIsWaiting {
        job.changed.signal()
        free -= 1
      }
      guard job.mayShare else { continue }
      var wanted = job.unclaimed
      let taken = min(free, spinners, wanted)
      if taken > 0 { shared.wrappingAdd(1, ordering: .releasing) }
      free -= taken
      spinners -= taken
      wanted -= taken
      while free > 0, sleepers > 0, wanted > 0 {
        work.signal()
        free -= 1
        sleepers -= 1
        wanted -= 1
      }
    }
  }

  /// One worker fewer than threads: the caller is the last. Under the lock.
  private func startWorkers() {
    while workers < configured.count - 1 {
      workers += 1
      PoolThread.start(named: "attention-\(workers)") { [unowned self] in self.work(forever: ()) }
    }
  }

  private func work(forever: Void) {
    lock.acquire()
    while true {
      guard permits > 0, let job = queue.first(where: { $0.mayShare && $0.hasUnclaimed }) else {
        // The next job often comes within microseconds, and waking a thread costs tens of them.
        let known = shared.load(ordering: .acquiring)
        spinningWorkers += 1
        lock.release()
        let isNew = spin(until: { shared.load(ordering: .acquiring) != known })
        lock.acquire()
        spinningWorkers -= 1
        if isNew { continue }
        // A job that came between the last look and the lock counted on this thread.
        if permits > 0, queue.contains(where: { $0.mayShare && $0.hasUnclaimed }) { continue }
        idleWorkers += 1
        work.wait(lock)
        idleWorkers -= 1
        continue
      }
      permits -= 1
      lock.release()
      PoolThread.compute { job.runUnclaimed() }
      lock.acquire()
      permits += 1
      retire(job)
      if job.isFinished { job.changed.signal() }
      wakeForFreePermits()
    }
  }
}

/// Waits some tens of microseconds for a condition; answers whether it came true.
@discardableResult
private func spin(until condition: () -> Bool) -> Bool {
  for _ in 0..<1_500 {
    if condition() { return true }
    attention_spin_hint()
  }
  return false
}

/// A count of indices, claimed one at a time by whichever thread is free.
private final class Job: Sendable {
  let count: Int
  /// Whether workers may take part.
  let mayShare: Bool
  /// Signalled when the job is finished, or when its waiting caller may compute.
  let changed = Condition()
  private let state: JobState

  init(count: Int, mayShare: Bool, body: UnsafePointer<@Sendable (Int) -> Void>) {
    self.count = count
    self.mayShare = mayShare
    state = JobState(body: body)
  }

  private let next = Atomic<Int>(0)
  private let finished = Atomic<Int>(0)

  var unclaimed: Int { max(0, count - next.load(ordering: .relaxed)) }
  var hasUnclaimed: Bool { unclaimed > 0 }
  var isFinished: Bool { finished.load(ordering: .acquiring) == count }

  /// Guarded by the pool's lock.
  var callerIsWaiting: Bool {
    get { state.callerIsWaiting }
    set { state.callerIsWaiting = newValue }
  }

  /// Claims and runs indices until none is left.
  ///
  /// The body lives on the caller's stack: it is called only for a claimed index, and the caller returns only when all
  /// claimed indices are finished.
  @inline(never) func runUnclaimed() {
    while true {
      let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
      guard index < count else { return }
      state.body.pointee(index)
      finished.wrappingAdd(1, ordering: .acquiringAndReleasing)
    }
  }

  /// Waits a few microseconds, which is what the last indices on other threads mostly take.
  func spinUntilFinished() {
    spin(until: { isFinished })
  }

  private final class JobState: @unchecked Sendable {
    // @unchecked: `callerIsWaiting` is guarded by the pool's lock, `body` never changes.
    let body: UnsafePointer<@Sendable (Int) -> Void>
    var callerIsWaiting = false
    init(body: UnsafePointer<@Sendable (Int) -> Void>) { self.body = body }
  }
}

/// What the pool knows of the thread it runs on.
private enum PoolThread {
  /// Set to a non-null value while the thread computes for the engine.
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    require(pthread_key_create(&key, nil) == 0, "WorkerPool: the system has no thread-specific keys left")
    return key
  }()

  static var isComputing: Bool { pthread_getspecific(key) != nil }

  /// Runs `body` as engine work: OpenBLAS at one thread, nested calls in place.
  static func compute(_ body: () -> Void) {
    pthread_setspecific(key, UnsafeRawPointer(bitPattern: 1))
    OpenBLAS.withOneThread(body)
    pthread_setspecific(key, nil)
  }

  private final class Start: Sendable {
    let body: @Sendable () -> Void
    init(_ body: @escaping @Sendable () -> Void) { self.body = body }
  }

  static func start(named name: String, _ body: @escaping @Sendable () -> Void) {
    let context = Unmanaged.passRetained(Start(body)).toOpaque()
    let status = attention_start_thread(name, { Unmanaged<Start>.fromOpaque($0).takeRetainedValue().body() }, context)
    require(status == 0, "WorkerPool: cannot start a thread: \(String(cString: strerror(status)))")
  }
}
