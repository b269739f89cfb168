import Attention
import AttentionTestSupport
import Testing

/// Equal bits whatever the thread count and whoever else is calling.
///
/// The thread count belongs to the process, and other suites run beside this one: that must not matter either.
@Suite(.serialized, .exclusiveThreadCount) struct DeterminismTests {
  static let cases: [AttentionCase] = [
    AttentionCase(name: "one long head", batch: 1, heads: 1, keyValueHeads: 1, queries: 900, keys: 900, keyWidth: 64),
    AttentionCase(
      name: "causal", batch: 1, heads: 3, keyValueHeads: 3, queries: 500, keys: 600, keyWidth: 32, mask: .causal(.end)),
    AttentionCase(
      name: "grouped", heads: 6, keyValueHeads: 2, queries: 129, keys: 257, keyWidth: 20, mask: .keyLengths([200, 3])),
    AttentionCase(
      name: "few queries, many keys", batch: 1, heads: 2, keyValueHeads: 1, queries: 3, keys: 9000, keyWidth: 32,
      valueWidth: 24, mask: .causal(.end)),
    AttentionCase(name: "small", batch: 4, queries: 5, keys: 5),
  ]

  @Test(arguments: cases, paths)
  func threadCountChangesNoBit(_ testCase: AttentionCase, _ path: AttentionPath) {
    let (query, key, value) = testCase.operands
    func attend() -> AttentionResult {
      scaledDotProductAttention(
        query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path), returning: allExtras)
    }
    Engine.setThreadCount(1)
    let expected = attend()
    for count in [1, 2, 3, 8] {
      Engine.setThreadCount(count)
      #expect(Engine.threadCount == ThreadCount(count: count, reason: .program))
      for _ in 0..<3 {
        let result = attend()
        #expect(result.output.hasBits(of: expected.output) as Bool, "\(count) threads")
        #expect(result.logSumExp!.hasBits(of: expected.logSumExp!), "\(count) threads")
        #expect(result.weights!.hasBits(of: expected.weights!), "\(count) threads")
      }
    }
  }

  /// 64 threads of a host program at once, each with calls of its own.
  @Test(arguments: paths.filter { $0 != .naive })
  func concurrentCallersChangeNoBit(_ path: AttentionPath) async {
    let calls = Self.cases.map { testCase in
      let (query, key, value) = testCase.operands
      return { @Sendable in
        scaledDotProductAttention(
          query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path))
      }
    }
    let expected = calls.map { $0() }
    let wrong = await withTaskGroup(of: Int.self) { group in
      for caller in 0..<64 {
        group.addTask {
          await onThread {
            (0..<4).count { round in
              let index = (caller + round) % calls.count
              return !calls[index]().hasBits(of: expected[index])
            }
          }
        }
      }
      return await group.reduce(0, +)
    }
    #expect(wrong == 0)
  }
}
