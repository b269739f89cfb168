import Attention
import AttentionTestSupport
import Testing

/// A cache against the same call over whole tensors, without one.
@Suite struct KeyValueCacheTests {
  /// One sequence of random tokens: `[tokens, heads · width]`.
  struct Tokens {
    let heads = 4
    let keyValueHeads = 2
    var keyWidth = 24
    var valueWidth = 20
    let query: Tensor
    let key: Tensor
    let value: Tensor

    init(_ count: Int, seed: UInt64 = 3, keyWidth: Int = 24, valueWidth: Int = 20) {
      var generator = SeededGenerator(seed: seed)
      self.keyWidth = keyWidth
      self.valueWidth = valueWidth
      query = Tensor(randomNormal: [count, heads * keyWidth], using: &generator)
      key = Tensor(randomNormal: [count, keyValueHeads * keyWidth], using: &generator)
      value = Tensor(randomNormal: [count, keyValueHeads * valueWidth], using: &generator)
    }

    func cache(sequences: Int = 1, window: Int? = nil) -> KeyValueCache {
      KeyValueCache(
        sequenceCount: sequences, keyValueHeads: keyValueHeads, keyWidth: keyWidth, valueWidth: valueWidth,
        window: window)
    }

    /// The output of all tokens, without a cache.
    func whole(_ mask: AttentionMask = .causal(.end)) -> Tensor {
      scaledDotProductAttention(
        query: query, key: key, value: value, layout: SequenceLayout(lengths: [query.shape[0]]), heads: heads,
        keyValueHeads: keyValueHeads, mask: mask, options: .init(path: .fused)
      ).output
    }

    func append(_ range: Range<Int>, to cache: inout KeyValueCache) {
      cache.append(
        key: key.rows(range), value: value.rows(range), layout: SequenceLayout(lengths: [range.count]))
    }

    func attend(_ range: Range<Int>, over cache: KeyValueCache, mask: AttentionMask = .causal(.end)) -> Tensor {
      scaledDotProductAttention(
        query: query.rows(range), layout: SequenceLayout(lengths: [range.count]), cache: cache, heads: heads,
        mask: mask
      ).output
    }
  }

  /// Equal bits where the core promises them, and within the tolerance elsewhere.
  private func expectRows(_ actual: Tensor, _ expected: Tensor, _ comment: Comment) {
    if OpenBLAS.hasSmallMatrixKernels {
      #expect(actual.hasBits(of: expected) as Bool, comment)
    } else {
      var difference = Difference()
      for (value, wanted) in zip(actual.scalars, expected.scalars) { difference.add("cell", value, Double(wanted)) }
      #expect(difference.mismatch == nil && difference.excess <= 0, comment)
    }
  }

  /// Prefill, chunks of every kind, and one token at a time.
  @Test(arguments: [1, 5, 64, 127, 128, 129, 300, 1100])
  func chunksAgreeWithTheWhole(_ chunk: Int) {
    let count = chunk == 1100 ? 1100 : 300
    let tokens = Tokens(count)
    let whole = tokens.whole()
    var cache = tokens.cache()
    for first in stride(from: 0, to: count, by: chunk) {
      let range = first..<min(count, first + chunk)
      tokens.append(range, to: &cache)
      expectRows(tokens.attend(range, over: cache), whole.rows(range), "positions \(range)")
    }
    #expect(cache.lengths == [count])
    #expect(cache.rows(ofSequence: 0).key == tokens.key)
    #expect(cache.rows(ofSequence: 0).value == tokens.value)
  }

