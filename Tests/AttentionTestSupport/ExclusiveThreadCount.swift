import Attention
import Testing

/// The engine's thread count belongs to the process, and so do the tests that set it: one of them runs at a time, and
/// leaves the count as it found it. All others run beside it, whatever the count.
package struct ExclusiveThreadCount: TestTrait, SuiteTrait, TestScoping {
  package let isRecursive = true

  package func provideScope(
    for test: Test, testCase: Test.Case?, performing function: @Sendable () async throws -> Void
  ) async throws {
    // A suite and a parameterised test as a whole come here too: only single cases may take their turn.
    guard testCase != nil else { return try await function() }
    await ThreadCountTurn.shared.take()
    let count = Engine.threadCount
    let outcome: Result<Void, any Error>
    do { outcome = .success(try await function()) } catch { outcome = .failure(error) }
    if Engine.threadCount != count { Engine.setThreadCount(count.count) }
    await ThreadCountTurn.shared.pass()
    try outcome.get()
  }
}

extension Trait where Self == ExclusiveThreadCount {
  /// For tests that set ``Engine``'s thread count, or compare it.
  package static var exclusiveThreadCount: Self { Self() }
}

/// Who may set the thread count, first come, first served, without holding up a thread.
private actor ThreadCountTurn {
  static let shared = ThreadCountTurn()

  private var isTaken = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func take() async {
    guard isTaken else {
      isTaken = true
      return
    }
    await withCheckedContinuation { waiting.append($0) }
  }

  func pass() {
    if waiting.isEmpty { isTaken = false } else { waiting.removeFirst().resume() }
  }
}
