import CAttentionSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What the pool knows of the thread it runs on, and how it starts one.
package enum PoolThread {
  /// Starts a thread of this name that runs a body; answers 0, or the system's error number.
  package typealias Starter =
    @Sendable (_ name: String, _ body: @escaping @Sendable () -> Void) -> Int32

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

  /// The starter of the system: a detached POSIX thread that leaves the process's signals to the others.
  @Sendable package static func start(named name: String, _ body: @escaping @Sendable () -> Void) -> Int32 {
    let context = Unmanaged.passRetained(Start(body))
    let status = attention_start_thread(
      name, { Unmanaged<Start>.fromOpaque($0).takeRetainedValue().body() }, context.toOpaque())
    if status != 0 { context.release() }
    return status
  }
}
