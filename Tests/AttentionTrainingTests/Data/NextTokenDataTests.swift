import Attention
import AttentionModels
import AttentionTraining
import Foundation
import Testing

@Suite struct NextTokenDataTests {
  /// Documents of these lengths, in which each token is one more than the one before it, and no two are the same.
  static func counting(_ lengths: [Int]) -> TokenDocuments {
    var next = 0
    return TokenDocuments(
      ids: lengths.map { length in
        defer { next += length + 1 }
        return Array(next..<next + length)
      })
  }

  static let lengths = [0, 1, 2, 7, 64, 65, 129, 500, 1]
  static let documents = counting(lengths)
  /// Every token but each document's first.
  static let predicted = (0..<lengths.count).flatMap { documents.ids(of: $0).dropFirst() }.sorted()

  func check(_ batches: [TokenBatch], length: Int, budget: Int) {
    var labels: [Int] = []
    for batch in batches {
      #expect(batch.ids.count <= max(budget, length))
      #expect(batch.layout.lengths.allSatisfy { (1...length).contains($0) })
      for sequence in 0..<batch.layout.sequenceCount {
        let rows = batch.layout.range(of: sequence)
        // No token is read that does not follow the one before it: no window crosses documents.
        #expect(zip(batch.ids[rows], batch.ids[rows].dropFirst()).allSatisfy { $0 + 1 == $1 })
        #expect(rows.allSatisfy { [-100, batch.ids[$0] + 1].contains(batch.labels[$0]) })
      }
      labels += batch.labels.filter { $0 != -100 }
    }
    #expect(labels.sorted() == Self.predicted)
  }

  @Test(arguments: [(1, 1), (1, 10), (8, 64), (64, 64), (64, 200), (1_000, 100), (1_000, 5_000)])
  func `in an epoch every token after a document's first is predicted exactly once`(length: Int, budget: Int) throws {
    let data = try NextTokenData(Self.documents, length: length, batchTokens: budget, seed: 3)
    for epoch in 0..<4 {
      let batches = (0..<data.batchCount(ofEpoch: epoch)).map { data.batch($0, ofEpoch: epoch) }
      #expect(batches.allSatisfy { !$0.labels.contains(-100) })
      check(batches, length: length, budget: budget)
      // No last batch is a handful of tokens.
      if budget >= 4 * length, batches.count > 1 { #expect(batches.last!.ids.count >= budget / 4) }
    }
  }

  @Test func `a batch is a function of its place`() async throws {
    try await expectFunctionOfPlace { try NextTokenData(Self.documents, length: 16, batchTokens: 64, seed: 5) }
  }

  @Test func `windows begin elsewhere in each epoch, and with each seed`() throws {
    func starts(_ seed: UInt64, _ epoch: Int) throws -> [Int] {
      let data = try NextTokenData(Self.counting([10_000]), length: 32, batchTokens: 64, seed: seed)
      return (0..<data.batchCount(ofEpoch: epoch)).flatMap { index in
        let batch = data.batch(index, ofEpoch: epoch)
        return batch.layout.offsets.dropLast().map { batch.ids[$0] }
      }
    }
    let phases = try (0..<40).map { try Set(starts(1, $0).filter { $0 > 0 }.map { $0 % 32 }) }
    // All windows but the first lie on one grid, and grids move.
    #expect(phases.allSatisfy { $0.count == 1 })
    #expect(Set(phases.map { $0.first! }).count > 15)
    let order = try starts(1, 0)
    #expect(order != order.sorted())
    #expect(try starts(1, 0) != starts(2, 0))
    #expect(try starts(1, 0) == starts(1, 0))
  }

  @Test(arguments: [[], [[]], [[1], [2]]])
  func `documents without two tokens predict nothing`(ids: [[Int]]) {
    let documents = TokenDocuments(ids: ids, name: "few.txt")
    let expected = #""few.txt": it has too few tokens for one to be predicted from another"#
    let error = #expect(throws: TextDataError.self) {
      try NextTokenData(documents, length: 4, batchTokens: 4, seed: 0)
    }
    #expect(error?.description == expected)
    let other = #expect(throws: TextDataError.self) { try documents.heldOutData(length: 4, batchTokens: 4) }
    #expect(other?.description == expected)
  }

