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
      for start in stride(from: 0, to: buffer.count, by: 2) {
        // 1 − u lies in (0, 1], so the logarithm is finite.
        let radius = (-2 * log(1 - Double.random(in: 0..<1, using: &generator))).squareRoot()
        let angle = 2 * Double.pi * Double.random(in: 0..<1, using: &generator)
        buffer[start] = mean + standardDeviation * Float(radius * cos(angle))
        if start + 1 < buffer.count { buffer[start + 1] = mean + standardDeviation * Float(radius * sin(angle)) }
      }
    }
  }

  /// Creates a tensor of independent variates, uniform on `range`.
  public init(
    randomUniform shape: [Int], in range: Range<Float> = 0..<1, using generator: inout some RandomNumberGenerator
  ) {
    self.init(uninitialized: shape) { buffer in
      for index in buffer.indices { buffer[index] = Float.random(in: range, using: &generator) }
    }
  }
}
