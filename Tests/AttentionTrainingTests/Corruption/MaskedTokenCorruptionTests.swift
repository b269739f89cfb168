import Attention
import AttentionTestSupport
import AttentionTraining
import Testing

/// A number of successes among trials lies within five standard deviations of its mean.
func expectBinomial(
  _ successes: Int, of trials: Int, probability: Double, _ comment: Comment,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  let deviation = (Double(trials) * probability * (1 - probability)).squareRoot()
  let distance = abs(Double(successes) - Double(trials) * probability)
  #expect(
    distance <= 5 * deviation, "\(comment): \(successes) of \(trials), probability \(probability)",
    sourceLocation: sourceLocation)
}

@Suite struct MaskedTokenCorruptionTests {
  static let vocabulary = MaskingVocabulary(size: 1_000, maskID: 3, specialIDs: [0, 1, 2])
  static let corruption = MaskedTokenCorruption(vocabulary)

  /// [1] 4…999 [2] and so on: special tokens at both ends and in the middle.
  static func sequence(_ count: Int, using generator: inout some RandomNumberGenerator) -> [Int] {
    let ids = (0..<count).map { _ in Int.random(in: 4..<1_000, using: &generator) }
    return [1] + ids[..<(count / 2)] + [2] + ids[(count / 2)...] + [2]
  }

  static func corrupted(_ ids: [Int], seed: UInt64 = 1, _ corruption: some TokenCorruption = corruption)
    -> CorruptedTokens
  {
    var generator = SeededGenerator(seed: seed)
    return corruption.corrupted(ids, wordStarts: ids.map { _ in true }, using: &generator)
  }

  @Test func `statistics are Devlin's: 15% chosen, of these 80% masked, 10% random, 10% kept`() {
    var generator = SeededGenerator(seed: 1)
    var (chosen, masked, drawn, kept) = (0, 0, 0, 0)
    var places = [Int](repeating: 0, count: 100)
    var draws = [Int](repeating: 0, count: 1_000)
    let rounds = 4_000
    for _ in 0..<rounds {
      let ids = Self.sequence(100, using: &generator)
      let found = Self.corruption.corrupted(ids, wordStarts: ids.map { _ in true }, using: &generator)
      let asked = found.labels.indices.filter { found.labels[$0] != -100 }
      #expect(asked.count == 15)
      chosen += asked.count
      for place in asked {
        #expect(found.labels[place] == ids[place])
        places[place <= 50 ? place - 1 : place - 2] += 1
        if found.ids[place] == 3 {
          masked += 1
        } else if found.ids[place] == ids[place] {
          kept += 1
        } else {
          drawn += 1
          draws[found.ids[place]] += 1
        }
      }
      #expect(ids.indices.allSatisfy { found.labels[$0] != -100 || found.ids[$0] == ids[$0] })
    }
    #expect(chosen == 15 * rounds)
    expectBinomial(masked, of: chosen, probability: 0.8, "masked")
    // One of 996 random tokens is the one that stood there.
    expectBinomial(drawn, of: chosen, probability: 0.1 * 995 / 996, "random")
    expectBinomial(kept, of: chosen, probability: 0.1 + 0.1 / 996, "kept")
    for place in places { expectBinomial(place, of: rounds, probability: 0.15, "chosen at a place") }
    #expect(draws[..<4].allSatisfy { $0 == 0 })
    for token in draws[4...] { expectBinomial(token, of: drawn, probability: 1.0 / 996, "a random token") }
  }

  @Test(arguments: [(1, 1), (3, 1), (9, 1), (10, 2), (13, 2), (16, 2), (17, 3), (100, 15), (512, 77)])
  func `the number of chosen tokens is 15%, rounded, one at least`(tokens: Int, expected: Int) {
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<20 {
      let ids = Self.sequence(tokens, using: &generator)
      let found = Self.corruption.corrupted(ids, wordStarts: ids.map { _ in true }, using: &generator)
      #expect(found.labels.count { $0 != -100 } == expected)
      #expect(found.spans.map(\.count) == Array(repeating: 1, count: expected))
    }
  }

  @Test func `special tokens are never chosen, and equal seeds corrupt equally`() {
    var generator = SeededGenerator(seed: 3)
    let ids = (0..<3_000).map { _ in Int.random(in: 0..<8, using: &generator) }
    let found = Self.corrupted(ids, seed: 5)
    #expect(found.labels.allSatisfy { $0 == -100 || $0 >= 4 })
    #expect(zip(ids, found.ids).allSatisfy { $0 >= 4 || $0 == $1 })
    #expect(found == Self.corrupted(ids, seed: 5))
    #expect(found != Self.corrupted(ids, seed: 6))
  }

  @Test func `where nothing may be chosen nothing is`() {
    for ids in [[], [1], [0, 1, 2, 3]] {
      let found = Self.corrupted(ids)
      #expect(found.ids == ids)
      #expect(found.labels == ids.map { _ in -100 })
      #expect(found.spans.isEmpty)
    }
    // A vocabulary of one, which is the mask.
    let one = MaskedTokenCorruption(MaskingVocabulary(size: 1, maskID: 0))
    #expect(Self.corrupted([0, 0], one).labels == [-100, -100])
    // Of the mask and one more: a random token is that one.
    let two = MaskedTokenCorruption(MaskingVocabulary(size: 2, maskID: 0))
    for seed in 0..<50 {
      let found = Self.corrupted([1, 1, 1], seed: UInt64(seed), two)
      #expect(found.labels.count { $0 == 1 } == 1)
      #expect(found.ids.count { $0 == 1 } >= 2)
    }
  }

  @Test func `misuse ends with a message`() async {
    let outside = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = MaskingVocabulary(size: 4, maskID: 4)
    }
    #expect(message(outside).contains("a vocabulary of 4 tokens"))
    await #expect(processExitsWith: .failure) {
      _ = MaskedTokenCorruption(MaskingVocabulary(size: 4, maskID: 3), share: 1.5)
    }
    await #expect(processExitsWith: .failure) {
      var generator = SeededGenerator(seed: 1)
      _ = MaskedTokenCorruptionTests.corruption.corrupted([5], wordStarts: [], using: &generator)
    }
  }
}