  @Test func `places that are not there are mistakes of the caller`() async {
    await #expect(processExitsWith: .failure) {
      let data = try NextTokenData(Self.documents, length: 4, batchTokens: 4, seed: 0)
      _ = data.batch(data.batchCount(ofEpoch: 0), ofEpoch: 0)
    }
    await #expect(processExitsWith: .failure) {
      _ = try NextTokenData(Self.documents, length: 4, batchTokens: 4, seed: 0).batch(0, ofEpoch: -1)
    }
    await #expect(processExitsWith: .failure) {
      _ = try NextTokenData(Self.documents, length: 0, batchTokens: 4, seed: 0)
    }
  }

  // MARK: Held out

  @Test(arguments: [(1, 1), (2, 10), (8, 64), (9, 30), (64, 200), (1_000, 100)])
  func `held-out windows overlap, and predict every token once`(length: Int, budget: Int) throws {
    let data = try Self.documents.heldOutData(length: length, batchTokens: budget)
    #expect(data.byteCount == nil)
    check(data.batches, length: length, budget: budget)
    for batch in data.batches {
      for sequence in 0..<batch.layout.sequenceCount {
        let rows = batch.layout.range(of: sequence)
        let context = batch.labels[rows].prefix { $0 == -100 }.count + 1
        let isBeginning = !Self.predicted.contains(batch.ids[rows.lowerBound])
        #expect(!batch.labels[rows].dropFirst(context - 1).contains(-100))
        // From half a window, or all that there is.
        #expect(isBeginning || context >= length / 2)
      }
    }
  }

  @Test func `of a model that knows nothing, bits per byte are those of the vocabulary`() throws {
    // All weights 0: every token is as likely. A token is a byte, and the begin token lets the first one be predicted.
    var generator = SeededGenerator(seed: 1)
    let configuration = GPT2Configuration(
      vocabularySize: 300, width: 8, blockCount: 1, heads: 1, maximumLength: 32, initialDeviation: 0)
    let model = GPT2(configuration, using: &generator)
    let text = TextDocuments([madeText(lines: 30, seed: 2), "é", madeText(lines: 3, seed: 3)])
    let tokens = TokenDocuments(text, tokenizer: ByteTokenizer(), beginID: 256)
    let data = try tokens.heldOutData(length: 32, batchTokens: 100)
    let evaluation = try #require(NextTokens<GPT2>().evaluation(of: model, on: data))
    #expect(data.byteCount == text.byteCount)
    #expect(evaluation.losses[0].items == text.byteCount)
    let bits = try #require(evaluation.bitsPerByte)
    #expect(abs(bits - log2(300)) < 1e-5)
  }

  @Test func `documents of one batch do not attend to each other`() throws {
    var generator = SeededGenerator(seed: 4)
    let model = GPT2(
      GPT2Configuration(
        vocabularySize: 40, width: 16, blockCount: 2, heads: 2, maximumLength: 64, initialDeviation: 0.3),
      using: &generator)
    func documents(_ third: Int) -> TokenDocuments {
      TokenDocuments(ids: [[1, 2, 3, 4, 5], [6, 7, 8], [third, 10, third, 12], [13, 14, 15, 16, 17, 18, 19]])
    }
    func batch(_ third: Int) throws -> TokenBatch {
      try NextTokenData(documents(third), length: 16, batchTokens: 100, seed: 1).batch(0, ofEpoch: 0)
    }
    let (one, other) = (try batch(9), try batch(20))
    let (left, right) = (
      model.scores(model(one.ids, layout: one.layout)), model.scores(model(other.ids, layout: other.layout))
    )
    var changed = 0
    for sequence in 0..<one.layout.sequenceCount {
      let rows = one.layout.range(of: sequence)
      let isChanged = one.ids[rows] != other.ids[rows]
      changed += isChanged ? 1 : 0
      #expect((left.sliced(rows).scalars == right.sliced(rows).scalars) != isChanged)
      // And as if it were alone.
      let alone = model.scores(model(Array(one.ids[rows]), layout: SequenceLayout(lengths: [rows.count])))
      #expect(zip(alone.scalars, left.sliced(rows).scalars).allSatisfy { abs($0 - $1) < 1e-5 })
    }
    #expect(changed == 1)
  }

  // MARK: Causal shift

  @Test func `labels are the tokens that follow`() {
    let batch = TokenBatch(shifting: [[5, 9, 3], [7], [], [1, 2]])
    #expect(batch.ids == [5, 9, 1])
    #expect(batch.labels == [9, 3, 2])
    #expect(batch.layout.lengths == [2, 0, 0, 1])
    let later = TokenBatch(shifting: [[5, 9, 3, 4], [1, 2]], context: [3, 9])
    #expect(later.ids == [5, 9, 3, 1])
    #expect(later.labels == [-100, -100, 4, -100])
  }
}
