#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension Tensor {
  /// Creates a tensor of independent normal variates (Box and Muller, 1958): equal generators give equal tensors.
  public init(
    randomNormal shape: [Int], mean: Float = 0, standardDeviation: Float = 1,
    using generator: inout some RandomNumberGenerator
  ) {
    self.init(uninitialized: shape) { buffer in
      withDrawnBits { bits in
        for start in stride(from: 0, to: buffer.count, by: bits.count) {
          let target = buffer[start..<min(buffer.count, start + bits.count)]
          // Variates come in pairs.
          let count = (target.count + 1) / 2 * 2
          for index in 0..<count { bits[index] = generator.next() }
          writeNormal(
            bits, to: UnsafeMutableBufferPointer(rebasing: target), mean: mean, standardDeviation: standardDeviation)
        }
      }
    }
  }

  /// Creates a tensor of independent variates, uniform on `range`.
  ///
  /// - Precondition: the range is not empty, and its length is finite.
  public init(
    randomUniform shape: [Int], in range: Range<Float> = 0..<1, using generator: inout some RandomNumberGenerator
  ) {
    require(
      !range.isEmpty && (range.upperBound - range.lowerBound).isFinite, "Tensor: \(range) has no uniform variates")
    self.init(uninitialized: shape) { buffer in
      withDrawnBits { bits in
        var start = 0
        while start < buffer.count {
          let target = buffer[start..<min(buffer.count, start + bits.count)]
          for index in 0..<target.count { bits[index] = generator.next() }
          start += writeUniform(bits, to: UnsafeMutableBufferPointer(rebasing: target), in: range)
        }
      }
    }
  }
}

/// Room for bits that are drawn in bulk: a generator's type is generic, and calls from other modules are not specialised
/// for it, so that nothing but `next()` should stand in a loop with it.
private func withDrawnBits(_ body: (UnsafeMutableBufferPointer<UInt64>) -> Void) {
  withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 2048, body)
}

/// What `Double.random(in: 0..<1)` makes of 64 random bits.
private func unit(_ bits: UInt64) -> Double { Double(bits & (1 << 53 - 1)) * 0x1p-53 }

private func writeNormal(
  _ bits: UnsafeMutableBufferPointer<UInt64>, to target: UnsafeMutableBufferPointer<Float>, mean: Float,
  standardDeviation: Float
) {
  for start in stride(from: 0, to: target.count, by: 2) {
    // 1 − u lies in (0, 1], so the logarithm is finite.
    let radius = (-2 * log(1 - unit(bits[start]))).squareRoot()
    let angle = 2 * Double.pi * unit(bits[start + 1])
    target[start] = mean + standardDeviation * Float(radius * cos(angle))
    if start + 1 < target.count { target[start + 1] = mean + standardDeviation * Float(radius * sin(angle)) }
  }
}

/// Makes of each 64 bits what `Float.random(in:)` does; answers how many variates there are, since bits that round to the
/// upper bound give none.
private func writeUniform(
  _ bits: UnsafeMutableBufferPointer<UInt64>, to target: UnsafeMutableBufferPointer<Float>, in range: Range<Float>
) -> Int {
  let length = range.upperBound - range.lowerBound
  var count = 0
  for index in 0..<target.count {
    let variate = length * (Float(UInt32(truncatingIfNeeded: bits[index]) & (1 << 24 - 1)) * 0x1p-24) + range.lowerBound
    guard variate != range.upperBound else { continue }
    target[count] = variate
    count += 1
  }
  return count
}
