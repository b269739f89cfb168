import Attention
import AttentionModels
import AttentionTraining
import Testing

@Suite struct MaskedTokenDataTests {
  /// Tokens from 10 on, each one more than the one before it, in documents of sentences of these lengths; no two alike.
  static func counting(_ documents: [[Int]]) -> TokenDocuments {
    var next = 10
    var (ids, origins): ([[Int]], [Int]) = ([], [])
    for (document, sentences) in documents.enumerated() {
      for length in sentences {
        ids.append(Array(next..<next + length))
        origins.append(document)
        next += length
      }
      // The next document's tokens do not follow.
      next += 5
    }
    return TokenDocuments(ids: ids, origins: origins)
  }

  static let documents: TokenDocuments = {
    var generator = SplitMix(state: 9)
    let lengths = (0..<60).map { _ in
      (0..<Int.random(in: 1...40, using: &generator)).map { _ in Int.random(in: 0...25, using: &generator) }
    }
    return counting(lengths + [[200], [1], [0], [3, 300, 2]])
  }()

  static let size = (0..<documents.count).compactMap { documents.ids(of: $0).max() }.max()! + 1
  static let vocabulary = MaskingVocabulary(size: size, maskID: 4, specialIDs: [0, 1, 2, 3])

  static func data(
    _ documents: TokenDocuments = documents, length: Int = 64, batchTokens: Int = 512, makesPairs: Bool = true,
    seed: UInt64 = 1
  ) throws -> MaskedTokenData {
    try MaskedTokenData(
      documents, length: length, batchTokens: batchTokens, makesPairs: makesPairs, classID: 2, separatorID: 3,
      corruption: MaskedTokenCorruption(vocabulary), seed: seed)
  }

  struct Sequence {
    let first: [Int]
    let second: [Int]?
    let label: Int
    let masked: Int
  }

  /// The sequences of an epoch, as they were before tokens were hidden, taken apart by their form.
  static func sequences(_ data: MaskedTokenData, epoch: Int) throws -> [Sequence] {
    var sequences: [Sequence] = []
    for index in 0..<data.batchCount(ofEpoch: epoch) {
      let batch = data.batch(index, ofEpoch: epoch)
      let tokens = batch.tokens
      #expect(tokens.ids.count <= max(data.batchTokens, data.length))
      #expect((batch.nextSentenceLabels == nil) == !data.makesPairs)
      let segments = try #require(tokens.segments)
      for sequence in 0..<tokens.layout.sequenceCount {
        let rows = tokens.layout.range(of: sequence)
        #expect(rows.count <= data.length)
        let ids = rows.map { tokens.labels[$0] == -100 ? tokens.ids[$0] : tokens.labels[$0] }
        #expect(ids.first == 2 && ids.last == 3)
        let parts = ids.dropFirst().split(separator: 3)
        #expect(parts.allSatisfy { part in zip(part, part.dropFirst()).allSatisfy { $0 + 1 == $1 } })
        #expect(ids.count { $0 < 10 } == parts.count + 1)
        let boundary = parts[0].count + 2
        #expect(Array(segments[rows]) == ids.indices.map { $0 < boundary ? 0 : 1 })
        sequences.append(
          Sequence(
            first: Array(parts[0]), second: parts.count > 1 ? Array(parts[1]) : nil,
            label: batch.nextSentenceLabels?[sequence] ?? -100,
            masked: rows.count { tokens.labels[$0] != -100 }))
      }
    }
    return sequences
  }

  static let all = (0..<documents.count).flatMap(documents.ids(of:))

  @Test(arguments: [(64, 512), (16, 64), (5, 5), (256, 256)])
  func `pairs have their form, and every token stands in its place once in an epoch`(length: Int, budget: Int) throws {
    let data = try Self.data(length: length, batchTokens: budget)
    for epoch in 0..<3 {
      let sequences = try Self.sequences(data, epoch: epoch)
      #expect(sequences.allSatisfy { ($0.second == nil) == ($0.label == -100) })
      let inPlace = sequences.flatMap { $0.first + ($0.label == 0 ? $0.second! : []) }
      #expect(inPlace.sorted() == Self.all)
      for sequence in sequences {
        let count = sequence.first.count + (sequence.second?.count ?? 0)
        #expect(sequence.masked == max(1, Int((0.15 * Double(count)).rounded())))
      }
    }
  }

  @Test func `half of the pairs follow, and the others come from other documents`() throws {
    let data = try Self.data()
    let documentOf = Dictionary(
      uniqueKeysWithValues: (0..<Self.documents.count).flatMap { sentence in
        Self.documents.ids(of: sentence).map { ($0, Self.documents.origin(of: sentence)) }
      })
    let sequences = try (0..<20).flatMap { try Self.sequences(data, epoch: $0) }
    let pairs = sequences.filter { $0.label >= 0 }
    #expect(pairs.count > 2_000)
    expectBinomial(pairs.count { $0.label == 0 }, of: pairs.count, probability: 0.5, "pairs that follow")
    for pair in pairs {
      let second = try #require(pair.second)
      #expect((pair.first.last! + 1 == second[0]) == (pair.label == 0))
      #expect((documentOf[pair.first[0]] == documentOf[second[0]]) == (pair.label == 0))
    }
    // Second parts do not tell by their length which kind they are.
    func mean(_ label: Int) -> Double {
      let chosen = pairs.filter { $0.label == label }
      return Double(chosen.reduce(0) { $0 + $1.second!.count }) / Double(chosen.count)
    }
    #expect(abs(mean(0) / mean(1) - 1) < 0.25)
  }

