import Attention
import AttentionBenchmarks
import Foundation
import Testing

/// The largest differences of a result from the float64 reference.
struct Difference: Sendable {
  /// The largest |x − reference| over each part of a result.
  var largest: [Part: Double] = [:]
  /// The largest excess over 1e-5 + 5e-6·|reference|, of any tensor; below or at 0 is within.
  var excess = -Double.infinity
  /// The largest |score| that a softmax saw.
  var largestScore = 0.0
  /// Where a special value (NaN, infinity) stands in one and not in the other.
  var mismatch: String?

  enum Part { case output, logSumExp, weights }

  mutating func add(_ name: @autoclosure () -> String, _ actual: Float, _ expected: Double, part: Part? = nil) {
    if expected.isNaN || expected.isInfinite || !actual.isFinite {
      let agree = expected.isNaN ? actual.isNaN : Double(actual) == expected
      if !agree && mismatch == nil { mismatch = "\(name()): \(actual) for \(expected)" }
      return
    }
    let error = abs(Double(actual) - expected)
    if let part { largest[part] = max(largest[part] ?? 0, error) }
    excess = max(excess, error - 1e-5 - 5e-6 * abs(expected))
  }
}

extension ReferenceAttention {
  /// Every row of every head of every sequence.
  var allRows: [[[Row]]] {
    (0..<sequenceCount).map { sequence in
      (0..<heads).map { head in
        (0..<queryCount(ofSequence: sequence)).map { row(sequence: sequence, head: head, query: $0) }
      }
    }
  }
}

/// Compares a whole 4-D result with the reference's rows.
func compare(_ result: AttentionResult, with rows: [[[ReferenceAttention.Row]]]) -> Difference {
  var difference = Difference()
  let output = result.output.scalars
  let logSumExp = result.logSumExp?.scalars
  let weights = result.weights?.scalars
  let scores = result.scores.mapValues(\.scalars)
  var rowIndex = 0
  for (b, heads) in rows.enumerated() {
    for (h, queries) in heads.enumerated() {
      for (i, row) in queries.enumerated() {
        let width = row.output.count
        let keys = row.weights.count
        for column in 0..<width {
          difference.add(
            "output[\(b), \(h), \(i), \(column)]", output[rowIndex * width + column], row.output[column],
            part: .output)
        }
        if let logSumExp {
          difference.add("log-sum-exp[\(b), \(h), \(i)]", logSumExp[rowIndex], row.logSumExp, part: .logSumExp)
        }
        for key in 0..<keys {
          if let weights {
            difference.add(
              "weights[\(b), \(h), \(i), \(key)]", weights[rowIndex * keys + key], row.weights[key], part: .weights)
          }
          for (stage, values) in scores {
            difference.add(
              "\(stage.rawValue)[\(b), \(h), \(i), \(key)]", values[rowIndex * keys + key], row.scores[stage]![key])
          }
          let score = abs(row.scores[.biased]![key])
          if score.isFinite { difference.largestScore = max(difference.largestScore, score) }
        }
        rowIndex += 1
      }
    }
  }
  return difference
}

extension Tensor {
  /// Whether shapes and every bit of the scalars are equal.
  func hasBits(of other: Tensor) -> Bool {
    shape == other.shape && zip(scalars, other.scalars).allSatisfy { $0.bitPattern == $1.bitPattern }
  }
}

let allExtras: AttentionExtras = [.logSumExp, .weights, .rawScores, .cappedScores, .biasedScores]
