import Attention
import AttentionModels
import AttentionTestSupport
import Foundation
import Testing

/// Words of single letters, which a user's own tokenizer might make: a conformance outside of the library.
struct LetterTokenizer: Tokenizer {
  var idLimit: Int { 28 }

  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    let letters = text.unicodeScalars.enumerated().compactMap { place, scalar -> (id: Int, offset: Range<Int>)? in
      guard ("a"..."z").contains(scalar) else { return nil }
      return (Int(scalar.value - 95), place..<place + 1)
    }
    let room = options.maximumLength.map { max(0, $0 - 1) } ?? letters.count
    let kept = letters.prefix(room)
    return Encoding(
      ids: [1] + kept.map(\.id), offsets: [0..<0] + kept.map(\.offset),
      segments: [Int](repeating: 0, count: kept.count + 1), isTemplate: [true] + kept.map { _ in false },
      isTruncated: letters.count > room)
  }

  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
    String(String.UnicodeScalarView(ids.filter { $0 > 1 }.map { Unicode.Scalar(UInt8($0 + 95)) }))
  }

  func token(_ id: Int) -> String? {
    id == 1 ? "^" : (2..<28).contains(id) ? String(Unicode.Scalar(UInt8(id + 95))) : nil
  }

  func id(of token: String) -> Int? { (0..<28).first { self.token($0) == token } }
}

@Suite struct SentenceEncoderTests {
  static func encoder(
    pooling: Pooling = .mean, normalizes: Bool = true, maximumLength: Int? = nil, seed: UInt64 = 1
  ) -> SentenceEncoder {
    var generator = SeededGenerator(seed: seed)
    let model = BERT(
      BERTConfiguration(
        vocabularySize: 30, width: 32, blockCount: 2, heads: 4, feedForwardWidth: 64, maximumLength: 300,
        initialDeviation: 0.3), using: &generator)
    return SentenceEncoder(
      model: model, tokenizer: LetterTokenizer(), pooling: pooling, normalizes: normalizes,
      maximumLength: maximumLength)
  }

