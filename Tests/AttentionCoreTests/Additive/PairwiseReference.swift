import Attention

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Attention with scores formed pair by pair, in float64, as its formula is written.
struct PairwiseReference {
  var query: [Double]
  var key: [Double]
  var value: [Double]
  /// The vector of additive scores; products without one.
  var v: [Double]?
  var centres: [Double]?
  var reach = 0
  var hasGaussian = true
  let queryLengths: [Int]
  let keyLengths: [Int]
  let width: Int
  let valueWidth: Int
  var allows: @Sendable (_ sequence: Int, _ query: Int, _ key: Int) -> Bool = { _, _, _ in true }
  var bias: @Sendable (_ query: Int, _ key: Int) -> Double = { _, _ in 0 }

  /// `[query tokens, dv]` and the cells of all sequences.
  func callAsFunction() -> (context: [Double], weights: [Double]) {
    var context: [Double] = []
    var weights: [Double] = []
    var (firstQuery, firstKey) = (0, 0)
    for (sequence, (queries, keys)) in zip(queryLengths, keyLengths).enumerated() {
      for row in 0..<queries {
        let shares = shares(sequence, row, query: firstQuery + row, firstKey: firstKey, keys: keys)
        weights += shares
        context += (0..<valueWidth).map { column in
          (0..<keys).reduce(0) { $0 + shares[$1] * value[(firstKey + $1) * valueWidth + column] }
        }
      }
      firstQuery += queries
      firstKey += keys
    }
    return (context, weights)
  }

  private func shares(_ sequence: Int, _ row: Int, query token: Int, firstKey: Int, keys: Int) -> [Double] {
    let scores: [Double] = (0..<keys).map { position in
      guard allows(sequence, row, position) else { return -.infinity }
      if let centres, abs(Double(position) - centres[token]) > Double(reach) { return -.infinity }
      let sum = (0..<width).reduce(0.0) { sum, column in
        let (q, k) = (query[token * width + column], key[(firstKey + position) * width + column])
        return sum + (v.map { $0[column] * tanh(q + k) } ?? q * k)
      }
      return sum + bias(row, position)
    }
    guard let largest = scores.max(), largest > -.infinity else { return [Double](repeating: 0, count: keys) }
    let exponentials = scores.map { exp($0 - largest) }
    let total = exponentials.reduce(0, +)
    return exponentials.enumerated().map { position, exponential in
      guard let centres, hasGaussian else { return exponential / total }
      let distance = Double(position) - centres[token]
      let deviation = Double(reach) / 2
      return exponential / total * exp(-distance * distance / (2 * deviation * deviation))
    }
  }
}

/// A call over random operands, in both precisions.
struct PairwiseCase {
  let queryLengths: [Int]
  let keyLengths: [Int]
  let width: Int
  let valueWidth: Int
  let query: Tensor
  let key: Tensor
  let value: Tensor
  let v: Tensor

  init(_ queryLengths: [Int], _ keyLengths: [Int], width: Int = 7, valueWidth: Int = 5, seed: UInt64 = 1) {
    var generator = SeededGenerator(seed: seed)
    self.queryLengths = queryLengths
    self.keyLengths = keyLengths
    self.width = width
    self.valueWidth = valueWidth
    query = Tensor(randomNormal: [queryLengths.reduce(0, +), width], using: &generator)
    key = Tensor(randomNormal: [keyLengths.reduce(0, +), width], using: &generator)
    value = Tensor(randomNormal: [keyLengths.reduce(0, +), valueWidth], using: &generator)
    v = Tensor(randomNormal: [width], using: &generator)
  }

  var layout: SequenceLayout { SequenceLayout(lengths: queryLengths) }
  var keyLayout: SequenceLayout { SequenceLayout(lengths: keyLengths) }

  func reference(isAdditive: Bool = true) -> PairwiseReference {
    PairwiseReference(
      query: query.scalars.map(Double.init), key: key.scalars.map(Double.init), value: value.scalars.map(Double.init),
      v: isAdditive ? v.scalars.map(Double.init) : nil, queryLengths: queryLengths, keyLengths: keyLengths,
      width: width, valueWidth: valueWidth)
  }

  func attend(mask: AttentionMask = .none, returningWeights: Bool = true) -> AlignedContext {
    additiveAttention(
      query: query, key: key, value: value, v: v, layout: layout, keyLayout: keyLayout, mask: mask,
      returningWeights: returningWeights)
  }
}

/// The largest difference, relative to 1 and to the reference's size.
func largestError(_ actual: Tensor, _ expected: [Double]) -> Double {
  guard actual.count == expected.count else { return .infinity }
  return zip(actual.scalars, expected).reduce(0) { worst, pair in
    let error = abs(Double(pair.0) - pair.1) / max(1, abs(pair.1))
    return error.isNaN ? .infinity : max(worst, error)
  }
}
