import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Testing

/// The subject `linear`: its cases, its references, and what its rows say. On one thread: OpenBLAS's own threads and the
/// tests beside these would disturb each other.
@Suite("Subject linear", .exclusiveThreadCount)
struct LinearBenchmarkTests {
  private func cases(
    _ text: String, memory: Int = 1 << 40, count: Int = 1_000
  ) throws(BenchmarkCaseError) -> [String] {
    try LinearCase.list(parsing: text, limits: CaseLimits(memory: memory, cases: count)).map(\.description)
  }

  @Test func listsAndRanges() throws {
    #expect(try cases("m12i384o1536") == ["m12i384o1536"])
    #expect(
      try cases("i3 , 5m1-4*2o7-geluTanh")
        == [
          "m1i3o7", "m2i3o7", "m4i3o7", "m1i5o7", "m2i5o7", "m4i5o7",
        ].map { $0 + "-geluTanh" })
    #expect(try cases("m1i2o3; m1i2o3-gelu m1i2o3") == ["m1i2o3", "m1i2o3-gelu"])
    #expect(try cases(LinearCase.defaultList).count == 9)
    for activation in Activation.allCases {
      let name = "m1i2o3-\(activation.rawValue)"
      #expect(try cases(name) == [name])
    }
  }

  @Test(arguments: [
    ("", "expected a case such as m12i384o1536-gelu at character 1, found none"),
    ("m12i384", "expected o (outputs), as in m12i384o1536-gelu at character 8, found the end"),
    ("m12x", "expected i (inputs), as in m12i384o1536-gelu at character 4, found 'x'"),
    ("i2o3", "expected m (rows), as in m12i384o1536-gelu at character 5, found the end"),
    ("h12q128d64", "expected m (rows), as in m12i384o1536-gelu at character 1, found 'h12q128d64'"),
    ("m1i2o3m4", "m is given twice"), ("m0i2o3", "m is out of range"), ("m1i2o0", "o is out of range"),
    ("m1i99999999999o3", "i is out of range"),
    ("m1i2o3-", "expected one of the activations relu, gelu, geluTanh, silu, tanh, sigmoid at character 8"),
    ("m1i2o3-selu", "expected one of the activations"), ("m1i2o3-gelux", "expected the end at character 12, found 'x'"),
    ("m1i2o3x", "expected an activation such as -gelu, or the end at character 7, found 'x'"),
    ("m9-1i2o3", "the range '9-1' leads nowhere"), ("m1-2000i2o3", "more than 1000 cases"),
    ("m1,i2o3", "another number for m"), ("mi2o3", "expected a number after m at character 2"),
  ])
  func whatIsNoCaseIsRefused(text: String, reason: String) {
    #expect {
      try cases(text)
    } throws: { error in
      (error as? BenchmarkCaseError)?.description.contains(reason) ?? false
    }
  }

  @Test func memoryIsLimited() throws {
    // 1,000 × 1,000 weights three times: 12 MB.
    #expect(try cases("m1i1000o1000", memory: 13 << 20).count == 1)
    #expect(throws: BenchmarkCaseError.tooLargeTogether(cases: 2, limit: 13 << 20)) {
      try cases("m1,2i1000o1000", memory: 13 << 20)
    }
    for text in ["m1i1000o1000", "m2147483647i2147483647o2147483647"] {
      #expect {
        try cases(text, memory: 1 << 20)
      } throws: { error in
        if case .tooLarge(text, _, 1 << 20) = error as? BenchmarkCaseError { true } else { false }
      }
    }
  }

  @Test func rowsAreCheckedAndCompared() throws {
    Engine.setThreadCount(1)
    let sizes = try LinearCase.list(parsing: "m1,13i33o17 m41i70o65-gelu")
    let rows = LinearBenchmark(cases: sizes, repeats: 2).run().report.rows
    #expect(rows.map(\.key) == sizes.flatMap { one in ["linear", "sgemm NN", "sgemm NT"].map { "\(one) \($0)" } })
    for row in rows {
      #expect(row.faults.isEmpty && row.checks.maximumError ?? 1 < 1e-5, "\(row.key)")
      #expect(row.checks.errorRows == row.sizes.rows && row.checks.outputRows == row.sizes.rows)
      #expect(row.gflops > 0 && row.peakFraction ?? 0 > 0 && row.threads == 1)
      let fastest = rows.filter { $0.sizes == row.sizes && $0.way != "linear" }.map(\.medianMilliseconds).min()!
      #expect(abs(row.speedupOverSgemm * row.medianMilliseconds - fastest) < 1e-9)
      let work = 2 * Double(row.sizes.rows * row.sizes.inputs * row.sizes.outputs)
      #expect(abs(row.gflops * row.medianMilliseconds * 1e6 - work) < 1e-6 * work)
    }
    #expect(LinearRow.footnotes(rows).count == 1 && LinearRow.footnotes(rows)[0].contains("on 1 of OpenBLAS's own"))
  }

  /// Only some rows of a large output are computed in float64: that would run for hours.
  @Test func aReferenceLooksAtSomeRowsOfManyWeights() throws {
    let sizes = try LinearCase.list(parsing: "m300i1000o4000")[0]
    let input = LinearInput(sizes, seed: 1)
    let result = input.run(.linear, threads: 1)
    let error = Verification.error(of: result, input.expected(of: .linear), seed: 1)
    #expect(error.rows == 30 && error.maximum < 1e-5)
  }

  /// Every activation's reference is the operation's, and a wrong result is found out.
  @Test(arguments: [nil] + Activation.allCases.map(Optional.some))
  func wrongResultsAreFaults(_ activation: Activation?) throws {
    Engine.setThreadCount(1)
    let name = "m5i12o7" + (activation.map { "-\($0.rawValue)" } ?? "")
    let input = LinearInput(try LinearCase.list(parsing: name)[0], seed: 3)
    for way in LinearWay.allCases {
      let right = input.run(way, threads: 1)
      var wrong = right
      wrong[4, 6] += 0.001
      let expected = input.expected(of: way)
      #expect(Verification(expected, seed: 0) { right }.isWithinContract, "\(way)")
      #expect(!Verification(expected, seed: 0) { wrong }.isWithinContract, "\(way)")
    }
    // Without bias and activation it is something else.
    #expect(!Verification(input.expected(of: .linear), seed: 0) { input.run(.sgemm, threads: 1) }.isWithinContract)
  }
}
