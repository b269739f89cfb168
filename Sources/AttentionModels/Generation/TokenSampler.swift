import HeapModule

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif
import AttentionTensors

/// Chooses tokens from scores, by the steps and in the order of transformers: repetition penalty, temperature, top-k, top-p,
/// softmax.
package struct TokenSampler: Sendable {
  private let options: GenerationOptions
  private var generator: SeededGenerator
  /// The tokens of the sequence, each once; empty without a penalty.
  private var seen: Set<Int> = []

  /// - Parameter prompt: the tokens that the sequence begins with.
  package init(_ options: GenerationOptions, prompt: [Int]) {
    self.options = options
    generator = SeededGenerator(seed: options.seed)
    if options.repetitionPenalty != 1 { seen = Set(prompt) }
  }

  private struct Candidate: Comparable {
    let id: Int
    let score: Float

    /// The better candidate is the greater one: a higher score, or the lower id.
    static func < (left: Candidate, right: Candidate) -> Bool {
      left.score < right.score || (left.score == right.score && left.id > right.id)
    }
  }

  /// The next token; nil if no score is finite. O(vocabulary), with top-p O(vocabulary + chosen · log(vocabulary)).
  package mutating func next(_ scores: UnsafeBufferPointer<Float>) -> Int? {
    var penalised: [Float]?
    if !seen.isEmpty {
      let penalty = Float(options.repetitionPenalty)
      penalised = Array(scores)
      for id in seen where id < scores.count {
        penalised![id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty
      }
    }
    let chosen = penalised.map { $0.withUnsafeBufferPointer { choose($0) } } ?? choose(scores)
    if options.repetitionPenalty != 1, let chosen { seen.insert(chosen) }
    return chosen
  }

  private mutating func choose(_ scores: UnsafeBufferPointer<Float>) -> Int? {
    guard let best = TokenSampler.best(scores), scores[best].isFinite else { return nil }
    guard options.temperature > 0, options.topK != 1 else { return best }
    let highest = scores[best]
    var candidates = TokenSampler.candidates(scores, count: options.topK ?? scores.count)
    var weights = candidates.map { exp((Double($0.score) - Double(highest)) / options.temperature) }
    var total = weights.reduce(0, +)
    if options.topP < 1 {
      // What is less likely than this is not needed to reach the sum, even were all of them alike.
      let least = (1 - options.topP) * total / Double(candidates.count)
      var left = Heap(zip(candidates, weights).lazy.filter { $1 >= least }.map(\.0))
      var (kept, sum): ([Candidate], Double) = ([], 0)
      weights = []
      while sum < options.topP * total, let next = left.popMax() {
        kept.append(next)
        weights.append(exp((Double(next.score) - Double(highest)) / options.temperature))
        sum += weights[weights.count - 1]
      }
      (candidates, total) = (kept, sum)
    }
    var draw = Double.random(in: 0..<1, using: &generator) * total
    for (candidate, weight) in zip(candidates, weights) {
      draw -= weight
      if draw < 0 { return candidate.id }
    }
    // Rounding left a little over.
    return candidates.indices.last { weights[$0] > 0 }.map { candidates[$0].id } ?? best
  }

  /// The token with the highest score, of equal ones the first; nil if all are NaN or −∞.
  private static func best(_ scores: UnsafeBufferPointer<Float>) -> Int? {
    var (best, highest): (Int?, Float) = (nil, -.infinity)
    for (id, score) in scores.enumerated() where score > highest { (best, highest) = (id, score) }
    return best
  }

  /// The `count` best tokens, in no order; those of score NaN or −∞ left out.
  private static func candidates(_ scores: UnsafeBufferPointer<Float>, count: Int) -> [Candidate] {
    let all = scores.enumerated().lazy.filter { $0.element > -.infinity }
      .map { Candidate(id: $0.offset, score: $0.element) }
    guard count < scores.count else { return Array(all) }
    var kept = Heap<Candidate>()
    for candidate in all {
      if kept.count < count {
        kept.insert(candidate)
      } else if let worst = kept.min, worst < candidate {
        kept.replaceMin(with: candidate)
      }
    }
    return kept.unordered.sorted { $0.id < $1.id }
  }
}
