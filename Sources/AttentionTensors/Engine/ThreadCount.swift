import CAttentionSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How many threads the engine computes on, and why.
public struct ThreadCount: Sendable, Equatable {
  /// What decided the count.
  public enum Reason: String, Sendable {
    /// The processors that are online.
    case cores
    /// The processors that the process may run on (`sched_getaffinity`).
    case affinity
    /// The processor time that its cgroup grants; fractions are rounded up.
    case quota
    /// The environment variable `ATTENTION_NUM_THREADS`.
    case environment
    /// ``Engine/setThreadCount(_:)``.
    case program
  }

  /// The threads: at least 1.
  public let count: Int
  /// What decided it.
  public let reason: Reason

  package init(count: Int, reason: Reason) {
    self.count = count
    self.reason = reason
  }

  /// What the machine offers a process.
  package struct Limits: Sendable, Equatable {
    package var cores: Int
    package var affinity: Int?
    package var quota: Double?

    package init(cores: Int, affinity: Int? = nil, quota: Double? = nil) {
      self.cores = cores
      self.affinity = affinity
      self.quota = quota
    }
  }

  /// The most that ``Engine/setThreadCount(_:)`` and `ATTENTION_NUM_THREADS` accept.
  package static let maximum = OpenBLAS.maximumConcurrentCallers

  /// The smallest of cores, affinity and quota, or what a well-formed `ATTENTION_NUM_THREADS` says.
  package static func resolve(
    limits: Limits, environment value: String?, maximum: Int = maximum
  ) -> (threads: ThreadCount, warning: String?) {
    var threads = ThreadCount(count: max(1, limits.cores), reason: .cores)
    if let affinity = limits.affinity, affinity >= 1, affinity < threads.count {
      threads = ThreadCount(count: affinity, reason: .affinity)
    }
    if let quota = limits.quota, quota > 0, quota.rounded(.up) < Double(threads.count) {
      threads = ThreadCount(count: Int(quota.rounded(.up)), reason: .quota)
    }
    if threads.count > maximum { threads = ThreadCount(count: maximum, reason: threads.reason) }
    guard let value, !value.isEmpty else { return (threads, nil) }
    guard let count = Int(value), (1...maximum).contains(count) else {
      return (
        threads,
        "ATTENTION_NUM_THREADS=\(value) is not a count from 1 to \(maximum); "
          + "\(threads.count) (\(threads.reason.rawValue)) is used"
      )
    }
    return (ThreadCount(count: count, reason: .environment), nil)
  }
}

extension ThreadCount.Limits {
  /// What this process is offered now.
  static func current() -> ThreadCount.Limits {
    let affinity = Int(attention_affinity_count())
    return ThreadCount.Limits(
      cores: max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN))), affinity: affinity > 0 ? affinity : nil,
      quota: CPUQuota.current())
  }
}
