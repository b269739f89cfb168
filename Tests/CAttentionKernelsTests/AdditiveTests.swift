import AttentionTestSupport
import CAttentionKernels
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct AdditiveTests {
  static let rows = 3

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func scoresAreCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for n in Array(lengths) + [127, 128, 129] {
      let stride = n + 2
      let query = Noise.floats(n, in: -3...3, seed: n)
      let keys = Noise.floats(max(0, Self.rows * stride - 2), in: -3...3, seed: n + 1)
      let v = Noise.floats(n, in: -1...1, seed: n + 2)
      let scores = GuardedBuffer<Float>(repeating: .nan, count: Self.rows, edge: edge)
      let (a, b, c) = (GuardedBuffer(query, edge: edge), GuardedBuffer(keys, edge: edge), GuardedBuffer(v, edge: edge))
      set.kernels.additive_scores(a.base, b.base, stride, c.base, scores.base, Self.rows, n)
      for row in 0..<Self.rows {
        let expected = (0..<n).reduce(0.0) {
          $0 + Double(v[$1]) * tanh(Double(query[$1] + keys[row * stride + $1]))
        }
        #expect(abs(Double(scores.values[row]) - expected) <= Double(n + 4) * 0x1p-23, "\(n)")
        // The same bits from this row alone.
        var alone: Float = .nan
        set.kernels.additive_scores(a.base, b.base + row * stride, stride, c.base, &alone, 1, n)
        #expect(sameBits(alone, scores.values[row]))
      }
      #expect(scores.surroundingsAreIntact)
    }
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func gradientsAreCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for n in Array(lengths) + [127, 128, 129] {
      let stride = n + 2
      let query = Noise.floats(n, in: -3...3, seed: n)
      var keys = Noise.floats(max(0, Self.rows * stride - 2), in: -3...3, seed: n + 1)
      let v = Noise.floats(n, in: -1...1, seed: n + 2)
      // The row in the middle does not count, whatever it holds.
      let factors: [Float] = [0.75, 0, -1.5]
      for index in 0..<n { keys[stride + index] = .nan }
      let before = Noise.floats(n, in: -1...1, seed: n + 3)
      let (a, b, c) = (GuardedBuffer(query, edge: edge), GuardedBuffer(keys, edge: edge), GuardedBuffer(v, edge: edge))
      let ofQuery = GuardedBuffer(before, edge: edge)
      let ofKeys = GuardedBuffer<Float>(repeating: 0.25, count: Self.rows * n, edge: edge)
      let ofV = GuardedBuffer(before, edge: edge)
      set.kernels.additive_gradients(
        a.base, b.base, stride, c.base, factors, ofQuery.base, ofKeys.base, n, ofV.base, Self.rows, n)
      for index in 0..<n {
        var (queryGradient, vGradient) = (Double(before[index]), Double(before[index]))
        for row in [0, 2] {
          let t = tanh(Double(query[index] + keys[row * stride + index]))
          let slope = Double(factors[row] * v[index]) * (1 - t * t)
          queryGradient += slope
          vGradient += Double(factors[row]) * t
          #expect(abs(Double(ofKeys.values[row * n + index]) - 0.25 - slope) < 1e-6)
        }
        #expect(abs(Double(ofQuery.values[index]) - queryGradient) < 2e-6)
        #expect(abs(Double(ofV.values[index]) - vGradient) < 2e-6)
        #expect(ofKeys.values[n + index] == 0.25)
      }
      #expect(ofQuery.surroundingsAreIntact && ofKeys.surroundingsAreIntact && ofV.surroundingsAreIntact)
    }
  }

  @Test(arguments: KernelSet.available) func aNaNShowsAndInfinitiesSaturate(set: KernelSet) {
    for n in [1, 5, 16, 33] {
      let v = [Float](repeating: 0.5, count: n)
      var key = [Float](repeating: .infinity, count: n)
      var score: Float = 0
      set.kernels.additive_scores([Float](repeating: 1, count: n), key, n, v, &score, 1, n)
      #expect(score == 0.5 * Float(n))
      key[n - 1] = .nan
      set.kernels.additive_scores([Float](repeating: 1, count: n), key, n, v, &score, 1, n)
      #expect(score.isNaN)
    }
  }
}
