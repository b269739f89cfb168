import AttentionTensors
import Dispatch

/// Runs an asynchronous body from a thread that is no task's, and waits for it.
package func waiting<Result: Sendable>(
  _ body: @escaping @Sendable () async throws -> Result
) throws -> Result {
  let done = DispatchSemaphore(value: 0)
  let result = Guarded<Swift.Result<Result, any Error>?>(nil)
  Task.detached {
    let found: Swift.Result<Result, any Error>
    do { found = .success(try await body()) } catch { found = .failure(error) }
    result.withLock { $0 = found }
    done.signal()
  }
  done.wait()
  return try result.withLock { $0! }.get()
}
