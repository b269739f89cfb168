import Attention
import Foundation
import Testing

import AttentionModels

@Suite struct TokenSamplerTests {
  static func draws(
    _ scores: [Float], count: Int = 1, seed: UInt64 = 1, prompt: [Int] = [],
    _ change: (inout GenerationOptions) -> Void
  ) -> [Int?] {
    var options = GenerationOptions(temperature: 1, seed: seed)
    change(&options)
    return (0..<count).map { draw in
      // Each draw by itself: a sampler notes what it has chosen.
      options.seed = seed &+ UInt64(draw)
      var sampler = TokenSampler(options, prompt: prompt)
      return scores.withUnsafeBufferPointer { sampler.next($0) }
    }
  }

  static let scores: [Float] = [0.3, 2.1, -1, 1.7, 2.1, 0, -4, 1.2, .nan, -.infinity]

  /// Whether the frequencies are those of the probabilities, by a bound that chance passes once in 10,000 times.
  static func matches(_ draws: [Int?], _ probabilities: [Double]) -> Bool {
    probabilities.enumerated().allSatisfy { id, probability in
      let found = Double(draws.count { $0 == id })
      let (mean, variance) = (Double(draws.count) * probability, Double(draws.count) * probability * (1 - probability))
      return abs(found - mean) <= 4 * variance.squareRoot()
    }
  }

  static func softmax(_ scores: [Float], temperature: Double = 1, allowed: Set<Int>) -> [Double] {
    let weights = scores.enumerated().map { allowed.contains($0) ? exp(Double($1) / temperature) : 0 }
    let total = weights.reduce(0, +)
    return weights.map { $0 / total }
  }

  static let finite: Set<Int> = [0, 1, 2, 3, 4, 5, 6, 7]

  @Test("Greedy takes the best token, and of equal ones the first")
  func greedy() {
    #expect(Self.draws(Self.scores) { $0.temperature = 0 } == [1])
    #expect(Self.draws([-3, -3, -3]) { $0.temperature = 0 } == [0])
    #expect(Self.draws(Self.scores) { $0.topK = 1 } == [1])
    for draw in Self.draws(Self.scores, count: 50, { $0.topK = 1 }) { #expect(draw == 1) }
  }

  @Test("As the temperature falls, sampling becomes greedy", arguments: [1e-3, 1e-30, 1e-300, .leastNonzeroMagnitude])
  func coldIsGreedy(temperature: Double) {
    var scores = Self.scores
    scores[1] += 0.1
    for draw in Self.draws(scores, count: 100, { $0.temperature = temperature }) { #expect(draw == 1) }
  }

  @Test("Frequencies are the softmax's", arguments: [0.5, 1, 2])
  func frequencies(temperature: Double) {
    let draws = Self.draws(Self.scores, count: 20_000) { $0.temperature = temperature }
    #expect(Self.matches(draws, Self.softmax(Self.scores, temperature: temperature, allowed: Self.finite)))
  }

  @Test(
    "Top-k keeps the k best, of equal ones the first",
    arguments: [(2, [1, 4]), (3, [1, 3, 4]), (5, [0, 1, 3, 4, 7])])
  func topK(count: Int, kept: [Int]) {
    let draws = Self.draws(Self.scores, count: 10_000) { $0.topK = count }
    #expect(Set(draws) == Set(kept))
    #expect(Self.matches(draws, Self.softmax(Self.scores, allowed: Set(kept))))
    #expect(Set(Self.draws([1, 1, 1, 1], count: 200) { $0.topK = 2 }) == [0, 1])
    #expect(Self.draws(Self.scores, count: 99) { $0.topK = 1000 } == Self.draws(Self.scores, count: 99) { _ in })
  }

  @Test("Top-p keeps the fewest best tokens that reach it")
  func topP() {
    // Probabilities .5, .25, .125, .125.
    let scores = [0.125, 0.5, 0.25, 0.125].map { Float(log($0)) }
    for (sum, kept) in [
      (0.3, [1]), (0.49, [1]), (0.6, [1, 2]), (0.8, [0, 1, 2]), (0.9, [0, 1, 2, 3]), (1, [0, 1, 2, 3]),
    ] {
      let draws = Self.draws(scores, count: 10_000) { $0.topP = sum }
      #expect(Set(draws) == Set(kept), "\(sum)")
      #expect(Self.matches(draws, Self.softmax(scores, allowed: Set(kept))), "\(sum)")
    }
    #expect(Set(Self.draws(scores, count: 500) { $0.topP = 1e-300 }) == [1])
  }

  @Test("Top-p is of what top-k and the temperature have left")
  func orderOfSteps() {
    // Of the two best, the first has 2/3; of all it has 1/2.
    let scores = [0.5, 0.25, 0.125, 0.125].map { Float(log($0)) }
    #expect(Set(Self.draws(scores, count: 500) { ($0.topK, $0.topP) = (2, 0.6) }) == [0])
    #expect(Set(Self.draws(scores, count: 500) { $0.topP = 0.6 }) == [0, 1])
    // Squared, it has 0.25 of 0.34375.
    #expect(Set(Self.draws(scores, count: 500) { ($0.temperature, $0.topP) = (0.5, 0.7) }) == [0])
  }

  @Test("The penalty divides positive scores of tokens that were there, and multiplies negative ones")
  func penalty() {
    func greedy(_ scores: [Float], _ prompt: [Int], _ penalty: Double) -> Int? {
      Self.draws(scores, prompt: prompt) { ($0.temperature, $0.repetitionPenalty) = (0, penalty) }[0]
    }
    #expect(greedy([2, 1.5], [0], 1.3) == 0)
    #expect(greedy([2, 1.5], [0, 0, 0], 1.4) == 1, "2 / 1.4, once")
    #expect(greedy([-1, -1.5], [0], 1.6) == 1)
    #expect(greedy([2, 1.5], [1], 0.7) == 1)
    #expect(greedy([2, 1.5], [7], 4) == 0)
  }

  @Test("A chosen token counts as one that was there")
  func penaltyOfChosen() {
    var sampler = TokenSampler(GenerationOptions(repetitionPenalty: 10), prompt: [])
    let scores: [Float] = [3, 2, 1]
    let found = (0..<4).map { _ in scores.withUnsafeBufferPointer { sampler.next($0) } }
    #expect(found == [0, 1, 2, 0])
  }

  @Test("Equal seeds draw equally, others otherwise")
  func seeds() {
    let one = Self.draws(Self.scores, count: 100, seed: 5) { _ in }
    #expect(one == Self.draws(Self.scores, count: 100, seed: 5) { _ in })
    #expect(one != Self.draws(Self.scores, count: 100, seed: 500) { _ in })
  }

  @Test("Without a finite best score there is no token", arguments: [0.0, 1])
  func notFinite(temperature: Double) {
    for scores: [Float] in [[.nan, .nan], [-.infinity], [.infinity, 1], []] {
      #expect(Self.draws(scores) { $0.temperature = temperature } == [nil])
    }
  }
}
