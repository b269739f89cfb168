import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Foundation
import Testing

/// The subject `ragged`: its lengths, its uniform twins, its checks.
@Suite("Subject ragged", .exclusiveThreadCount)
struct RaggedSubjectTests {
  @Test(
    "Lengths print as they are read back",
    arguments: [
      ("uniform:3x7", ["uniform:3x7"]), ("zipf:4x9", ["zipf:4x9:5"]), ("zipf:4x9:0", ["zipf:4x9"]),
      ("zipf:4x9:12", ["zipf:4x9:12"]), ("3,0,5", ["3,0,5"]), ("7", ["7"]), ("3 , 0 ,5", ["3,0,5"]),
      ("1-4", ["1,2,3,4"]),
      (
        "uniform:2,3x8-32*2 ; 1,2 zipf:1x1:0",
        [
          "uniform:2x8", "uniform:2x16", "uniform:2x32", "uniform:3x8", "uniform:3x16", "uniform:3x32", "1,2",
          "zipf:1x1",
        ]
      ),
      ("@a b.txt", ["@a b.txt"]), ("1,2 @/x/a b; 3", ["1,2", "@a b", "3"]), ("1,2 1,2;1,2", ["1,2"]),
      ("1,2,3,4,5,6,7,8,9", ["1,2,3,4,5,6,7,8,… (9 lengths)"]),
    ])
  func grammar(text: String, names: [String]) throws {
    #expect(try SequenceLengths.list(parsing: text, seed: 5).map(\.description) == names)
  }

  @Test(arguments: [
    "", ";", "x", "uniform", "uniform:", "uniform:3", "uniform:3x", "uniform:x3", "uniform:3x4:5", "uniform:0x4",
    "uniform:3x0", "zipf:3x4:", "zipf:3x4:x", "zipf:1000001x4", "zipf:1x16777217", "zipf:3×4", "0", "0,0", "3,,4", "3,",
    "-3", "+3", "3.5", "3x", "@", "1 @ ;2", "99999999999", "uniform:1-2000x3", "\u{1B}[31m",
  ])
  func whatIsNoGrammarIsRefused(text: String) {
    #expect(throws: BenchmarkCaseError.self) { try SequenceLengths.list(parsing: text, seed: 0) }
  }

  @Test func zipfIsDrawnFromItsSeed() throws {
    let drawn = try SequenceLengths.zipf(sequences: 20_000, longest: 64, seed: 1).lengths()
    #expect(drawn.count == 20_000 && drawn.min() == 1 && drawn.max() == 64)
    let same = try SequenceLengths.zipf(sequences: 20_000, longest: 64, seed: 1).lengths()
    let other = try SequenceLengths.zipf(sequences: 20_000, longest: 64, seed: 2).lengths()
    #expect(drawn == same && drawn != other)
    // Six standard deviations of a count of about np.
    let sum = (1...64).reduce(0) { $0 + 1 / Double($1) }
    for length in [1, 2, 3, 10, 64] {
      let expected = 20_000 / sum / Double(length)
      let found = Double(drawn.count { $0 == length })
      #expect(abs(found - expected) < 6 * expected.squareRoot(), "\(length): \(found), expected \(expected)")
    }
  }

  @Test(arguments: [
    ("3\n0\n12\n", [3, 0, 12]), ("7", [7]), ("007\n0", [7, 0]),
  ])
  func aFileHasALengthOnEachLine(text: String, lengths: [Int]) throws {
    let found = try withFile(text) { try SequenceLengths.file($0).lengths() }
    #expect(found == lengths)
  }

