import AttentionTraining
import Testing

@Suite struct PairDataTests {
  @Test func `a line is a source, a tab and a target`() throws {
    let pairs = try withFile("ab\tc\r\n\n  \nd e\t f\nlast\tone".utf8) { try TextPairs(contentsOf: $0) }
    #expect(pairs.count == 3)
    #expect(pairs.sources.all == ["ab", "d e", "last"])
    #expect(pairs.targets.all == ["c", " f", "one"])
  }

  @Test(arguments: [
    ("a\tb\n\nno tab\n", 3, "it has no tab; a line is a source, one tab and a target"),
    ("a\tb\tc\n", 1, "it has 2 tabs; a line is a source, one tab and a target"),
    ("a\tb\n\tb\n", 2, "nothing stands before the tab"), ("a\tb\na\t\r\n", 2, "nothing stands behind the tab"),
  ])
  func `another line is named`(text: String, line: Int, problem: String) throws {
    try withFile(text.utf8) { path in
      let error = #expect(throws: TextDataError.self) { try TextPairs(contentsOf: path) }
      #expect(error?.reason == .badLine(line, problem: problem))
      #expect(error?.description == "\"\(path)\": line \(line): \(problem)")
    }
  }

  @Test func `files that are no texts are named`() throws {
    let missing = #expect(throws: TextDataError.self) { try TextPairs(contentsOf: "/no/such/file") }
    #expect(missing?.reason == .unreadable(.cannotOpen(code: 2)))
    let damaged = try withFile([0x61, 0x09, 0xFF]) { path in
      #expect(throws: TextDataError.self) { try TextPairs(contentsOf: path) }
    }
    #expect(damaged?.reason == .invalidUTF8(line: 1, byte: 2))
    let empty = try withFile([0x0A]) { path in #expect(throws: TextDataError.self) { try TextPairs(contentsOf: path) } }
    #expect(empty?.reason == .empty)
  }

  @Test func `pairs stay together when some are held out`() throws {
    let lines = (0..<10).map { "s\($0)\tt\($0)" }.joined(separator: "\n")
    let (training, heldOut) = try withFile(lines.utf8) { try TextPairs(contentsOf: $0).split(every: 4) }
    #expect(heldOut.sources.all == ["s3", "s7"] && heldOut.targets.all == ["t3", "t7"])
    #expect(
      training.count == 8
        && zip(training.sources.all, training.targets.all).allSatisfy { $0.dropFirst() == $1.dropFirst() })
    let few = try withFile("a\tb".utf8) { try TextPairs(contentsOf: $0) }
    let error = #expect(throws: TextDataError.self) { try few.split(every: 2) }
    #expect(error?.reason == .tooFewToSplit(documents: 1))
  }

  static let sources = TokenDocuments(ids: (0..<50).map { n in Array(repeating: n, count: n % 7) })
  static let targets = TokenDocuments(ids: (0..<50).map { n in Array(repeating: 100 + n, count: n % 5) })

  static func data(seed: UInt64 = 1) throws -> PairData {
    try PairData(sources: sources, targets: targets, batchTokens: 40, beginID: 200, endID: 201, seed: seed)
  }

  @Test func `an epoch reads every pair once, the decoder one token behind`() throws {
    let data = try Self.data()
    for epoch in 0..<2 {
      var seen: [Int] = []
      for index in 0..<data.batchCount(ofEpoch: epoch) {
        let batch = data.batch(index, ofEpoch: epoch)
        #expect(batch.source.count + batch.target.count <= 40)
        for pair in 0..<batch.count {
          let target = batch.target[batch.targetLayout.range(of: pair)]
          let labels = batch.labels[batch.targetLayout.range(of: pair)]
          let source = batch.source[batch.sourceLayout.range(of: pair)]
          #expect(target.first == 200 && labels.last == 201)
          #expect(target.dropFirst() == labels.dropLast() || Array(target.dropFirst()) == Array(labels.dropLast()))
          // Where both have tokens these say which pair it is.
          if let one = source.first, target.count > 1 { #expect(target.last == one + 100) }
          seen.append(source.count * 10 + target.count - 1)
        }
      }
      #expect(seen.sorted() == (0..<50).map { ($0 % 7) * 10 + $0 % 5 }.sorted())
    }
  }

  @Test func `a batch is a function of its place`() async throws {
    try await expectFunctionOfPlace { try Self.data() }
    #expect(try Self.data().batch(0, ofEpoch: 0) != Self.data(seed: 2).batch(0, ofEpoch: 0))
  }

  @Test func `no pairs, and misuse`() async {
    let none = TokenDocuments(ids: [], name: "none.tsv")
    let error = #expect(throws: TextDataError.self) {
      try PairData(sources: none, targets: none, batchTokens: 4, beginID: 0, endID: 1, seed: 0)
    }
    #expect(error?.reason == .empty && error?.file == "none.tsv")
    await #expect(processExitsWith: .failure) {
      _ = try PairData(
        sources: PairDataTests.sources, targets: TokenDocuments(ids: []), batchTokens: 4, beginID: 0, endID: 1, seed: 0)
    }
    await #expect(processExitsWith: .failure) { _ = PairBatch(sources: [[1]], targets: [], beginID: 0, endID: 1) }
  }

  // MARK: Reversal

  static func reversal(seed: UInt64 = 1) -> ReversalTask {
    ReversalTask(
      tokens: 2..<12, lengths: 0...5, beginID: 0, endID: 1, batchPairs: 200, batchesPerEpoch: 3, seed: seed)
  }

  @Test func `targets are sources reversed, of every length and token as likely`() {
    let task = Self.reversal()
    var lengths = [Int](repeating: 0, count: 6)
    var tokens = [Int](repeating: 0, count: 12)
    for index in 0..<300 {
      let batch = task.batch(index % 3, ofEpoch: index / 3)
      #expect(batch.count == 200)
      for pair in 0..<batch.count {
        let source = Array(batch.source[batch.sourceLayout.range(of: pair)])
        let labels = batch.labels[batch.targetLayout.range(of: pair)]
        #expect(Array(labels) == source.reversed() + [1])
        #expect(Array(batch.target[batch.targetLayout.range(of: pair)]) == [0] + source.reversed())
        lengths[source.count] += 1
        for token in source { tokens[token] += 1 }
      }
    }
    for count in lengths { expectBinomial(count, of: 60_000, probability: 1.0 / 6, "a length") }
    let total = tokens.reduce(0, +)
    #expect(tokens[0] == 0 && tokens[1] == 0)
    for count in tokens[2...] { expectBinomial(count, of: total, probability: 0.1, "a token") }
  }

  @Test func `a batch of the task is a function of its place`() async throws {
    try await expectFunctionOfPlace { Self.reversal() }
    #expect(Self.reversal().batch(0, ofEpoch: 0) != Self.reversal(seed: 2).batch(0, ofEpoch: 0))
    await #expect(processExitsWith: .failure) { _ = PairDataTests.reversal().batch(3, ofEpoch: 0) }
    await #expect(processExitsWith: .failure) {
      _ = ReversalTask(tokens: 1..<12, lengths: 1...5, beginID: 0, endID: 1, seed: 1)
    }
  }
}
