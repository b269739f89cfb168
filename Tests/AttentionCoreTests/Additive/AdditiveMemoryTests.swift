#if os(Linux)
  import Attention
  import AttentionTestSupport
  import Foundation
  import Testing

  /// The values of tanh are never there at once: of 150 queries, 200 keys and a width of 200 they would take 24 MB.
  @Suite struct AdditiveMemoryTests {
    @Test func forwardAndBackStayBounded() async {
      await #expect(processExitsWith: .success) {
        let before = try peakMegabytes()
        let testCase = PairwiseCase([150], [200], width: 200, valueWidth: 16)
        let plain = testCase.attend(returningWeights: false)
        let inputs = [testCase.query, testCase.key, testCase.value, testCase.v].map { $0.tracked() }
        let tracked = additiveAttention(
          query: inputs[0], key: inputs[1], value: inputs[2], v: inputs[3], layout: testCase.layout,
          keyLayout: testCase.keyLayout)
        let found = gradients(of: tracked.context.sum(), withRespectTo: inputs)
        let grown = try peakMegabytes() - before
        precondition(plain.context.count == 2400 && found.count == 4)
        exit(grown < 12 ? 0 : 1)
      }
    }
  }

  /// The most memory that this process has had, as the kernel counts it.
  private func peakMegabytes() throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
    let kilobytes = try #require(
      line.split(whereSeparator: { " \t".contains($0) }).dropFirst().first.flatMap { Int($0) })
    return kilobytes / 1024
  }
#endif
