#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Threads that make calls into the engine on behalf of tasks.
///
/// A call may wait for a permit of the ``WorkerPool``, or for the last indices of its job. On one of Swift concurrency's
/// threads it would hold one of few, and on a worker it would count as nested and run in place. So each call of an
/// `async` entry point is queued here, first come first served, and its task is suspended until it is done. One that takes
/// long goes on in turns: it ends its turn when others wait, and queues again behind them.
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

  /// A call from when it is made until a thread takes it up.
  private final class Call: @unchecked Sendable {
    // @unchecked: all is guarded by the threads' `lock`.

    /// Computes, and lets the task go on.
    var body: (@Sendable () -> Void)?
    /// Lets the task go on without it.
    var abandon: (@Sendable () -> Void)?
    /// Whether the task was cancelled before a thread took the call up.
    var isWithdrawn = false
  }

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
    guard let answer = await answer(to: Call(), body) else { fatalError("CallerThreads: a call gave no result") }
    return answer
  }

  /// ``run(_:)`` unless the task is cancelled before a thread takes the call up: then the task goes on at once with nil, and
  /// `body` never runs.
  package func runUnlessCancelled<Result: Sendable>(_ body: @escaping @Sendable () -> Result) async -> Result? {
    let call = Call()
    return await withTaskCancellationHandler {
      await answer(to: call, body)
    } onCancel: {
      withdraw(call)
    }
  }

  /// The calls that no thread is free for. While there are some, a long call does well to end its turn, and to queue again.
  package var waitingCallCount: Int { lock.withLock { max(0, queue.count - idleThreads) } }

  private func answer<Result: Sendable>(to call: Call, _ body: @escaping @Sendable () -> Result) async -> Result? {
    // The result goes by a lock: what a continuation orders, the thread sanitizer on Linux does not see.
    let result = Guarded<Result?>(nil)
    // The task may write to what the body holds as soon as it goes on: by then the body is gone from the other thread.
    let body = Guarded<(@Sendable () -> Result)?>(body)
    await withUnsafeContinuation { continuation in
      submit(call) {
        let answer = body.withLock { $0.take() }!()
        result.withLock { $0 = answer }
        continuation.resume()
      } abandon: {
        _ = body.withLock { $0.take() }
        continuation.resume()
      }
    }
    return result.withLock { $0.take() }
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

  private func submit(
    _ call: Call, _ body: @escaping @Sendable () -> Void, abandon: @escaping @Sendable () -> Void
  ) {
    let limit = limit()
    lock.acquire()
    guard !call.isWithdrawn else {
      lock.release()
      return abandon()
    }
    if idleThreads <= queue.count, threads < limit, mayStartThreads { startOneThread() }
    guard threads > 0 else {
      lock.release()
      return body()
    }
    (call.body, call.abandon) = (body, abandon)
    queue.append(call)
    work.signal()
    lock.release()
  }

  /// Takes a call out of the queue, or keeps it out, unless a thread has taken it up.
  private func withdraw(_ call: Call) {
    let abandon: (@Sendable () -> Void)? = lock.withLock {
      call.isWithdrawn = true
      guard let place = queue.firstIndex(where: { $0 === call }) else { return nil }
      queue.remove(at: place)
      call.body = nil
      return call.abandon.take()
    }
    abandon?()
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

  private func nextCall() -> @Sendable () -> Void {
    lock.withLock {
      idleThreads += 1
      while queue.isEmpty { work.wait(lock) }
      idleThreads -= 1
      let call = queue.removeFirst()
      call.abandon = nil
      return call.body.take()!
    }
  }
}