  @Test func `of one document, what does not follow comes from another place in it`() throws {
    let one = Self.counting([[Int](repeating: 6, count: 50)])
    let pairs = try (0..<20).flatMap { try Self.sequences(Self.data(one), epoch: $0) }.filter { $0.label >= 0 }
    expectBinomial(pairs.count { $0.label == 0 }, of: pairs.count, probability: 0.5, "pairs that follow")
    for pair in pairs where pair.label == 1 {
      #expect(Set(pair.first).isDisjoint(with: pair.second!))
      #expect(pair.second![0] != pair.first.last! + 1)
      #expect(!pair.second!.contains(pair.first.last! + 1) || pair.second![0] < pair.first[0])
    }
  }

  @Test func `what says the same as the true successor is no elsewhere`() throws {
    // Two documents of the same two sentences, and one of another.
    let ids = [[10, 11], [12, 13], [10, 11], [12, 13], [20, 21], [22, 23]]
    let documents = TokenDocuments(ids: ids, origins: [0, 0, 1, 1, 2, 2])
    var seen = 0
    for epoch in 0..<200 {
      for sequence in try Self.sequences(Self.data(documents), epoch: epoch) where sequence.label == 1 {
        #expect(sequence.second?.prefix(2) != [sequence.first.last! + 1, sequence.first.last! + 2])
        seen += 1
      }
    }
    #expect(seen > 100)
  }

  @Test func `where nothing is elsewhere, no pair is judged that does not follow`() throws {
    let two = Self.counting([[4, 4]])
    let sequences = try (0..<50).flatMap { try Self.sequences(Self.data(two), epoch: $0) }
    #expect(sequences.allSatisfy { $0.label != 1 })
    #expect(sequences.contains { $0.second == nil && $0.first.count == 8 })
  }

  @Test(arguments: [3, 16, 64])
  func `without pairs a sequence is one run`(length: Int) throws {
    let data = try Self.data(length: length, makesPairs: false)
    for epoch in 0..<3 {
      let sequences = try Self.sequences(data, epoch: epoch)
      #expect(sequences.allSatisfy { $0.second == nil })
      #expect(sequences.flatMap(\.first).sorted() == Self.all)
    }
  }

  @Test(arguments: [true, false])
  func `a batch is a function of its place`(makesPairs: Bool) async throws {
    try await expectFunctionOfPlace { try Self.data(makesPairs: makesPairs) }
    #expect(try Self.data(seed: 1).batch(0, ofEpoch: 0) != Self.data(seed: 2).batch(0, ofEpoch: 0))
  }

  @Test func `held-out data are always the same`() throws {
    let data = try Self.data().heldOutData()
    #expect(data.batches == (try Self.data().heldOutData().batches))
    #expect(data.byteCount == nil)
    #expect(data.batches.count == (try Self.data().batchCount(ofEpoch: 0)))
  }

  @Test func `whole words are hidden by their spans`() throws {
    let text = try textDocuments(madeText(lines: 400, seed: 3), .blocks(count: 8)).cut(.lines)
    let tokenizer = BytePairTrainer(
      vocabularySize: 300, specialTokens: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    ).train(on: text.texts)
    let vocabulary = try #require(MaskingVocabulary(tokenizer))
    #expect(vocabulary.specialIDs == [0, 1, 2, 3, 4] && vocabulary.maskID == 4)
    let tokens = TokenDocuments(text, tokenizer: tokenizer)
    let data = try MaskedTokenData(
      tokens, length: 96, batchTokens: 1_000, classID: 2, separatorID: 3, corruption: SpanCorruption(vocabulary),
      seed: 2)
    var parts = 0
    for index in 0..<data.batchCount(ofEpoch: 0) {
      let batch = data.batch(index, ofEpoch: 0).tokens
      let ids = zip(batch.ids, batch.labels).map { $1 == -100 ? $0 : $1 }
      for row in ids.indices.dropFirst() where ids[row] > 4 && ids[row - 1] > 4 {
        // A letter behind a letter of the same line goes on with its word.
        let (before, here) = (tokenizer.token(ids[row - 1])!, tokenizer.token(ids[row])!)
        guard before.last!.isASCII, before.last!.isLetter, here.first!.isASCII, here.first!.isLetter,
          batch.segments![row] == batch.segments![row - 1]
        else { continue }
        parts += 1
        #expect((batch.labels[row] == -100) == (batch.labels[row - 1] == -100))
      }
    }
    #expect(parts > 300)
  }

  @Test func `no tokens, and misuse`() async throws {
    let empty = TokenDocuments(ids: [[], []], name: "none.txt")
    let error = #expect(throws: TextDataError.self) { try Self.data(empty) }
    #expect(error?.reason == .nothingToPredict)
    await #expect(processExitsWith: .failure) { _ = try MaskedTokenDataTests.data(length: 4) }
    await #expect(processExitsWith: .failure) { _ = try MaskedTokenDataTests.data(batchTokens: 0) }
    await #expect(processExitsWith: .failure) {
      let text = TokenDocuments(TextDocuments(["a"]), tokenizer: ByteTokenizer(), beginID: 1)
      _ = try MaskedTokenDataTests.data(text)
    }
    await #expect(processExitsWith: .failure) {
      _ = try MaskedTokenData(
        MaskedTokenDataTests.documents, length: 64, batchTokens: 64, classID: 2, separatorID: 9,
        corruption: MaskedTokenCorruption(MaskedTokenDataTests.vocabulary), seed: 1)
    }
    await #expect(processExitsWith: .failure) {
      _ = MaskedTokenBatch(
        tokens: TokenBatch(ids: [1], labels: [-100], layout: SequenceLayout(lengths: [1])), nextSentenceLabels: [2])
    }
  }
}
