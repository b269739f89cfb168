/// Draws from a distribution over 0 ..< count in two steps, however many outcomes there are (Walker, 1977; Vose, 1991).
struct AliasTable: Sendable {
  /// For each outcome the share of draws of it that stay, and where the others go.
  private var shares: [Float]
  private var aliases: [Int32]

  /// - Parameter weights: of the outcomes, whose sum need not be 1.
  /// - Precondition: there is a weight, none is negative or not finite, and their sum is positive.
  init(weights: [Double]) {
    let sum = weights.reduce(0, +)
    precondition(
      weights.allSatisfy { $0 >= 0 } && sum > 0 && sum.isFinite,
      "AliasTable: \(weights.count) weights with the sum \(sum) are no distribution")
    let scaled = weights.map { $0 / sum * Double(weights.count) }
    var rest = scaled
    shares = [Float](repeating: 1, count: weights.count)
    aliases = (0..<Int32(weights.count)).map { $0 }
    var small = rest.indices.filter { rest[$0] < 1 }
    var large = rest.indices.filter { rest[$0] >= 1 }
    // What a small one lacks comes from a large one. Those left over lack only what rounding took.
    while let one = small.last, let other = large.last {
      small.removeLast()
      shares[one] = Float(rest[one])
      aliases[one] = Int32(other)
      rest[other] -= 1 - rest[one]
      if rest[other] < 1 {
        large.removeLast()
        small.append(other)
      }
    }
  }

  /// The probability of each outcome, as the table has it.
  var probabilities: [Double] {
    var found = [Double](repeating: 0, count: shares.count)
    for (index, share) in shares.enumerated() {
      found[index] += Double(share) / Double(shares.count)
      found[Int(aliases[index])] += (1 - Double(share)) / Double(shares.count)
    }
    return found
  }

  /// One outcome, of 64 random bits.
  @inline(__always)
  func draw(_ bits: UInt64) -> Int32 {
    // The upper half chooses the place, of 2³² so many; the lower half, of 2²⁴, whether it stays.
    let place = Int(((bits >> 32) &* UInt64(shares.count)) >> 32)
    return Float(bits & (1 << 24 - 1)) * 0x1p-24 < shares[place] ? Int32(place) : aliases[place]
  }
}
