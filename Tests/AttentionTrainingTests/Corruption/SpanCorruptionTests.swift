import Attention
import AttentionTraining
import Foundation
import Testing

@Suite struct SpanCorruptionTests {
  static let vocabulary = MaskingVocabulary(size: 1_000, maskID: 3, specialIDs: [0, 1, 2])
  static let corruption = SpanCorruption(vocabulary)

  static func corrupted(
    _ ids: [Int], _ starts: [Bool]? = nil, seed: UInt64 = 1, _ corruption: SpanCorruption = corruption
  ) -> CorruptedTokens {
    var generator = SeededGenerator(seed: seed)
    return corruption.corrupted(ids, wordStarts: starts ?? ids.map { _ in true }, using: &generator)
  }

  @Test func `lengths are geometric up to ten, 3.80 on average`() {
    // SpanBERT, figure 2: 22.4% of the spans are of one word, and the mean is 3.8. Clipping would give 4.46.
    #expect(abs(Self.corruption.meanLength - 3.797) < 1e-3)
    #expect(abs(Self.corruption.lengthProbabilities[0] - 0.2241) < 1e-4)
    var generator = SeededGenerator(seed: 1)
    let count = 200_000
    var drawn = [Int](repeating: 0, count: 11)
    for _ in 0..<count { drawn[Self.corruption.drawnLength(using: &generator)] += 1 }
    #expect(drawn[0] == 0)
    var total = 0
    for length in 1...10 {
      let expected = 0.2 * pow(0.8, Double(length - 1)) / (1 - pow(0.8, 10))
      expectBinomial(drawn[length], of: count, probability: expected, "spans of \(length) words")
      total += length * drawn[length]
    }
    // The standard deviation of a length is 2.6.
    #expect(abs(Double(total) / Double(count) - 3.797) < 5 * 2.6 / Double(count).squareRoot())
  }

  @Test func `in long sequences spans have these lengths, and one fate each in the shares of 80, 10 and 10`() {
    var generator = SeededGenerator(seed: 2)
    var (masked, drawn, kept, spans, tokens) = (0, 0, 0, 0, 0)
    for _ in 0..<20 {
      let ids = (0..<20_000).map { _ in Int.random(in: 4..<1_000, using: &generator) }
      let found = Self.corruption.corrupted(ids, wordStarts: ids.map { _ in true }, using: &generator)
      #expect(found.labels.count { $0 != -100 } == 3_000)
      for span in found.spans {
        #expect(span.allSatisfy { found.labels[$0] == ids[$0] })
        if span.allSatisfy({ found.ids[$0] == 3 }) {
          masked += 1
        } else if span.allSatisfy({ found.ids[$0] == ids[$0] }) {
          kept += 1
        } else {
          drawn += 1
          #expect(span.allSatisfy { found.ids[$0] >= 4 })
        }
      }
      spans += found.spans.count
      tokens += found.spans.reduce(0) { $0 + $1.count }
      #expect(zip(found.spans, found.spans.dropFirst()).allSatisfy { $0.upperBound <= $1.lowerBound })
    }
    expectBinomial(masked, of: spans, probability: 0.8, "masked spans")
    expectBinomial(drawn, of: spans, probability: 0.1, "random spans")
    expectBinomial(kept, of: spans, probability: 0.1, "kept spans")
    // Long spans find room a little less often where others are.
    #expect(abs(Double(tokens) / Double(spans) - 3.797) < 0.1)
    #expect(tokens == 20 * 3_000)
  }