  @Test(arguments: [
    ("", "it is empty"), ("\n", "line 1 is ''"), ("3\n\n4", "line 2 is ''"), ("3\r\n4", "line 1 is '3\\u{d}'"),
    ("3\n 4", "line 2 is ' 4'"), ("+3", "line 1 is '+3'"), ("-1", "line 1"), ("1.5", "line 1"),
    ("0\n0\n", "all lengths"),
    ("2147483648", "line 1"), ("99999999999999999999", "line 1"), ("\u{FEFF}3", "line 1"), ("3,4", "line 1"),
    (String(repeating: "1\n", count: 1_000_001), "1000001 lines"),
  ])
  func otherFilesAreRefused(text: String, problem: String) throws {
    #expect {
      try withFile(text) { try SequenceLengths.file($0).lengths() }
    } throws: { error in
      guard let error = error as? BenchmarkFileError, case .notLengths(_, let found) = error else { return false }
      return found.contains(problem) && error.exitCode == 65
    }
  }

  private func withFile<Result>(_ text: String, _ body: (String) throws -> Result) throws -> Result {
    let file = FileManager.default.temporaryDirectory.appendingPathComponent("lengths-\(UUID().uuidString)")
    defer { try? FileManager.default.removeItem(at: file) }
    try Data(text.utf8).write(to: file)
    return try body(file.path)
  }

  private func cases(_ text: String, heads: String, memory: Int = 1 << 40) throws -> [RaggedInput.Case] {
    let lengths = try SequenceLengths.list(parsing: text, seed: 0).map { (source: $0, lengths: try $0.lengths()) }
    return try RaggedBenchmark.cases(
      lengths: lengths, heads: try RaggedBenchmark.heads(parsing: heads), limits: CaseLimits(memory: memory))
  }

  /// Useful work is as near as a whole length comes: neither neighbour is nearer.
  @Test(arguments: ["h1d4", "h1d4-causal", "h1d4-window3", "h1d4-window100"])
  func uniformTwinsDoEqualWork(heads: String) throws {
    for text in ["zipf:256x512", "3,0,5,128", "0,0,1", "1", "60,61,62"] {
      let all = try cases(text, heads: heads)
      let (own, twin) = (all[0], all.count > 1 ? all[1] : all[0].uniformTwin)
      #expect(twin.lengths.count == own.lengths.count && Set(twin.lengths).count == 1)
      let distance = abs(twin.visibleCells - own.visibleCells)
      for change in [-1, 1] where twin.lengths[0] + change > 0 {
        let length = twin.lengths[0] + change
        let neighbour = try cases("uniform:\(own.lengths.count)x\(length)", heads: heads)[0]
        #expect(distance <= abs(neighbour.visibleCells - own.visibleCells), "\(text) \(length)")
      }
    }
  }

  @Test func casesAreMeasuredOnceAndFitIntoMemory() throws {
    #expect(
      try cases("5,5 uniform:2x5 1,7", heads: "h2d4 h2d4-causal").map(\.name) == [
        "5,5 h2d4", "uniform:2x5 h2d4", "5,5 h2d4-causal", "uniform:2x5 h2d4-causal", "1,7 h2d4", "1,7 h2d4-causal",
      ])
    #expect(throws: BenchmarkCaseError.self) { try cases("5", heads: "h2d4", memory: 1000) }
    #expect(throws: BenchmarkCaseError.self) { try cases("uniform:1000000x2147483647", heads: "h64d64") }
    for heads in ["", "h2", "h2q3d4", "b2h2d4", "h3d4-kv2"] {
      #expect(throws: BenchmarkCaseError.self) { try cases("5", heads: heads) }
    }
  }

  @Test(arguments: ["h4d8-kv2", "h2d5-v3-causal", "h2d8-window9", "h1d4-softcap2"])
  func rowsCountWork(heads: String) throws {
    let one = try cases("3,0,5,40", heads: heads)
    let rows = RaggedBenchmark(cases: one, paths: [.naive, .blas, .fused], repeats: 1).run().report.rows
    #expect(rows.count == 6)
    for row in rows {
      #expect(row.faults.isEmpty && row.checks.errorRows == row.tokens * row.padded.heads, "\(row.key)")
      #expect(row.executedGFLOP >= row.usefulGFLOP)
    }
    for (ragged, uniform) in zip(rows[..<3], rows[3...]) {
      #expect(ragged.tokens == 48 && ragged.sequences == 4 && ragged.padded.queryLength == 40)
      let width = 2 * Double(ragged.padded.keyWidth + ragged.padded.valueWidth) * Double(ragged.padded.heads)
      #expect(abs(ragged.usefulGFLOP * 1e9 - width * one[0].visibleCells) < 1e-6)
      #expect(uniform.paddingFactor == 1 && uniform.rateOverUniform == nil)
      #expect(ragged.rateOverUniform == ragged.gflops / uniform.gflops)
    }
  }

  @Test func paddingIsWhatTheLongestWouldCost() throws {
    let row = RaggedBenchmark(cases: [try cases("3,0,5,40", heads: "h1d4")[0]], repeats: 1).run().report.rows[0]
    #expect(row.paddingFactor == 4 * 1600 / Double(9 + 25 + 1600))
    let causal = RaggedBenchmark(cases: [try cases("3,4", heads: "h1d4-causal")[0]], repeats: 1).run().report.rows[0]
    #expect(causal.paddingFactor == 2 * 10 / Double(6 + 10) && causal.rateOverUniform == nil)
  }

  /// The reference knows which sequence, query and head a row of the output is.
  @Test func aSwappedRowIsAFault() throws {
    let input = RaggedInput(try cases("3,0,5", heads: "h2d4")[0], seed: 1)
    let right = input.run(.fused)
    #expect(Verification(input, seed: 0) { right }.isWithinContract)
    for row in 0..<15 {
      var scalars = right.scalars
      for column in 0..<4 { scalars.swapAt(row * 4 + column, (row + 1) * 4 + column) }
      #expect(!Verification(input, seed: 0) { Tensor(scalars, shape: right.shape) }.isWithinContract, "\(row)")
    }
  }
}
