import AttentionBenchmarks
import AttentionTensors
import Testing

/// The grammar of cases: what it reads, what it prints, what it refuses.
@Suite("Grammar of cases")
struct CaseGrammarTests {
  static let limits = CaseLimits(memory: 1 << 34, cases: 1_000)

  @Test(
    "A case prints in canonical form, which reads back as itself",
    arguments: [
      ("b8h12q512k512d64-causal", "b8h12q512k512d64-causal"), ("h12q128d64", "b1h12q128k128d64"),
      ("d64q128h12", "b1h12q128k128d64"), ("h32q512d128-kv8-causal", "b1h32q512k512d128-kv8-causal"),
      ("h32q512d128-causal-kv8", "b1h32q512k512d128-kv8-causal"), ("h12q1k2048d64-v128", "b1h12q1k2048d64-v128"),
      ("h12q128d64-v64-kv12", "b1h12q128k128d64"), ("h12q128d64-window256", "b1h12q128k128d64-window256"),
      ("h12q128d64-causal-window256", "b1h12q128k128d64-window256"),
      ("h2q8d4-softcap50-causal-v2-kv1", "b1h2q8k8d4-kv1-v2-causal-softcap50"), ("h002q08d4", "b1h2q8k8d4"),
    ])
  func canonicalForm(text: String, canonical: String) throws {
    let one = try BenchmarkCase(parsing: text, limits: Self.limits)
    #expect(one.description == canonical)
    #expect(try BenchmarkCase(parsing: canonical, limits: Self.limits) == one)
  }

  @Test func sizesAndSuffixesGoWhereTheyBelong() throws {
    let one = try BenchmarkCase(parsing: "b2h8q3k5d7-kv4-v6-window9-softcap11", limits: Self.limits)
    #expect(one.batch == 2 && one.heads == 8 && one.queryLength == 3 && one.keyLength == 5 && one.keyWidth == 7)
    #expect(one.keyValueHeads == 4 && one.valueWidth == 6 && one.window == 9 && one.softcap == 11 && one.isCausal)
  }

  @Test(
    "Lists and ranges",
    arguments: [
      ("h2q128,512d4", [128, 512]), ("h2q128-1024*2d4", [128, 256, 512, 1024]),
      ("h2q64-256+64d4", [64, 128, 192, 256]),
      ("h2q1-4d4", [1, 2, 3, 4]), ("h2q5-5d4", [5]), ("h2q1-10*3d4", [1, 3, 9]),
      ("h2q1-3,7,8-16*2d4", [1, 2, 3, 7, 8, 16]),
      ("h2q3,3,3d4", [3]),
    ])
  func ranges(text: String, lengths: [Int]) throws {
    let cases = try BenchmarkCase.list(parsing: text, limits: Self.limits)
    #expect(cases.map(\.queryLength) == lengths)
    #expect(cases.allSatisfy { $0.keyLength == $0.queryLength })
  }