  @Test func `words stay whole, special tokens untouched, and the budget is kept`() {
    var generator = SeededGenerator(seed: 3)
    var (asked, budget) = (0, 0)
    for round in 0..<2_000 {
      var (ids, starts): ([Int], [Bool]) = ([], [])
      for _ in 0..<Int.random(in: 1...80, using: &generator) {
        if Int.random(in: 0..<10, using: &generator) == 0 {
          ids.append(Int.random(in: 0...3, using: &generator))
          starts.append(Bool.random(using: &generator))
        }
        for part in 0..<Int.random(in: 1...4, using: &generator) {
          ids.append(Int.random(in: 4..<1_000, using: &generator))
          starts.append(part == 0)
        }
      }
      let found = Self.corrupted(ids, starts, seed: UInt64(round))
      let ordinary = ids.count { $0 > 3 }
      let limit = max(1, Int((0.15 * Double(ordinary)).rounded()))
      let count = found.labels.count { $0 != -100 }
      #expect(count >= 1)
      // More only where one word alone is longer.
      #expect(count <= limit || found.spans.count == 1)
      asked += count
      budget += limit
      for index in ids.indices {
        #expect(ids[index] > 3 || (found.labels[index] == -100 && found.ids[index] == ids[index]))
        // A token that goes on with a word shares its fate.
        guard index > 0, ids[index] > 3, ids[index - 1] > 3, !starts[index] else { continue }
        #expect((found.labels[index] == -100) == (found.labels[index - 1] == -100))
      }
      for span in found.spans { #expect(span.allSatisfy { ids[$0] > 3 }) }
    }
    // What whole words leave of the budget is little.
    #expect(Double(asked) > 0.95 * Double(budget))
  }

  @Test func `every place is chosen, the middle ones equally often`() {
    var generator = SeededGenerator(seed: 4)
    var places = [Int](repeating: 0, count: 100)
    let rounds = 20_000
    for _ in 0..<rounds {
      let ids = (0..<100).map { 4 + $0 }
      let found = Self.corruption.corrupted(ids, wordStarts: ids.map { _ in true }, using: &generator)
      for (index, label) in found.labels.enumerated() where label != -100 { places[index] += 1 }
    }
    #expect(places.reduce(0, +) == 15 * rounds)
    // Fewer starts reach the first words, and starts of long spans stop short of the last ones.
    let middle = places[20..<80].reduce(0, +)
    for place in places[20..<80] {
      #expect(abs(Double(place) / (Double(middle) / 60) - 1) < 0.08)
    }
    #expect(places.allSatisfy { Double($0) > 0.03 * Double(rounds) })
  }

  @Test func `equal seeds corrupt equally`() {
    let ids = (0..<500).map { 4 + $0 }
    #expect(Self.corrupted(ids, seed: 7) == Self.corrupted(ids, seed: 7))
    #expect(Self.corrupted(ids, seed: 7) != Self.corrupted(ids, seed: 8))
  }

  @Test func `edges: nothing, one token, special tokens alone, one long word, all of it`() {
    for ids in [[], [1], [0, 1, 2, 3]] {
      #expect(Self.corrupted(ids) == CorruptedTokens(ids: ids, labels: ids.map { _ in -100 }))
    }
    #expect(Self.corrupted([9]).labels == [9])
    let word = Array(10..<30)
    #expect(Self.corrupted(word, word.map { $0 == 10 }).labels == word)
    // Flags that say that a word goes on behind a special token, or at the beginning, begin one.
    #expect(Self.corrupted([9, 1, 8], [false, false, false]).labels.count { $0 != -100 } == 1)
    let all = SpanCorruption(Self.vocabulary, share: 1)
    #expect(Self.corrupted(word, nil, all).labels == word)
    let one = SpanCorruption(MaskingVocabulary(size: 1, maskID: 0))
    #expect(Self.corrupted([0, 0], nil, one).labels == [-100, -100])
    let two = SpanCorruption(MaskingVocabulary(size: 2, maskID: 0))
    #expect(Self.corrupted([1, 1, 1], nil, two).labels.count { $0 == 1 } == 1)
  }

  @Test func `misuse ends with a message`() async {
    await #expect(processExitsWith: .failure) { _ = SpanCorruption(SpanCorruptionTests.vocabulary, p: 1) }
    await #expect(processExitsWith: .failure) { _ = SpanCorruption(SpanCorruptionTests.vocabulary, longest: 0) }
    await #expect(processExitsWith: .failure) { _ = SpanCorruptionTests.corrupted([5], [true, true]) }
  }
}
