import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Foundation
import Testing

/// The subject `decode`: its cases, its memory, its caches.
@Suite("Subject decode", .exclusiveThreadCount)
struct DecodeTests {
  private func cases(
    depths: String = "8", batches: String = "1", heads: String = "h2d4", memory: Int = 1 << 40, count: Int = 1_000,
    dropping: Bool = false
  ) throws(BenchmarkCaseError) -> (cases: [BenchmarkCase], dropped: [BenchmarkCase]) {
    try DecodeBenchmark.cases(
      depths: depths, batches: batches, heads: heads, limits: CaseLimits(memory: memory, cases: count),
      dropping: dropping)
  }

  @Test func everyBatchAtEveryDepthWithAllHeads() throws {
    let all = try cases(depths: "8, 16-32*2", batches: "1,3", heads: "h4d8-kv2 h1d3-v5-window7", count: 12).cases
    #expect(
      all.map(\.description)
        == [1, 3].flatMap { batch in
          [8, 16, 32].flatMap { depth in
            ["b\(batch)h4q1k\(depth)d8-kv2", "b\(batch)h1q1k\(depth)d3-v5-window7"]
          }
        })
    #expect(try cases(depths: "8,8").cases.count == 1)
  }

  @Test(arguments: [
    ("", "1", "h2d4"), ("x", "1", "h2d4"), ("8 9", "1", "h2d4"), ("8x", "1", "h2d4"), ("8", "0", "h2d4"),
    ("0", "1", "h2d4"), ("8", "1", ""), ("8", "1", "h2"), ("8", "1", "d4"), ("8", "1", "b2h2d4"), ("8", "1", "h2q3d4"),
    ("8", "1", "h2k3d4"), ("8", "1", "h3d4-kv2"), ("8", "1", "h2d4-foo"), ("1-2000", "1", "h2d4"),
    ("8,", "1", "h2d4"), ("99999999999", "1", "h2d4"), ("2147483647", "2147483647", "h2147483647d2147483647"),
  ])
  func whatIsNoCaseIsRefused(depths: String, batches: String, heads: String) {
    #expect(throws: BenchmarkCaseError.self) { try cases(depths: depths, batches: batches, heads: heads) }
  }

  @Test func theErrorSpeaksOfHeads() {
    #expect(
      throws: BenchmarkCaseError.syntax(
        text: "h2", at: 3, expected: "d (the width of a head), as in h12d64-causal", found: "the end")
    ) { try cases(heads: "h2") }
  }

  /// 65,536 keys of 8 kv heads, 128 wide, are 512 MiB with their values.
  @Test func memoryIsLimited() throws {
    func large(_ memory: Int, dropping: Bool) throws(BenchmarkCaseError) -> (Int, Int) {
      let found = try cases(
        depths: "1024,65536", batches: "1,4", heads: "h32d128-kv8", memory: memory, dropping: dropping)
      return (found.cases.count, found.dropped.count)
    }
    #expect(try large(8 << 30, dropping: false) == (4, 0))
    #expect(try large(7 << 29, dropping: true) == (3, 1))
    #expect(try large(0, dropping: true) == (0, 4))
    #expect(throws: BenchmarkCaseError.tooLargeTogether(cases: 4, limit: 4 << 30)) {
      try large(4 << 30, dropping: false)
    }
    #expect {
      try large(1 << 28, dropping: false)
    } throws: { error in
      if case .tooLarge(_, let bytes, 1 << 28) = error as? BenchmarkCaseError { bytes > 1 << 28 } else { false }
    }
  }

  /// Depths that the repeated block divides and does not, on both sides of the cache's grid and of the window.
  @Test(arguments: ["h4d8-kv2", "h2d20-v5", "h2d8-window7", "h3d4-softcap2", "h1d16-window1500"])
  func stepsAreWithinTheContract(heads: String) throws {
    for sizes in try cases(depths: "1,7,128,1021,1022,2042,3000", batches: "2", heads: heads).cases {
      let input = DecodeInput(sizes, seed: 7)
      for step in DecodeStep.allCases {
        let found = Verification(input, seed: 1) { input.run(step, after: 2) }
        #expect(found.isRepeatable && found.isWithinContract && found.maximumError < 1e-5, "\(sizes) \(step)")
      }
    }
  }

  @Test func rowsCountBytesAndTokens() throws {
    let sizes = try cases(depths: "50", batches: "3", heads: "h4d8-kv2-v5 h4d8-window7").cases
    let rows = DecodeBenchmark(cases: sizes, repeats: 1).run().report.rows
    #expect(
      rows.map(\.readBytes) == [3 * 50 * 2 * 13 * 4, 3 * 50 * 2 * 13 * 4, 3 * 7 * 4 * 16 * 4, 3 * 7 * 4 * 16 * 4])
    for row in rows {
      #expect(row.faults.isEmpty && row.checks.outputRows == 12 && row.checks.errorRows == 12, "\(row.key)")
      #expect(abs(row.tokensPerSecond * row.timing.medianMilliseconds - 3000) < 1e-6)
      #expect(abs(row.gigabytesPerSecond * row.timing.medianMilliseconds * 1e6 - Double(row.readBytes)) < 1)
      #expect(row.bandwidthFraction ?? 0 > 0)
    }
  }

  /// A step that reads something else is found out: the reference knows which tokens lie where.
  @Test(arguments: [0, 1])
  func aWrongSequenceIsAFault(sequence: Int) throws {
    let input = DecodeInput(try cases(depths: "300", batches: "2", heads: "h2d8").cases[0], seed: 3)
    let other = DecodeInput(try cases(depths: "300", batches: "2", heads: "h2d8").cases[0], seed: 4)
    let (right, wrong) = (input.run(.attend), other.run(.attend))
    let half = right.count / 2
    let mixed = Tensor(
      right.scalars.indices.map { $0 / half == sequence ? wrong.scalars[$0] : right.scalars[$0] }, shape: right.shape)
    #expect(Verification(input, seed: 0) { right }.isWithinContract)
    #expect(!Verification(input, seed: 0) { mixed }.isWithinContract)
  }
}