  @Test(arguments: [1, 17, 128, 200, 1000], [1, 7, 130])
  func aWindowForgets(_ window: Int, _ chunk: Int) {
    let count = 700
    let tokens = Tokens(count, keyWidth: 32, valueWidth: 32)
    let whole = tokens.whole(.window(left: window - 1, right: 0, alignment: .end))
    var cache = tokens.cache(window: window)
    var most = 0
    for first in stride(from: 0, to: count, by: chunk) {
      let range = first..<min(count, first + chunk)
      tokens.append(range, to: &cache)
      expectRows(tokens.attend(range, over: cache), whole.rows(range), "\(range)")
      #expect(cache.retainedPositions(ofSequence: 0) == max(0, first - window + 1)..<range.upperBound)
      most = max(most, cache.byteCount)
    }
    var everything = tokens.cache()
    tokens.append(0..<count, to: &everything)
    if window + chunk <= 140 { #expect(most < everything.byteCount) }
    // Whole slabs: what the window shows, the chunk, and a slab that is nearly left behind.
    let page = everything.byteCount / (count / cache.blockKeys + 1)
    #expect(most <= page * ((window + chunk) * 5 / 4 / cache.blockKeys + 3) * 5 / 4)
  }

  @Test func aForkSharesPagesUntilItWrites() {
    let (prompt, tail) = (Tokens(200), Tokens(200, seed: 9))
    var cache = prompt.cache()
    prompt.append(0..<200, to: &cache)
    let before = cache.byteCount
    let copy = cache
    let fork = cache.appendSequence(forking: 0, length: 150)
    #expect(fork == 1 && cache.lengths == [200, 150] && cache.byteCount == before)
    cache.append(
      key: tail.key.rows(150..<170), value: tail.value.rows(150..<170), layout: SequenceLayout(lengths: [0, 20]))
    #expect(cache.lengths == [200, 170] && cache.byteCount > before)
    // The first sequence, and the copy of the whole cache, are as they were.
    expectRows(prompt.attend(190..<200, over: copy), prompt.whole().rows(190..<200), "copy")
    #expect(cache.rows(ofSequence: 0).key == prompt.key)
    #expect(cache.rows(ofSequence: 1).key.rows(0..<150) == prompt.key.rows(0..<150))
    #expect(cache.rows(ofSequence: 1).key.rows(150..<170) == tail.key.rows(150..<170))
    cache.removeSequence(0)
    #expect(cache.lengths == [170])
  }

  /// Memory is taken for several blocks at a time, and for no more than what a sequence holds again.
  @Test(arguments: [1, 100, 2100])
  func memoryGrowsWithTheTokens(_ chunk: Int) {
    let count = 4200
    let tokens = Tokens(count)
    var cache = tokens.cache()
    tokens.append(0..<1, to: &cache)
    let page = cache.byteCount
    let keys = cache.blockKeys
    var length = 1
    while length < count {
      let next = min(count, length + chunk)
      tokens.append(length..<next, to: &cache)
      length = next
      let blocks = (length + keys - 1) / keys
      // Storage is rounded up to a size class, by a quarter at the most.
      #expect(cache.byteCount >= blocks * page * 3 / 4)
      #expect(cache.byteCount <= page * (blocks + min(blocks, 8)) * 5 / 4, "\(length) tokens")
    }
    let rows = cache.rows(ofSequence: 0)
    #expect(rows.key == tokens.key && rows.value == tokens.value)
    cache.select(sequences: [])
    #expect(cache.byteCount == 0)
  }

  /// Guesses that are taken back, over the end of a block and of a slab, use the same places again.
  @Test func whatIsTakenBackIsUsedAgain() {
    let tokens = Tokens(2600)
    var cache = tokens.cache()
    let keys = cache.blockKeys
    for end in [keys, 2 * keys, 4 * keys, 8 * keys] {
      tokens.append(cache.lengths[0]..<end - 2, to: &cache)
      tokens.append(end - 2..<end + 3, to: &cache)
      let bytes = cache.byteCount
      for _ in 0..<20 {
        cache.truncate(sequence: 0, toLength: end - 2)
        tokens.append(end - 2..<end + 3, to: &cache)
        #expect(cache.byteCount == bytes)
      }
    }
    let length = cache.lengths[0]
    #expect(cache.rows(ofSequence: 0).key == tokens.key.rows(0..<length))
    expectRows(tokens.attend(length - 1..<length, over: cache), tokens.whole().rows(length - 1..<length), "after all")
  }

  /// Three beams of one prompt; the best goes on twice.
  @Test func beamsAreSelected() {
    let texts = (0..<3).map { Tokens(300, seed: UInt64($0)) }
    var cache = texts[0].cache()
    texts[0].append(0..<250, to: &cache)
    for _ in 1..<3 { cache.appendSequence(forking: 0) }
    func append(_ range: Range<Int>, _ order: [Int]) {
      func joined(_ part: KeyPath<Tokens, Tensor>) -> Tensor {
        let rows = order.map { texts[$0][keyPath: part].rows(range) }
        return Tensor(rows.flatMap { Array($0.scalars) }, shape: [3 * range.count, rows[0].shape[1]])
      }
      let layout = SequenceLayout(lengths: [range.count, range.count, range.count])
      cache.append(key: joined(\.key), value: joined(\.value), layout: layout)
    }
    append(250..<270, [0, 1, 2])
    cache.select(sequences: [2, 0, 2])
    #expect(cache.lengths == [270, 270, 270])
    append(270..<290, [1, 2, 0])
    for (sequence, parts) in [(2, 1), (0, 2), (2, 0)].enumerated() {
      let rows = cache.rows(ofSequence: sequence)
      #expect(rows.key.rows(0..<250) == texts[0].key.rows(0..<250))
      #expect(rows.key.rows(250..<270) == texts[parts.0].key.rows(250..<270))
      #expect(rows.value.rows(270..<290) == texts[parts.1].value.rows(270..<290))
    }
  }

  @Test func truncationForgetsWhatFollows() {
    let (tokens, other) = (Tokens(300), Tokens(300, seed: 4))
    var cache = tokens.cache()
    tokens.append(0..<140, to: &cache)
    // Stale rows of another text, and poison among them, behind the length.
    other.append(140..<300, to: &cache)
    let poison = Tensor(repeating: .nan, shape: [3, 2 * 24])
    cache.append(
      key: poison, value: Tensor(repeating: .infinity, shape: [3, 2 * 20]), layout: SequenceLayout(lengths: [3]))
    cache.truncate(sequence: 0, toLength: 140)
    let whole = tokens.whole()
    tokens.append(140..<141, to: &cache)
    expectRows(tokens.attend(140..<141, over: cache), whole.rows(140..<141), "after truncation")
    tokens.append(141..<300, to: &cache)
    expectRows(tokens.attend(141..<300, over: cache), whole.rows(141..<300), "grown again")
    cache.truncate(sequence: 0, toLength: 0)
    #expect(cache.lengths == [0] && cache.byteCount == 0)
  }

  /// Sequences of different lengths in one call are what each is alone; one gets no token.
  /// A token in a fork of a long prompt takes a block, not as many as the prompt.
  @Test func aForkTakesWhatItAdds() {
    let tokens = Tokens(1030, keyWidth: 64, valueWidth: 64)
    var cache = tokens.cache()
    tokens.append(0..<1024, to: &cache)
    let before = cache.byteCount
    for _ in 0..<8 { cache.appendSequence(forking: 0) }
    let rows = { (tensor: Tensor) in
      Tensor(
        Array(repeating: tensor.rows(1024..<1025).scalars, count: 9).flatMap(\.self),
        shape: [9, tensor.shape[1]])
    }
    cache.append(
      key: rows(tokens.key), value: rows(tokens.value), layout: SequenceLayout(lengths: [Int](repeating: 1, count: 9)))
    // A block for each fork; the prompt's own sequence doubles at the most.
    var one = tokens.cache()
    tokens.append(0..<1, to: &one)
    #expect(cache.byteCount <= 2 * before + 8 * one.byteCount, "\(before) to \(cache.byteCount)")
  }

  /// Forks go on alone: a token at a time while others attend, without waiting for them, and into pages of their own.
  @Test func appendingAsynchronously() async {
    let tokens = Tokens(2000, keyWidth: 64, valueWidth: 64)
    var (one, other) = (tokens.cache(), tokens.cache())
    for range in [0..<1500, 1500..<1501, 1501..<2000] {
      let layout = SequenceLayout(lengths: [range.count])
      tokens.append(range, to: &one)
      await other.append(key: tokens.key.rows(range), value: tokens.value.rows(range), layout: layout)
      #expect(other.lengths == one.lengths && other.byteCount == one.byteCount)
    }
    let (expected, found) = (one.rows(ofSequence: 0), other.rows(ofSequence: 0))
    #expect(found.key.hasBits(of: expected.key) && found.value.hasBits(of: expected.value))
    #expect(found.key.hasBits(of: tokens.key) && found.value.hasBits(of: tokens.value))
  }

  /// An awaited call holds no page when it has returned, so that the next token goes where it belongs.
  @Test func awaitedCallsHoldNoPages() async {
    let tokens = Tokens(1200)
    var cache = tokens.cache()
    tokens.append(0..<1000, to: &cache)
    let before = cache.byteCount
    for position in 1000..<1010 {
      tokens.append(position..<position + 1, to: &cache)
      _ = await scaledDotProductAttention(
        query: tokens.query.rows(position..<position + 1), layout: SequenceLayout(lengths: [1]), cache: cache,
        heads: tokens.heads)
    }
    #expect(cache.byteCount == before)
  }

  @Test func sequencesAreIndependent() {
    let (first, second) = (Tokens(260), Tokens(90, seed: 8))
    var cache = first.cache(sequences: 3)
    cache.append(
      key: Tensor.stacked([first.key, second.key]), value: Tensor.stacked([first.value, second.value]),
      layout: SequenceLayout(lengths: [260, 0, 90]))
    let output = scaledDotProductAttention(
      query: Tensor.stacked([first.query.rows(200..<260), second.query.rows(89..<90)]),
      layout: SequenceLayout(lengths: [60, 0, 1]), cache: cache, heads: 4
    ).output
    expectRows(output.rows(0..<60), first.whole().rows(200..<260), "first")
    expectRows(output.rows(60..<61), second.whole().rows(89..<90), "third")
  }

  @Test func weightsOverACache() throws {
    let tokens = Tokens(150)
    var cache = tokens.cache()
    tokens.append(0..<150, to: &cache)
    let result = scaledDotProductAttention(
      query: tokens.query.rows(149..<150), layout: SequenceLayout(lengths: [1]), cache: cache, heads: 4,
      returning: [.weights, .logSumExp])
    let weights = try #require(result.weights).first
    #expect(weights?.shape == [4, 1, 150])
    let sums = try #require(weights).scalars.reduce(0, +)
    #expect(abs(sums - 4) < 1e-5)
    #expect(result.logSumExp?.shape == [1, 4])
  }

  @Test func misuse() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      cache.append(
        key: Tensor(zeros: [3, 8]), value: Tensor(zeros: [3, 9]), layout: SequenceLayout(lengths: [3]))
    }
    #expect(message(result).contains("[3, 9]"))
    let tooFew = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      _ = scaledDotProductAttention(
        query: Tensor(zeros: [1, 8]), layout: SequenceLayout(lengths: [1]), cache: cache, heads: 2)
    }
    #expect(message(tooFew).contains("cache of [0] keys"))
    let truncated = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var cache = KeyValueCache(sequenceCount: 1, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      cache.truncate(sequence: 0, toLength: 1)
    }
    #expect(message(truncated).contains("cannot be truncated to 1"))
    // Queries that were appended before the last: their window is gone in part, and rows of 0 would be a wrong answer.
    let forgotten = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let tokens = Tokens(40)
      var cache = tokens.cache(window: 10)
      for position in 0..<40 { tokens.append(position..<position + 1, to: &cache) }
      _ = tokens.attend(39..<40, over: cache)
      _ = tokens.attend(38..<40, over: cache)
    }
    #expect(message(forgotten).contains("2 queries of sequence 0 see positions from 29 on"))
    let selected = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var cache = KeyValueCache(sequenceCount: 2, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      cache.select(sequences: [1, 2])
    }
    #expect(message(selected).contains("of 2 sequences, no [1, 2]"))
    let forked = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      var cache = KeyValueCache(sequenceCount: 2, keyValueHeads: 2, keyWidth: 4, valueWidth: 4)
      cache.appendSequence(forking: 2)
    }
    #expect(message(forked).contains("of 2 sequences, no number 2"))
    // Read from its first row at each step, a mask for all queries would say something else than it did for the whole.
    let dense = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let tokens = Tokens(40)
      var cache = tokens.cache()
      tokens.append(0..<40, to: &cache)
      _ = tokens.attend(39..<40, over: cache, mask: .bias(Tensor(zeros: [40, 40])))
    }
    #expect(message(dense).contains("a dense mask with rows for 40"))
    let window = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let tokens = Tokens(40)
      var cache = tokens.cache()
      tokens.append(0..<40, to: &cache)
      _ = tokens.attend(39..<40, over: cache, mask: .causal(.end) & .window(left: 5, right: 0))
    }
    #expect(message(window).contains("window(left: 5, right: 0, alignment: .start); align it to the .end"))
  }

  /// Of a mask at the start, the last queries of a sequence would see something else than they did among all.
  @Test(arguments: [0, 1, 2])
  func masksAtTheStart(_ kind: Int) async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) { [kind] in
      let masks: [AttentionMask] = [
        .causal(.start), .window(left: 3, right: 0), .linearBias(slopes: [1, 1, 1, 1], alignment: .start),
      ]
      let mask = masks[kind] & .keyLengths([40])
      let tokens = Tokens(40)
      var cache = tokens.cache()
      tokens.append(0..<40, to: &cache)
      // Of a whole sequence, the start and the end are the same.
      _ = tokens.attend(0..<40, over: cache, mask: mask)
      _ = tokens.attend(39..<40, over: cache, mask: mask)
    }
    #expect(message(result).contains("[1] queries at the end of [40] positions"))
  }
}

extension Tensor {
  /// Matrices on top of each other.
  fileprivate static func stacked(_ parts: [Tensor]) -> Tensor {
    Tensor(parts.flatMap(\.scalars), shape: [parts.reduce(0) { $0 + $1.shape[0] }, parts[0].shape[1]])
  }
}
