#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The address space that the process's own resource limits (`ulimit -v`, `ulimit -d`) leave to it.
///
/// OpenBLAS maps a work buffer for each thread that is inside a product of some size, and asks again for ever where the
/// system refuses it: a small limit would stop a program without a word.
package enum AddressSpace {
  /// What a thread that computes takes at the most: the buffer of OpenBLAS's builds for x86-64 (128 MiB), an arena of
  /// glibc's allocator (64 MiB), its stack (8 MiB).
  package static let bytesPerThread = 200 << 20

  /// The bytes that are left now; nil where nothing limits them.
  package static func remaining() -> Int? {
    #if os(Linux)
      // In pages: the first field is the address space, the sixth what RLIMIT_DATA counts.
      let pages = (SmallFile.text(at: "/proc/self/statm") ?? "").split(separator: " ").map { Int($0) ?? 0 }
      let limits = [(RLIMIT_AS, 0), (RLIMIT_DATA, 5)].compactMap { resource, field -> Int? in
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0 else { return nil }
        let used = pages.indices.contains(field) ? pages[field] * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
        return remaining(of: Int(clamping: limit.rlim_cur), used: used)
      }
      return limits.min()
    #else
      return nil
    #endif
  }

  /// What a limit leaves to a process that takes `used` bytes already; `Int.max` is no limit.
  package static func remaining(of limit: Int, used: Int) -> Int? { limit == .max ? nil : max(0, limit - used) }

  /// What is to be said of a process that has `remaining` bytes left, and has not computed yet.
  ///
  /// - Parameter threads: that compute at once.
  package static func problem(remaining: Int?, threads: Int) -> String? {
    let needed = threads * bytesPerThread
    guard let remaining, remaining < needed else { return nil }
    return "the resource limits (ulimit -v or -d) leave \(remaining >> 20) MiB of address space, and \(threads) "
      + "threads may take \(needed >> 20) MiB: OpenBLAS waits for ever where it gets none; raise it, or lower the threads"
  }
}
