#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A POSIX mutex: `Synchronization.Mutex` has no condition variable to wait on, and the thread sanitizer on Linux does
/// not see what it orders.
final class Lock: @unchecked Sendable {
  fileprivate let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)

  init() { pthread_mutex_init(mutex, nil) }

  deinit {
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
  }

  func acquire() { pthread_mutex_lock(mutex) }

  func release() { pthread_mutex_unlock(mutex) }

  func withLock<Result>(_ body: () -> Result) -> Result {
    acquire()
    defer { release() }
    return body()
  }
}

/// A POSIX condition variable.
final class Condition: @unchecked Sendable {
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  init() { pthread_cond_init(condition, nil) }

  deinit {
    pthread_cond_destroy(condition)
    condition.deallocate()
  }

  /// Releases the lock, waits for a signal, and takes the lock again; may return without one.
  func wait(_ lock: Lock) { pthread_cond_wait(condition, lock.mutex) }

  func signal() { pthread_cond_signal(condition) }
}

/// A value that is reached under its lock only.
package final class Guarded<Value: Sendable>: @unchecked Sendable {
  // @unchecked: `value` is touched under `lock` alone.
  private let lock = Lock()
  private var value: Value

  package init(_ value: Value) { self.value = value }

  package func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
    lock.acquire()
    defer { lock.release() }
    return body(&value)
  }
}
