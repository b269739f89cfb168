import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// The subject `backward`: its cases, its reference, and what its rows say.
@Suite("Subject backward", .exclusiveThreadCount)
struct BackwardBenchmarkTests {
  /// Each kind of mask, groups, unequal widths and lengths, rows that see nothing.
  private static let cases = [
    "b2h4q7k11d8", "h2q9k9d5-causal", "b2h6q70k66d16-kv2-v9-causal", "h1q66k131d12-window20", "h2q5k3d4-causal",
    "h3q8k10d6-kv1-softcap2", "h1q1k1d1", "b3h2q65k1d3-v20",
  ]

  private func one(_ text: String) throws -> BenchmarkCase { try BenchmarkCase(parsing: text) }

  @Test func casesAndTheirMemory() throws {
    #expect(try BenchmarkCase.backwardList(parsing: BenchmarkCase.defaultBackwardList).count == 4)
    let text = "b8h12q512k512d64"
    let forward = 100 << 20
    #expect(try BenchmarkCase.list(parsing: text, limits: CaseLimits(memory: 1 << 40)).count == 1)
    for memory in [forward, 300 << 20] {
      #expect {
        try BenchmarkCase.backwardList(parsing: text, limits: CaseLimits(memory: memory))
      } throws: { error in
        if case .tooLarge(text, _, memory) = error as? BenchmarkCaseError { true } else { false }
      }
    }
    #expect(throws: BenchmarkCaseError.tooLargeTogether(cases: 2, limit: 700 << 20)) {
      try BenchmarkCase.backwardList(
        parsing: "b8h12q512k512d64 b8h12q512k512d64-causal", limits: CaseLimits(memory: 700 << 20))
    }
  }

  @Test func rowsAreCheckedAndCompared() throws {
    let sizes = try BenchmarkCase.list(parsing: "b2h4q7k11d8-kv2; h2q33k40d16-v9-causal")
    let rows = BackwardBenchmark(cases: sizes, repeats: 2).run().report.rows
    let ways = ["forward + backward", "forward tracked", "backward"]
    #expect(rows.map(\.key) == sizes.flatMap { one in ways.map { "\(one) \($0)" } })
    for row in rows {
      #expect(row.faults.isEmpty && row.checks.maximumError ?? 1 < 1e-5, "\(row.key)")
      #expect(row.gflops > 0 && row.peakFraction ?? 0 > 0 && row.timeOverForward > 0 && row.scratchBytes > 0)
      let (queries, keys) = (row.sizes.batch * row.sizes.heads * row.sizes.queryLength, row.sizes.keyLength)
      let all = row.way == "forward tracked" ? queries : queries + 2 * row.sizes.batch * row.sizes.keyValueHeads * keys
      #expect(row.checks.errorRows == all && row.checks.outputRows == all)
      #expect(row.flowingQueries == (row.way == "forward tracked" ? nil : queries))
    }
    // 3.5 times the forward's work where widths are equal; else by the widths of the seven products.
    #expect(abs(rows[0].usefulGFLOP - 3.5 * rows[1].usefulGFLOP) < 1e-12)
    #expect(abs(rows[2].usefulGFLOP - 2.5 * rows[1].usefulGFLOP) < 1e-12)
    #expect(abs(rows[5].usefulGFLOP * 25 - 66 * rows[4].usefulGFLOP) < 1e-12)
    #expect(rows[1].usefulGFLOP * 1e9 == 2 * 16 * Double(2 * 4 * 7 * 11))
    #expect(BackwardRow.footnotes(rows).count == 2 && BackwardRow.footnotes(rows)[0].contains("3.5 times"))
  }

  /// The blockwise reference is the plain one.
  @Test(arguments: cases) func referencesAgree(_ text: String) throws {
    let input = BackwardInput(try one(text), seed: 4)
    let problem = AttentionInput(input.sizes, seed: 4)
    let reference = BackwardReference(input, seed: 0)
    let plain = ReferenceGradients(
      query: problem.query, key: problem.key, value: problem.value, upstream: reference.upstream, mask: problem.mask,
      options: problem.options(.naive))
    let rows = [
      (plain.query, input.sizes.keyWidth), (plain.key, input.sizes.keyWidth), (plain.value, input.sizes.valueWidth),
    ]
    .flatMap { values, width in
      stride(from: 0, to: values.count, by: width).map { Array(values[$0..<$0 + width]) }
    }
    let all = reference.sampledRows(seed: 1)
    #expect(all == Array(0..<rows.count) && reference.outputRows == rows.count)
    let largest = Guarded(0.0)
    reference.forEachExpectedRow(all) { row, expected in
      let wanted = rows[row] + [Double](repeating: 0, count: expected.count - rows[row].count)
      let distance = zip(expected, wanted).map { abs($0 - $1) }.max()!
      largest.withLock { $0 = max($0, distance) }
    }
    #expect(largest.withLock { $0 } < 1e-12)
  }

  /// With work for everything, for one kv head of several, and for some of one head's queries: what is right passes, and
  /// each kind of wrong gradient is found.
  @Test(arguments: [
    ("b2h6q70k66d16-kv2-v9-causal", 1e9), ("b2h6q70k66d16-kv2-v9-causal", 1e6), ("b2h6q70k66d16-kv2-v9-causal", 3e4),
    ("b2h4q40k30d8", 1e9), ("b2h4q40k30d8", 1e5), ("b2h4q40k30d8", 3e4),
  ])
  func wrongGradientsAreFaults(_ text: String, work: Double) throws {
    let input = BackwardInput(try one(text), seed: 3)
    let reference = BackwardReference(input, seed: 9, work: work)
    let right = input.run(upstream: reference.upstream)
    let checked = Verification(reference, seed: 9) { right }
    #expect(checked.isWithinContract && checked.maximumError < 1e-5)
    #expect((checked.rows < reference.outputRows) == (work < 1e9))
    let unitQueries = input.sizes.heads / input.sizes.keyValueHeads * input.sizes.queryLength
    #expect((reference.flowingQueries < unitQueries) == (work == 3e4))
    #expect((reference.upstream == input.upstream) == (work != 3e4))
    let rows = reference.sampledRows(seed: 9)
    // The first and the last row that were looked at, and one in the middle: of queries, of values, of keys.
    for row in [rows[0], rows[rows.count / 2], rows[rows.count - 1]] {
      for wrong in [Float(0.001), .nan] {
        var found = right
        found[row, 0] += wrong
        #expect(!Verification(reference, seed: 9) { found }.isWithinContract, "row \(row)")
      }
    }
    for (name, wrong) in wrongGradients(input, reference.upstream) {
      #expect(!Verification(reference, seed: 9) { input.packed(wrong) }.isWithinContract, "\(name)")
    }
  }

  /// Gradients as they would be with a usual mistake.
  private func wrongGradients(_ input: BackwardInput, _ upstream: Tensor) -> [(String, [Tensor])] {
    let problem = AttentionInput(input.sizes, seed: 3)
    func gradients(mask: AttentionMask, scale: Float? = nil) -> [Tensor] {
      let leaves = [problem.query.tracked(), problem.key.tracked(), problem.value.tracked()]
      let output: Tensor = scaledDotProductAttention(
        query: leaves[0], key: leaves[1], value: leaves[2], mask: mask, options: .init(scale: scale))
      return Attention.gradients(of: [output], upstream: [upstream], withRespectTo: leaves)
    }
    let right = gradients(mask: problem.mask)
    let zeros = right.map { Tensor(zeros: $0.shape) }
    return [
      ("another mask", gradients(mask: .window(left: 5, right: 0))),
      ("another scale", gradients(mask: problem.mask, scale: 1)),
      ("no gradient of queries", [zeros[0], right[1], right[2]]), ("of keys", [right[0], zeros[1], right[2]]),
      ("of values", [right[0], right[1], zeros[2]]),
    ]
  }
}