  @Test func severalListsMultiplyTheFirstSlowest() throws {
    let cases = try BenchmarkCase.list(parsing: "b1,2h4q8,16d4-kv2,4-causal", limits: Self.limits)
    #expect(
      cases.map(\.description) == [
        "b1h4q8k8d4-kv2-causal", "b1h4q8k8d4-causal", "b1h4q16k16d4-kv2-causal", "b1h4q16k16d4-causal",
        "b2h4q8k8d4-kv2-causal", "b2h4q8k8d4-causal", "b2h4q16k16d4-kv2-causal", "b2h4q16k16d4-causal",
      ])
  }

  @Test(arguments: ["h2q8,9d4", "h2q8, 9d4", "h2q8 ,9d4", "  h2q8 ,\t9d4\n"])
  func blanksRoundCommas(text: String) throws {
    #expect(try BenchmarkCase.list(parsing: text, limits: Self.limits).map(\.queryLength) == [8, 9])
  }

  @Test(
    "A comma does not separate cases, and the message says what does",
    arguments: ["h2q8d4,h2q9d4", "h2q8d4, b1", "h2q8d4 ,"])
  func commasBetweenCases(text: String) {
    let error = #expect(throws: BenchmarkCaseError.self) { try BenchmarkCase.list(parsing: text, limits: Self.limits) }
    #expect(error?.description.contains("spaces or semicolons separate cases") == true, "\(String(describing: error))")
  }

  @Test(arguments: ["h2q8d4 h2q9d4", "h2q8d4;h2q9d4", " ; h2q8d4 ;\n h2q9d4;", "h2q8d4\th2q9d4 h2q8k8d4"])
  func separators(text: String) throws {
    let cases = try BenchmarkCase.list(parsing: text, limits: Self.limits)
    #expect(cases.map(\.queryLength) == [8, 9])
  }

  @Test(
    "What is not a case is refused with a typed error",
    arguments: [
      "x", "b", "b8", "8", "-causal", "h2q8", "h2d8", "q8d8", "h2q8d", "h2q8d4-", "h2q8d4-foo", "h2q8d4-causal-causal",
      "h2q8d4-kv", "h2q8d4-kv1-kv2", "h2h2q8d4", "h2q8d4causal", "h2q8d4-causal4", "h2q8d4x", "h2q8,d4", "h2q,8d4",
      "h2q8-d4", "h2q8-4d4", "h2q1-4*1d4", "h2q1-4*0d4", "h2q1-4+0d4", "h2q0-4*2d4", "h2q-8d4", "h2q8.5d4", "H2Q8D4",
      "h2q８d4", "h2q8d4–causal", "h0q8d4", "h2q0d4", "h2q8d0", "b0h2q8d4", "h2q8d4-kv0", "h2q8d4-v0", "h2q8d4-window0",
      "h2q8d4-softcap0", "h2q8d4-kv3", "h2q8d4-kv4", "h2q99999999999999999999d4", "h2147483648q8d4",
      "b2147483647h2147483647q2147483647d2147483647", "h1q2147483647d2147483647", "h2q1-2000d4", "b1-100h1-100q8d4",
      "h2q1-2147483647d4", "\u{0}", "h2q8d4\u{0}", "🙂", "h2q8d4-🙂", "e\u{301}", "",
    ])
  func refusals(text: String) {
    let error = #expect(throws: BenchmarkCaseError.self) {
      _ = try BenchmarkCase.list(parsing: text, limits: Self.limits)
    }
    let message = error?.description ?? ""
    #expect(!message.isEmpty && !message.contains(where: \.isNewline))
    #expect(message.count < 400)
  }

  @Test(arguments: ["h2q8,9d4", "h2q8-16*2d4"])
  func oneCaseIsNotAList(text: String) {
    #expect(throws: BenchmarkCaseError.tooMany(limit: 1)) {
      try BenchmarkCase(parsing: text, limits: Self.limits)
    }
  }

  @Test func errorsNameThePlaceAndTheExpectation() {
    #expect(
      throws: BenchmarkCaseError.syntax(
        text: "h2q8d4-foo", at: 7, expected: "one of the suffixes -causal, -window, -kv, -v, -softcap",
        found: "'-foo'")
    ) { try BenchmarkCase(parsing: "h2q8d4-foo", limits: Self.limits) }
    #expect(throws: BenchmarkCaseError.headsNotDivisible(case: "b1h12q8k8d4-kv5", heads: 12, keyValueHeads: 5)) {
      try BenchmarkCase(parsing: "h12q8d4-kv5", limits: Self.limits)
    }
  }

  @Test func theMemoryLimitHolds() throws {
    let text = "h1q1000d64"
    #expect(throws: Never.self) { try BenchmarkCase(parsing: text, limits: CaseLimits(memory: 1 << 30)) }
    let error = #expect(throws: BenchmarkCaseError.self) {
      try BenchmarkCase(parsing: text, limits: CaseLimits(memory: 100_000))
    }
    guard case .tooLarge(_, let bytes, 100_000) = error else {
      Issue.record("\(String(describing: error)) is not about memory")
      return
    }
    #expect(bytes > 4 * 4 * 1000 * 64)
  }

  @Test func theCasesFitIntoMemoryTogether() throws {
    let one = "h1q1000d64"
    let limits = CaseLimits(memory: 20_000_000)
    #expect(try BenchmarkCase.list(parsing: one, limits: limits).count == 1)
    #expect(throws: BenchmarkCaseError.self) { try BenchmarkCase.list(parsing: "h1q1000-1009d64", limits: limits) }
  }

  @Test func theDefaultListIsOfTheGrammar() throws {
    let cases = try BenchmarkCase.list(parsing: BenchmarkCase.defaultList)
    #expect((7...10).contains(cases.count))
    #expect(Set(cases.map(\.keyWidth)) == [32, 64, 128])
    #expect(cases.contains { $0.keyValueHeads < $0.heads } && cases.contains { $0.window != nil })
  }

  /// Random texts over the grammar's own letters: most are wrong, and every one must give cases that print and read
  /// back, or a typed error on one line.
  @Test(arguments: 0..<4)
  func randomTexts(seed: Int) {
    var generator = SeededGenerator(seed: UInt64(seed))
    let pieces = [
      "b", "h", "q", "k", "d", "-kv", "-v", "-window", "-causal", "-softcap", "-", ",", "*", "+", " ", ";", "1", "2",
      "8", "16", "0", "9999999999", "2147483647", "\u{0}", "é", "🙂", "x", "h2q8d4", "-causal", "b1h2", "q4d8",
    ]
    var accepted = 0
    for _ in 0..<20_000 {
      let text = (0..<Int.random(in: 0...10, using: &generator)).map { _ in pieces.randomElement(using: &generator)! }
        .joined()
      do throws(BenchmarkCaseError) {
        let cases = try BenchmarkCase.list(parsing: text, limits: CaseLimits(memory: 1 << 30, cases: 100))
        accepted += 1
        #expect((1...100).contains(cases.count) && Set(cases).count == cases.count, "\(text.debugDescription)")
        for one in cases {
          let again = try BenchmarkCase(parsing: one.description, limits: CaseLimits(memory: 1 << 30))
          if again != one { Issue.record("\(one) reads back as \(again)") }
        }
      } catch {
        if error.description.contains(where: \.isNewline) { Issue.record("\(error.description.debugDescription)") }
      }
    }
    #expect(accepted > 20)
  }
}
