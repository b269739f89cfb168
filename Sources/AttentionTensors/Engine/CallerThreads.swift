#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Threads that make calls into the engine on behalf of tasks.
///
/// A call may wait for a permit of the ``WorkerPool``, or for the last indices of its job. On one of Swift concurrency's
/// threads it would hold one of few, and on a worker it would count as nested and run in place. So each call of an
/// `async` entry point is queued here, first come first served, and its task is suspended until it is done.
///
/// Threads are started when a call finds none idle, up to a limit, and kept. They compute under the pool's permits as
/// any caller does.
package final class CallerThreads: @unchecked Sendable {
  // @unchecked: the mutable state is guarded by `lock`.

  /// Those of the process.
  ///
  /// As many as compute at once, so that calls too small to be shared fill the machine. Four at least, so that on a small
  /// machine a short call takes turns with three long ones instead of waiting for their ends. No more than that: each
  /// call under way holds its results and its scratch.
  package static let shared = CallerThreads { max(4, WorkerPool.shared.threadCount.count) }

  private typealias Call = @Sendable () -> Void

  private let lock = Lock()
  private let work = Condition()
  private let limit: @Sendable () -> Int
  private let startThread: PoolThread.Starter
  /// Calls that no thread has taken up, oldest first.
  private var queue: [Call] = []
  private var threads = 0
  /// Threads that wait for a call, those included that have been woken for one in the queue.
  private var idleThreads = 0
  /// Whether the system may be asked for threads: not again after it refused one, until ``askAgain()``.
  private var mayStartThreads = true
  private var startFailure: Int32?

  /// - Parameters:
  ///   - startThread: how a thread is started.
  ///   - limit: how many threads there are at the most.
  package init(startThread: @escaping PoolThread.Starter = PoolThread.start, limit: @escaping @Sendable () -> Int) {
    self.startThread = startThread
    self.limit = limit
  }

  /// Runs `body` on one of the threads while the task is suspended.
  ///
  /// Where the system has started none at all, `body` runs on the task's own thread.
  package func run<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result {
    // The result goes by a lock: what a continuation orders, the thread sanitizer on Linux does not see.
    let result = Guarded<Result?>(nil)
    // The task may write to what the body holds as soon as it goes on: by then the body is gone from the other thread.
    let body = Guarded<(@Sendable () -> Result)?>(body)
    await withUnsafeContinuation { continuation in
      submit {
        let answer = body.withLock { $0.take() }!()
        result.withLock { $0 = answer }
        continuation.resume()
      }
    }
    guard let answer = result.withLock({ $0.take() }) else { fatalError("CallerThreads: a call gave no result") }
    return answer
  }

  /// Asks the system for threads again, although it has refused some.
  package func askAgain() {
    lock.withLock {
      mayStartThreads = true
      startFailure = nil
    }
  }

  /// That the system refused threads, and what comes of it; or nil.
  package var warning: String? {
    lock.withLock {
      guard let startFailure else { return nil }
      let consequence =
        threads == 0
        ? "async calls block the threads of the tasks that make them"
        : "\(threads) async calls run at once, and others wait for them"
      return "the system starts no more threads (\(String(cString: strerror(startFailure)))): \(consequence)"
    }
  }

  private func submit(_ call: @escaping Call) {
    let limit = limit()
    lock.acquire()
    if idleThreads <= queue.count, threads < limit, mayStartThreads { startOneThread() }
    guard threads > 0 else {
      lock.release()
      return call()
    }
    queue.append(call)
    work.signal()
    lock.release()
  }

  /// Under the lock.
  private func startOneThread() {
    let status = startThread("attention-call-\(threads + 1)") { [unowned self] in serve() }
    if status == 0 {
      threads += 1
    } else {
      startFailure = status
      mayStartThreads = false
    }
  }

  private func serve() {
    // What a call holds is released before the next wait.
    while true { nextCall()() }
  }

  private func nextCall() -> Call {
    lock.withLock {
      idleThreads += 1
      while queue.isEmpty { work.wait(lock) }
      idleThreads -= 1
      return queue.removeFirst()
    }
  }
}
