#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The state that the whole process shares: the threads, the kernels, and OpenBLAS.
///
/// The engine starts its threads at the first call that can use them, and keeps them. When the system refuses some, it
/// computes on those that it has, and ``warnings`` says so.
///
/// **Tasks.** A call blocks its thread until it is done. The `async` twins of the entry points suspend the task instead:
/// the call runs on one of a few threads that the engine keeps for this, beside those that compute.
///
/// **Signals.** The engine's threads block all signals but faults (`SIGSEGV`, `SIGILL` and their like), so a host
/// program's handlers run on the host's own threads; those keep their signal masks, also while they compute in a call.
///
/// **`fork()`.** The engine's threads do not exist in the child, and what they held at that moment (locks, their share
/// of the thread count) never comes back there. A child may call `exec`; a call into the engine may wait forever.
public enum Engine {
  /// The threads that compute, and what decided their number.
  ///
  /// At first the smallest of the online processors, the processors that the process may run on, and the processor
  /// time of its cgroup (rounded up), or what `ATTENTION_NUM_THREADS` says.
  public static var threadCount: ThreadCount { WorkerPool.shared.threadCount }

  /// Sets the number of threads that compute, for all callers in the process. Results do not depend on it.
  ///
  /// Threads that the system has refused are asked for again. Calls that are under way follow between two pieces of
  /// their work.
  ///
  /// - Precondition: `count` is at least 1 and at most 64, or what OpenBLAS was built for.
  public static func setThreadCount(_ count: Int) {
    require(
      (1...ThreadCount.maximum).contains(count),
      "Engine: a thread count of \(count) does not lie in 1...\(ThreadCount.maximum)")
    WorkerPool.shared.setThreadCount(ThreadCount(count: count, reason: .program))
    CallerThreads.shared.askAgain()
  }

  /// What in the environment could not be followed, or would make the figures wrong: one sentence each, or none.
  public static var warnings: [String] {
    var warnings = [
      startThreads.warning, startProblem, WorkerPool.shared.warning, CallerThreads.shared.warning, KernelSet.warning,
    ].compactMap(\.self)
    if !OpenBLAS.answersForCBLAS {
      warnings.append(
        "cblas_sgemm comes from \(OpenBLAS.libraryPath ?? "an unknown file"), which is not the OpenBLAS that is loaded; "
          + "results hold, speeds do not")
    }
    if OpenBLAS.threading == .serial {
      warnings.append(
        "OpenBLAS's serial variant is not made for several threads: products take turns, which costs speed; "
          + "install its pthread variant (Debian: libopenblas0-pthread)")
    }
    return warnings
  }

  static let limits = ThreadCount.Limits.current()

  static let startThreads = ThreadCount.resolve(
    limits: limits, environment: getenv("ATTENTION_NUM_THREADS").map { String(cString: $0) })

  /// That the address space is too small, as it was before anything was computed.
  static let startProblem = AddressSpace.problem(
    remaining: AddressSpace.remaining(), threads: startThreads.threads.count)
}