  static func texts(_ count: Int, longest: Int = 120, seed: UInt64 = 2) -> [String] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in
      let length = Int.random(in: 0...longest, using: &generator)
      return String((0..<length).map { _ in "abcdefghijklmnopqrstuvwxyz".randomElement(using: &generator)! })
    }
  }

  /// Bits where the contract promises bits, 1e-5 elsewhere.
  static func areEqual(_ left: Tensor, _ right: Tensor) -> Bool {
    guard left.shape == right.shape else { return false }
    let isBitwise = OpenBLAS.hasSmallMatrixKernels
    return zip(left.scalars, right.scalars).allSatisfy { isBitwise ? $0 == $1 : abs($0 - $1) <= 1e-5 }
  }

  @Test("A text's row is the same alone and together, for every budget and number of threads", .exclusiveThreadCount)
  func aloneEqualsTogether() {
    let (encoder, texts) = (Self.encoder(), Self.texts(80))
    let together: Tensor = encoder.embed(texts)
    for (index, text) in texts.enumerated() {
      let alone: Tensor = encoder.embed(text)
      #expect(Self.areEqual(alone, together.sliced(index..<index + 1).reshaped(to: [32])), "text \(index)")
    }
    for options in [
      EmbeddingOptions(tokenBudget: 1), .init(tokenBudget: 200), .init(tokenBudget: 1 << 20), .init(memoryBudget: 1),
      .init(memoryBudget: 1 << 18), .init(tokenBudget: .max), .init(tokenBudget: .max, memoryBudget: .max),
    ] {
      let rows: Tensor = encoder.embed(texts, options: options)
      #expect(Self.areEqual(rows, together), "\(options)")
    }
    for threads in [1, 2, 3, 8] {
      Engine.setThreadCount(threads)
      let rows: Tensor = encoder.embed(texts)
      #expect(Self.areEqual(rows, together), "\(threads) threads")
    }
    // The order of the texts is the order of the rows.
    let reversed: Tensor = encoder.embed(texts.reversed())
    for index in texts.indices {
      let place = texts.count - 1 - index
      #expect(Self.areEqual(reversed.sliced(place..<place + 1), together.sliced(index..<index + 1)))
    }
  }

  @Test("Pooling and length, from the model's own rows", arguments: Pooling.allCases, [true, false])
  func pooling(_ pooling: Pooling, _ normalizes: Bool) {
    let encoder = Self.encoder(pooling: pooling, normalizes: normalizes)
    for text in ["", "a", "hello", "thequickbrownfox"] {
      let ids = encoder.tokenizer.encode(text).ids
      let hidden = encoder.model(ids, layout: SequenceLayout(lengths: [ids.count])).scalars.map { Double($0) }
      var expected = (0..<32).map { column -> Double in
        let values = ids.indices.map { hidden[$0 * 32 + column] }
        switch pooling {
        case .mean: return values.reduce(0, +) / Double(values.count)
        case .firstToken: return values[0]
        case .maximum: return values.max()!
        }
      }
      if normalizes {
        let length = expected.reduce(0) { $0 + $1 * $1 }.squareRoot()
        expected = expected.map { $0 / length }
      }
      let row: Tensor = encoder.embed(text)
      #expect(row.shape == [32])
      #expect(largestDistance(row.scalars, expected) <= 2e-6)
    }
  }

  @Test("No texts, empty texts, texts past the limit")
  func edges() {
    let encoder = Self.encoder(maximumLength: 10)
    let none: Tensor = encoder.embed([])
    #expect(none.shape == [0, 32])
    let result = encoder.result(for: ["", "abcdefghi", "abcdefghij", String(repeating: "z", count: 100_000)])
    #expect(result.tokenCounts == [1, 10, 10, 10])
    #expect(result.isTruncated == [false, false, true, true])
    #expect(Self.areEqual(result.rows.sliced(1..<2), result.rows.sliced(2..<3)))
    let isFinite = result.rows.scalars.allSatisfy { $0.isFinite }
    #expect(isFinite)
  }

  @Test("Progress counts every text once, to the end")
  func progress() {
    let (encoder, texts) = (Self.encoder(), Self.texts(500))
    let steps = Guarded<[EmbeddingProgress]>([])
    let result = encoder.result(for: texts, options: EmbeddingOptions(tokenBudget: 256)) { step in
      steps.withLock { $0.append(step) }
    }
    let seen = steps.withLock { $0 }
    #expect(seen.count > 10)
    #expect(seen.allSatisfy { $0.total == 500 })
    #expect(zip(seen, seen.dropFirst()).allSatisfy { $0.completed < $1.completed && $0.tokens < $1.tokens })
    #expect(seen.last?.completed == 500)
    #expect(seen.last?.tokens == result.tokenCounts.reduce(0, +))
  }

  @Test("Many tasks at once get what each gets alone")
  func concurrentCallers() async throws {
    let encoder = Self.encoder()
    let inputs = (0..<24).map { Self.texts(1 + $0 % 7 * 5, seed: UInt64($0)) }
    let alone = inputs.map { texts -> Tensor in encoder.embed(texts) }
    try await withThrowingTaskGroup(of: (Int, Tensor).self) { group in
      for (index, texts) in inputs.enumerated() {
        group.addTask { (index, try await encoder.embed(texts)) }
      }
      var count = 0
      for try await (index, rows) in group {
        #expect(Self.areEqual(rows, alone[index]))
        count += 1
      }
      #expect(count == inputs.count)
    }
    let one = try await encoder.embed(inputs[0][0])
    #expect(Self.areEqual(one, alone[0].sliced(0..<1).reshaped(to: [32])))
  }

  @Test("A cancelled call ends early, with an error")
  func cancellation() async throws {
    let (encoder, texts) = (Self.encoder(), Self.texts(4000))
    let completed = Guarded(0)
    let holder = Guarded<Task<Tensor, any Error>?>(nil)
    let task = Task {
      try await encoder.embed(texts, options: EmbeddingOptions(tokenBudget: 64)) { step in
        completed.withLock { $0 = step.completed }
        // As soon as something is done; the task may not be known here yet.
        while holder.withLock({ $0 == nil }) { sched_yield() }
        holder.withLock { $0?.cancel() }
      }
    }
    holder.withLock { $0 = task }
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(completed.withLock { $0 } < texts.count)
    // One that is cancelled before it begins does nothing at all.
    let never = Guarded(0)
    let late = Task {
      while !Task.isCancelled { await Task.yield() }
      return try await encoder.embed(texts) { _ in never.withLock { $0 += 1 } }
    }
    late.cancel()
    await #expect(throws: CancellationError.self) { try await late.value }
    #expect(never.withLock { $0 } == 0)
  }

  @Test("A cancelled call that waits for its turn ends while others hold all threads")
  func cancellationInTheQueue() async throws {
    let (encoder, texts) = (Self.encoder(), Self.texts(3))
    let isOpen = Guarded(false)
    let holders = (0..<100).map { _ in
      Task { await CallerThreads.shared.run { while !isOpen.withLock({ $0 }) { usleep(50) } } }
    }
    while CallerThreads.shared.waitingCallCount == 0 { await Task.yield() }
    let progress = Guarded(0)
    let task = Task { try await encoder.embed(texts) { _ in progress.withLock { $0 += 1 } } }
    // Time to get into the queue; the result is the same if it does not.
    for _ in 0..<1000 { await Task.yield() }
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(progress.withLock { $0 } == 0)
    isOpen.withLock { $0 = true }
    for holder in holders { await holder.value }
    let rows = try await encoder.embed(texts)
    let alone = { () -> Tensor in encoder.embed(texts) }()
    #expect(Self.areEqual(rows, alone))
  }

  @Test("Long calls take turns: each of many has begun before the first one ends")
  func turns() async throws {
    let (encoder, count) = (Self.encoder(), 24)
    let texts = Self.texts(150)
    let alone = { () -> Tensor in encoder.embed(texts) }()
    // The calls that were made, those that have come to a batch, and of these as many as at the end of the first.
    let state = Guarded((made: 0, begun: Set<Int>(), begunAtFirstEnd: 0))
    let results = try await withThrowingTaskGroup(of: Tensor.self) { group in
      for call in 0..<count {
        group.addTask {
          state.withLock { $0.made += 1 }
          let rows = try await encoder.embed(texts, options: EmbeddingOptions(tokenBudget: 64)) { _ in
            state.withLock { _ = $0.begun.insert(call) }
            while state.withLock({ $0.made < count }) { usleep(50) }
          }
          state.withLock { if $0.begunAtFirstEnd == 0 { $0.begunAtFirstEnd = $0.begun.count } }
          return rows
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(results.count == count)
    for rows in results { #expect(Self.areEqual(rows, alone)) }
    #expect(state.withLock { $0.begunAtFirstEnd } >= 20)
  }

  @Test("What a text looks like inside: tokens, states and weights")
  func inspection() throws {
    let encoder = Self.encoder()
    let inside = encoder.inspect("hello", hiddenStates: [0, 2], attentionWeights: [1])
    #expect(inside.tokens == ["^", "h", "e", "l", "l", "o"])
    #expect(inside.encoding.offsets.last == 4..<5)
    #expect(inside.hiddenStates.keys.sorted() == [0, 2] && inside.attentionWeights.keys.sorted() == [1])
    #expect(inside.hiddenStates[2]?.shape == [6, 32])
    let weights = try #require(inside.attentionWeights[1])
    #expect(weights.shape == [4, 6, 6])
    for row in 0..<24 {
      let sum = weights.scalars[row * 6..<(row + 1) * 6].reduce(0, +)
      #expect(abs(sum - 1) <= 1e-6)
    }
    let row: Tensor = encoder.embed("hello")
    #expect(zip(inside.row.scalars, row.scalars).allSatisfy { abs($0 - $1) <= 1e-6 })
  }

  @Test("A memory budget bounds what a call takes")
  func memoryBudget() {
    let encoder = Self.encoder()
    let texts = Self.texts(200)
    // 32 columns: a token takes a kilobyte or so between the layers.
    let steps = Guarded<[Int]>([])
    _ = encoder.result(for: texts, options: EmbeddingOptions(memoryBudget: 1 << 18)) { step in
      steps.withLock { $0.append(step.tokens) }
    }
    let tokens = steps.withLock { $0 }
    let largest = zip(tokens, [0] + tokens).map { $0 - $1 }.max() ?? 0
    #expect(largest <= (1 << 18) / (4 * 32 * 5) && largest >= 121)
  }
}
