import Attention
import AttentionTestSupport
import Foundation
import Synchronization
import Testing

/// The `async` twins: the same bits, and no thread of a task held meanwhile.
@Suite struct AsyncTests {
  private static let testCase = AttentionCase(
    name: "async", batch: 1, heads: 4, keyValueHeads: 2, queries: 150, keys: 1200, keyWidth: 24, valueWidth: 20,
    mask: .causal(.end))

  /// Inside a function that is not `async`, the name means the synchronous function.
  private static func attend(_ testCase: AttentionCase) -> AttentionResult {
    let (query, key, value) = testCase.operands
    let result = scaledDotProductAttention(
      query: query, key: key, value: value, mask: testCase.mask, returning: [.logSumExp, .weights])
    let alone: Tensor = scaledDotProductAttention(query: query, key: key, value: value, mask: testCase.mask)
    #expect(alone.hasBits(of: result.output))
    return result
  }

  @Test func outputAndExtras() async throws {
    let (query, key, value) = Self.testCase.operands
    let mask = Self.testCase.mask
    let expected = Self.attend(Self.testCase)
    let output = await scaledDotProductAttention(query: query, key: key, value: value, mask: mask)
    #expect(output.hasBits(of: expected.output))
    let result = await scaledDotProductAttention(
      query: query, key: key, value: value, mask: mask, returning: [.logSumExp, .weights])
    #expect(result.output.hasBits(of: expected.output))
    let (logSumExp, weights) = (try #require(result.logSumExp), try #require(result.weights))
    #expect(logSumExp.hasBits(of: expected.logSumExp!) && weights.hasBits(of: expected.weights!))
  }

  @Test func raggedAndOverACache() async {
    let batch = RaggedTests.batches[1]
    let (query, key, value) = batch.operands
    let ragged = await scaledDotProductAttention(
      query: query, key: key, value: value, layout: batch.layouts.query, heads: batch.heads,
      keyValueHeads: batch.keyValueHeads, mask: batch.mask, options: .init(path: .fused))
    let expected = batch.attend(.fused)
    #expect(ragged.output.hasBits(of: expected.output))

    let tokens = KeyValueCacheTests.Tokens(200)
    var cache = tokens.cache()
    tokens.append(0..<200, to: &cache)
    let cached = await scaledDotProductAttention(
      query: tokens.query, layout: SequenceLayout(lengths: [200]), cache: cache, heads: tokens.heads)
    let whole = tokens.attend(0..<200, over: cache)
    #expect(cached.output.hasBits(of: whole))
  }

  @Test func partialResults() async {
    let (query, key, value) = Self.testCase.operands
    let expected = { partialAttention(query: query, key: key, value: value, mask: .causal(.end)) }()
    let partial = await partialAttention(query: query, key: key, value: value, mask: .causal(.end))
    #expect(partial.output.hasBits(of: expected.output) && partial.sum.hasBits(of: expected.sum))
  }

  @Test func aHundredTasksAtOnce() async {
    let cases = [Self.testCase] + DeterminismTests.cases
    let expected = cases.map { Self.attend($0).output }
    let wrong = await withTaskGroup(of: Bool.self) { group in
      for task in 0..<100 {
        group.addTask {
          let testCase = cases[task % cases.count]
          let (query, key, value) = testCase.operands
          let output = await scaledDotProductAttention(query: query, key: key, value: value, mask: testCase.mask)
          return !output.hasBits(of: expected[task % cases.count])
        }
      }
      return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
    }
    #expect(wrong == 0)
  }

  /// More calls than Swift concurrency has threads, none of which can end before another task has run.
  @Test func tasksGoOnWhileCallsRun() async {
    let gate = Gate()
    let ones = Tensor(repeating: 1, shape: [1, 1, 1, 4])
    // The closure is called before anything is computed: it holds no permit of the pool.
    let mask = AttentionMask.predicate { _, _ in gate.pass() }
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<ProcessInfo.processInfo.activeProcessorCount + 4 {
        group.addTask { _ = await scaledDotProductAttention(query: ones, key: ones, value: ones, mask: mask) }
      }
      group.addTask {
        while gate.entered.load(ordering: .sequentiallyConsistent) < 2 { await Task.yield() }
        gate.isOpen.store(true, ordering: .sequentiallyConsistent)
      }
    }
    #expect(gate.late.load(ordering: .sequentiallyConsistent) == 0)
  }

  /// A call that has begun, or waits to, runs to its end.
  @Test func cancellationChangesNoResult() async {
    let (query, key, value) = Self.testCase.operands
    let expected = Self.attend(Self.testCase).output
    let task = Task { await scaledDotProductAttention(query: query, key: key, value: value, mask: .causal(.end)) }
    task.cancel()
    #expect(await task.value.hasBits(of: expected))
  }
}

/// What calls wait for, though not for ever.
private final class Gate: Sendable {
  let isOpen = Atomic<Bool>(false)
  let entered = Atomic<Int>(0)
  let late = Atomic<Int>(0)

  func pass() -> Bool {
    entered.add(1, ordering: .sequentiallyConsistent)
    let deadline = Date().addingTimeInterval(60)
    while !isOpen.load(ordering: .sequentiallyConsistent) {
      guard Date() < deadline else {
        late.add(1, ordering: .sequentiallyConsistent)
        break
      }
      usleep(200)
    }
    return true
  }
}
