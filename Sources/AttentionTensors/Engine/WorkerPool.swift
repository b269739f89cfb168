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
/// waits in line for one, or until its job is done. So 64 callers on 2 threads use 2 processors and 2 of OpenBLAS's
/// work buffers, and a job always has a thread that can run it: its own caller. No worker is ever needed, so a system
/// that starts none only costs speed.
///
/// While callers wait in line, threads give their permits back between two indices, and each goes to the caller that
/// has waited longest; workers go on when the line is empty. So a small job does not wait for a large one to end. What
/// a permit costs to hand over bounds how often: a caller that has waited keeps its own for a `fullTurn`, or a
/// `shortTurn` while somebody in line has not had a turn at all.
///
/// A call made from inside a job runs in place. A job is cut into indices by the caller, the same ones for every
/// number of threads, so results do not depend on who runs what.
package final class WorkerPool: @unchecked Sendable {
  // @unchecked: the mutable state is guarded by `lock`.

  /// The pool of the process.
  package static let shared = {
    _ = Engine.startProblem  // Products of this pool take what is looked at.
    return WorkerPool(threadCount: Engine.startThreads.threads)
  }()

  // Handing a permit over costs 10 to 25 µs.
  private static let shortTurn = Duration.microseconds(100)
  private static let fullTurn = Duration.milliseconds(1)

  private let lock = Lock()
  private let work = Condition()
  private let startThread: PoolThread.Starter
  private var configured: ThreadCount
  /// The free permits; below 0 while more threads compute than a lowered count allows.
  private var permits: Int
  /// Jobs with unclaimed indices, oldest first.
  private var queue: [Job] = []
  /// Those of them whose callers wait for a permit, in the order in which they began to. When a permit is free, there
  /// are none.
  private var line: [Job] = []
  /// The permits that threads should give back; written under the lock, read between indices.
  private let wantedPermits = Atomic<Int>(0)
  /// Those of them that are wanted after a short turn already.
  private let urgentPermits = Atomic<Int>(0)

  private var workers = 0
  /// Workers that sleep, without those that `wakes` is for.
  private var idleWorkers = 0
  /// How many of the sleeping workers have been told to look for work.
  private var wakes = 0
  private var spinningWorkers = 0
  /// Changes when there may be something for a worker, so that it can look out for work without the lock.
  private let news = Atomic<Int>(0)
  /// Whether the system may be asked for threads: not again after it refused one, until the count is set.
  private var mayStartWorkers = true
  private var startFailure: Int32?

  /// - Parameters:
  ///   - threadCount: how many threads compute at the most.
  ///   - startThread: how a worker's thread is started.
  package init(threadCount: ThreadCount, startThread: @escaping PoolThread.Starter = PoolThread.start) {
    configured = threadCount
    permits = threadCount.count
    self.startThread = startThread
  }

  package var threadCount: ThreadCount { lock.withLock { configured } }

  package func setThreadCount(_ newValue: ThreadCount) {
    lock.withLock {
      permits += newValue.count - configured.count
      configured = newValue
      mayStartWorkers = true
      startFailure = nil
      grantToLine()
      wakeWorkers()
    }
  }

  /// That the system refused threads which the count asks for, and why; or nil.
  package var warning: String? {
    lock.withLock {
      guard let startFailure, workers < configured.count - 1 else { return nil }
      return "the system starts no more threads (\(String(cString: strerror(startFailure)))): "
        + "\(workers + 1) of \(configured.count) compute; results hold, speeds do not"
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

  /// ``forEach(_:inline:_:)`` for work that never enters OpenBLAS: what runs inline takes no turn among the calls that do,
  /// and so never waits for one.
  package func forEachWithoutProducts(_ count: Int, inline: Bool, _ body: @Sendable (Int) -> Void) {
    guard inline else { return forEach(count, body) }
    for index in 0..<count { body(index) }
  }

  private func run(_ job: Job) {
    lock.acquire()
    queue.append(job)
    job.isListed = true
    if job.mayShare { startWorkers() }
    takePermit(for: job)
    var turnStart: ContinuousClock.Instant?
    while true {
      if job.callerHasPermit {
        if job.mayShare { wakeWorkers() }
        lock.release()
        compute(job, since: turnStart)
        if job.mayShare, !job.hasUnclaimed {
          // A few microseconds are what the last indices on other threads mostly take.
          spin(until: { job.isFinished || wantedPermits.load(ordering: .relaxed) != 0 })
        }
        lock.acquire()
        job.callerHasPermit = false
        giveBackPermit(of: job)
        if job.hasUnclaimed { takePermit(for: job) }
        wakeWorkers()
      } else if job.isFinished {
        // Workers may have finished it while its caller stood in line.
        if job.isListed { retire(job) }
        break
      } else {
        job.changed.wait(lock)
        turnStart = .now
      }
    }
    lock.release()
  }

  /// Runs indices of the job until none is left, or until somebody else should have the permit.
  ///
  /// - Parameter turnStart: when the thread got its permit, if others may have waited then.
  @inline(never) private func compute(_ job: Job, since turnStart: ContinuousClock.Instant?) {
    PoolThread.compute {
      while job.runOne() {
        guard wantedPermits.load(ordering: .relaxed) != 0 else { continue }
        guard let turnStart else { return }
        let isUrgent = urgentPermits.load(ordering: .relaxed) != 0
        if turnStart.duration(to: .now) >= (isUrgent ? WorkerPool.shortTurn : WorkerPool.fullTurn) { return }
      }
    }
  }

  // MARK: Permits (all under the lock)

  /// Gives the job's caller a permit, or a place in the line.
  private func takePermit(for job: Job) {
    if permits > 0 {
      permits -= 1
      job.callerHasPermit = true
      job.hasHadTurn = true
    } else {
      line.append(job)
      publishWantedPermits()
    }
  }

  /// Takes back the permit of a thread that has worked on this job.
  private func giveBackPermit(of job: Job) {
    permits += 1
    if job.isListed, !job.hasUnclaimed { retire(job) }
    if wantedPermits.load(ordering: .relaxed) != 0 { grantToLine() }
  }

  /// Hands free permits to the callers in line. The permit is theirs at once: nobody overtakes them before they run.
  private func grantToLine() {
    while permits > 0, !line.isEmpty {
      let job = line.removeFirst()
      guard job.hasUnclaimed else { continue }
      permits -= 1
      job.callerHasPermit = true
      job.hasHadTurn = true
      job.changed.signal()
    }
    publishWantedPermits()
  }

  /// Takes a job without unclaimed indices out of the queue and the line.
  private func retire(_ job: Job) {
    if let position = queue.firstIndex(where: { $0 === job }) { queue.remove(at: position) }
    job.isListed = false
    if !line.isEmpty, let position = line.firstIndex(where: { $0 === job }) {
      line.remove(at: position)
      publishWantedPermits()
    }
  }

  private func publishWantedPermits() {
    let excess = max(0, -permits)
    wantedPermits.store(line.count + excess, ordering: .relaxed)
    urgentPermits.store(line.count { !$0.hasHadTurn } + excess, ordering: .relaxed)
  }

  // MARK: Workers

  /// The oldest job that a worker can help with. Under the lock.
  private var sharedJob: Job? { queue.first { $0.mayShare && $0.hasUnclaimed } }

  /// Wakes as many workers as there are free permits and indices for them. Under the lock.
  ///
  /// Called whenever permits or indices have been added, and by every worker that takes a permit: those that it counted
  /// on may find that somebody was faster, or be fewer than it thought.
  private func wakeWorkers() {
    guard permits > 0, idleWorkers + spinningWorkers > 0 else { return }
    var wanted = 0
    for job in queue where wanted < permits && job.mayShare { wanted += min(job.unclaimed, permits) }
    wanted = min(wanted, permits)
    if wanted > 0, spinningWorkers > 0 { news.wrappingAdd(1, ordering: .releasing) }
    for _ in 0..<min(max(0, wanted - spinningWorkers), idleWorkers) {
      idleWorkers -= 1
      wakes += 1
      work.signal()
    }
  }

  /// One worker fewer than threads: the caller is the last. Under the lock.
  private func startWorkers() {
    while workers < configured.count - 1, mayStartWorkers {
      let status = startThread("attention-\(workers + 1)") { [unowned self] in self.work(forever: ()) }
      if status == 0 {
        workers += 1
      } else {
        startFailure = status
        mayStartWorkers = false
      }
    }
  }

  private func work(forever: Void) {
    lock.acquire()
    while true {
      guard permits > 0, let job = sharedJob else {
        rest()
        continue
      }
      permits -= 1
      wakeWorkers()
      lock.release()
      compute(job, since: nil)
      lock.acquire()
      giveBackPermit(of: job)
      if job.isFinished { job.changed.signal() }
    }
  }

  /// Waits until there may be something to do. Under the lock.
  private func rest() {
    // The next job often comes within microseconds, and waking a thread costs tens of them. Without a free permit
    // other threads compute, and may need this processor for it.
    if permits > 0 {
      let known = news.load(ordering: .acquiring)
      spinningWorkers += 1
      lock.release()
      let isNew = spin(until: { news.load(ordering: .acquiring) != known })
      lock.acquire()
      spinningWorkers -= 1
      // A job that came between the last look and the lock counted on this thread.
      if isNew || (permits > 0 && sharedJob != nil) { return }
    }
    idleWorkers += 1
    while wakes == 0 { work.wait(lock) }
    wakes -= 1
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
private final class Job: @unchecked Sendable {
  // @unchecked: the variables are guarded by the pool's lock, `body` never changes.

  let count: Int
  /// Whether workers may take part.
  let mayShare: Bool
  /// Signalled when the job is finished, or when its caller was given a permit.
  let changed = Condition()
  /// Whether the caller holds a permit.
  var callerHasPermit = false
  /// Whether the caller holds a permit or has held one.
  var hasHadTurn = false
  /// Whether the pool's queue holds the job.
  var isListed = false
  private let body: UnsafePointer<@Sendable (Int) -> Void>
  private let next = Atomic<Int>(0)
  private let finished = Atomic<Int>(0)

  init(count: Int, mayShare: Bool, body: UnsafePointer<@Sendable (Int) -> Void>) {
    self.count = count
    self.mayShare = mayShare
    self.body = body
  }

  var unclaimed: Int { max(0, count - next.load(ordering: .relaxed)) }
  var hasUnclaimed: Bool { unclaimed > 0 }
  var isFinished: Bool { finished.load(ordering: .acquiring) == count }

  /// Claims and runs an index; answers false when none was left.
  ///
  /// The body lives on the caller's stack: it is called only for a claimed index, and the caller returns only when all
  /// claimed indices are finished.
  @inline(__always) func runOne() -> Bool {
    let index = next.wrappingAdd(1, ordering: .relaxed).oldValue
    guard index < count else { return false }
    body.pointee(index)
    finished.wrappingAdd(1, ordering: .acquiringAndReleasing)
    return true
  }
}
