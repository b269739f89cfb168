import AttentionTestSupport
import CAttentionKernels
import Foundation
import Testing

@Suite struct ProbabilityTests {
  static let counts = Array(1...67) + [127, 1000, 4099]

  /// A row of logits, an upstream gradient, and the softmax of the former in float64.
  struct Row {
    let logits, upstream: [Float]
    let maximum: Float
    let sum: Double
    var probabilities: [Double] { logits.map { exp(Double($0) - Double(maximum)) / sum } }

    init(_ count: Int) {
      let logits = Noise.floats(count, in: -9...9, seed: count)
      let maximum = logits.max()!
      (self.logits, self.maximum, upstream) = (logits, maximum, Noise.floats(count, in: -2...2, seed: count + 1))
      sum = logits.reduce(0) { $0 + exp(Double($1) - Double(maximum)) }
    }
  }

  @Test(arguments: KernelSet.available)
  func sumOfExpIsThatOfExpSum(set: KernelSet) {
    for count in Self.counts {
      let row = Row(count)
      let x = GuardedBuffer(row.logits, edge: .end)
      let sum = set.kernels.sum_of_exp(x.base, row.maximum, count)
      #expect(abs(Double(sum) - row.sum) < 1e-6 * row.sum)
      var kept = [Float](repeating: 0, count: count)
      #expect(sum == set.kernels.exp_sum(x.base, row.maximum, &kept, count))
      x.elements[count / 2] = -.infinity
      #expect(set.kernels.sum_of_exp(x.base, row.maximum, count).isFinite)
      x.elements[count / 2] = .nan
      #expect(set.kernels.sum_of_exp(x.base, row.maximum, count).isNaN)
      #expect(x.surroundingsAreIntact)
    }
    #expect(set.kernels.sum_of_exp([1], 0, 0) == 0)
  }

  /// Rows ask for memory ahead of their use, up to a length: none of it may show in another row or behind the last one.
  @Test(arguments: KernelSet.available)
  func softmaxOfRowsAgreesWithFloat64InGuardedMemory(set: KernelSet) {
    for count in Self.counts + [8192, 8193] {
      let row = Row(count)
      let probabilities = row.probabilities
      for edge in GuardedBuffer<Float>.Edge.allCases {
        var hidden = row.logits
        for index in hidden.indices where index != count - 1 { hidden[index] = -.infinity }
        let unknown = row.logits.dropLast() + [Float.nan]
        let unbounded = [Float.infinity] + row.logits.dropFirst()
        let nothing = [Float](repeating: -.infinity, count: count)
        let x = GuardedBuffer(row.logits + unknown + hidden + nothing + unbounded + row.logits, edge: edge)
        let y = GuardedBuffer(repeating: Float.nan, count: x.elements.count, edge: edge)
        set.kernels.softmax(x.base, y.base, 6, count)
        let rows = (0..<6).map { Array(y.values[$0 * count..<($0 + 1) * count]) }
        // Half an ulp of a difference of 18 is a relative 9.5e-7 already.
        for (value, expected) in zip(rows[0], probabilities) {
          #expect(abs(Double(value) - expected) <= 2e-6 * expected, "\(count)")
        }
        #expect(rows[2].last == 1 && rows[2].dropLast().allSatisfy { $0 == 0 })
        for index in [1, 3, 4] { #expect(rows[index].allSatisfy { $0.isNaN }, "\(count)") }
        #expect(sameBits(rows[5], rows[0]))
        let kept = y.values
        set.kernels.softmax(x.base, x.base, 6, count)
        #expect(sameBits(x.values, kept), "in place")
        for buffer in [x, y] { #expect(buffer.surroundingsAreIntact) }
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func gradientsAgreeWithFloat64InGuardedMemory(set: KernelSet) {
    for count in Self.counts {
      let row = Row(count)
      let probabilities = row.probabilities
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let upstream = GuardedBuffer(row.upstream, edge: edge)
        let p = GuardedBuffer(probabilities.map { Float($0) }, edge: edge)
        let logarithms = GuardedBuffer(probabilities.map { Float(log($0)) }, edge: edge)
        let y = GuardedBuffer(repeating: Float.nan, count: count, edge: edge)
        let dot = zip(probabilities, row.upstream).reduce(0) { $0 + $1.0 * Double($1.1) }
        set.kernels.softmax_gradient(p.base, upstream.base, y.base, count)
        for (index, value) in y.values.enumerated() {
          #expect(abs(Double(value) - probabilities[index] * (Double(row.upstream[index]) - dot)) < 1e-6, "\(count)")
        }
        let sum = row.upstream.reduce(0) { $0 + Double($1) }
        set.kernels.log_softmax_gradient(logarithms.base, upstream.base, y.base, count)
        for (index, value) in y.values.enumerated() {
          let expected = Double(row.upstream[index]) - probabilities[index] * sum
          #expect(abs(Double(value) - expected) < 2e-6 * (1 + abs(sum) * 0.1), "\(count)")
        }
        set.kernels.subtract_both(upstream.base, 0.5, 0.25, y.base, count)
        #expect(sameBits(y.values, row.upstream.map { ($0 - 0.5) - 0.25 }))
        for buffer in [upstream, p, logarithms, y] { #expect(buffer.surroundingsAreIntact) }
      }
    }
  }

  /// Differences are taken before they are summed: numbers far from 0 keep their digits.
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func sumsOfDifferencesAndShiftsAgreeWithFloat64(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for count in [0] + Self.counts {
      for base: Float in [0, 4096] {
        let values = Noise.floats(count, in: -9...9, seed: count).map { $0 + base }
        let x = GuardedBuffer(values, edge: edge)
        let shift = base + 9
        let expected = values.reduce(0) { $0 + Double($1) - Double(shift) }
        let size = values.reduce(1) { $0 + abs(Double($1) - Double(shift)) }
        #expect(abs(Double(set.kernels.sum_of_differences(x.base, shift, count)) - expected) < 1e-6 * size, "\(count)")
        let y = GuardedBuffer(repeating: Float.nan, count: count, edge: edge)
        set.kernels.scale_and_shift(x.base, 0.75, -2.5, y.base, count)
        for (value, from) in zip(y.values, values) {
          let expected = 0.75 * Double(from) - 2.5
          #expect(
            abs(Double(value) - expected) <= 0x1p-22 * (1 + abs(expected)) + (base == 0 ? 0 : 0x1p-11), "\(count)")
        }
        let kept = y.values
        set.kernels.scale_and_shift(x.base, 0.75, -2.5, x.base, count)
        #expect(sameBits(x.values, kept), "in place")
        for buffer in [x, y] { #expect(buffer.surroundingsAreIntact) }
      }
    }
    #expect(set.kernels.sum_of_differences([1, -.infinity, 2], 2, 3) == -.infinity)
    #expect(set.kernels.sum_of_differences([1, .nan, 2], 2, 3).isNaN)
  }
}
