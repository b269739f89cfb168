import AttentionTensors
import CAttentionKernels

/// Rows and keys that hold something that is not finite: each pair by itself, as the formula says.
extension GradientTile {
  /// A query and a key that sees it, one of which is special.
  struct SpecialPair {
    let query: Int
    let key: Int
    /// What the value's gradient takes of the upstream one.
    let weight: Float
    /// The gradient of the score that biases were added to.
    let biased: Float
    /// The gradient of the product of query and key, but for the scale.
    let gradient: Float
  }

  /// Calls `body` for each such pair of the rows and the block at hand. A score of −∞ passes nothing back, whether it
  /// comes from a mask or from the product itself.
  func forEachSpecialPair(_ body: (SpecialPair) -> Void) {
    guard hasSpecialRows || !specialKeys.isEmpty else { return }
    for (index, query) in queries.enumerated() {
      let isSpecialRow = hasSpecialRows && isSpecial(query: query)
      for key in keys.clamped(to: lower[index]..<max(lower[index], upper[index])) {
        guard isSpecialRow || specialKeys.contains(key),
          problem.mask.cellAllows(sequence: sequence, head: head, query: query, key: key)
        else { continue }
        if let pair = pair(query, key) { body(pair) }
      }
    }
  }

  private func pair(_ query: Int, _ key: Int) -> SpecialPair? {
    let queryRow = problem.query.row(sequence: sequence, head: head, row: query)
    var product =
      problem.scale
      * kernels.pointee.dot(
        queryRow, problem.key.row(sequence: sequence, head: keyValueHead, row: key), tiling.keyWidth)
    if let cap = problem.softcap { withUnsafeMutablePointer(to: &product) { kernels.pointee.softcap($0, $0, cap, 1) } }
    let score = product + problem.mask.bias(sequence: sequence, head: head, query: query, key: key)
    guard score != -.infinity else { return nil }

    let row = problem.rows.position(sequence: sequence, head: head, query: query)
    // The reciprocal is NaN for every special row; the undefined ones have a reference of NaN.
    let sum = problem.sums.row(sequence: sequence, head: head, row: query).pointee
    var weight = kernels.pointee.weight(score - problem.rows.references[row]) / sum
    var slope = kernels.pointee.dot(
      problem.upstream.row(sequence: sequence, head: head, row: query),
      problem.value.row(sequence: sequence, head: keyValueHead, row: key), tiling.valueWidth)
    let whole = weight
    if let dropout = problem.dropout {
      let place = rowPlace(query)
      withUnsafeMutablePointer(to: &weight) {
        dropout.apply(to: $0, into: $0, count: 1, row: place, firstKey: key)
      }
      withUnsafeMutablePointer(to: &slope) { dropout.apply(to: $0, into: $0, count: 1, row: place, firstKey: key) }
    }
    let biased = whole * (slope - problem.rows.means[row])
    var gradient = biased
    if let cap = problem.softcap {
      let share = product / cap
      gradient *= (1 - share) * (1 + share)
    }
    return SpecialPair(query: query, key: key, weight: weight, biased: biased, gradient: gradient)
  }
}
