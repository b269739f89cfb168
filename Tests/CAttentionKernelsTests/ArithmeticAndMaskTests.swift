import CAttentionKernels
import Testing

@Suite struct ArithmeticAndMaskTests {
  static let count = 67
  static let x = Noise.floats(count, in: -9...9, seed: 4)
  static let y = Noise.floats(count, in: -9...9, seed: 5)

  @Test(arguments: KernelSet.available)
  func scaleRoundsOnce(set: KernelSet) {
    let x = specials + Self.x
    var y = x
    set.kernels.scale(x, 0.3, &y, x.count)
    #expect(sameBits(y, x.map { 0.3 * $0 }))
  }

  @Test(arguments: KernelSet.available)
  func axpyIsFusedOrRoundsTwice(set: KernelSet) {
    var y = Self.y
    set.kernels.axpy(0.3, Self.x, &y, y.count)
    let fused = zip(Self.x, Self.y).map { $1.addingProduct(0.3, $0) }
    let separate = zip(Self.x, Self.y).map { 0.3 * $0 + $1 }
    #expect(sameBits(y, fused) || (set.isa == ATTENTION_ISA_PORTABLE.rawValue && sameBits(y, separate)))
  }

  @Test(arguments: KernelSet.available)
  func keepAllowedSelectsByAnyNonzeroByteOverAnything(set: KernelSet) {
    for byte in UInt8.min...UInt8.max {
      var scores = specials + Self.x
      let before = scores
      let allowed = scores.indices.map { $0 % 3 == 1 ? 0 : byte }
      set.kernels.keep_allowed(&scores, allowed, scores.count)
      let expected = zip(before, allowed).map { $1 != 0 ? $0 : -.infinity }
      #expect(sameBits(scores, expected), "byte \(byte)")
    }
  }

  @Test(arguments: KernelSet.available)
  func keepIntervalsMasksOutsideOfEachRowsKeys(set: KernelSet) {
    let (stride, columns, start) = (80, 48, 100)
    // Before, at, inside, past the columns; empty; reversed; the whole line.
    let intervals = [
      (0, 50), (0, 100), (90, 101), (100, 148), (100, 132), (117, 131), (116, 148), (147, 148), (148, 200), (120, 120),
      (140, 110), (Int.min, Int.max),
    ]
    var scores = [Float](repeating: .nan, count: stride * intervals.count)
    let (lower, upper) = (intervals.map(\.0), intervals.map(\.1))
    set.kernels.keep_intervals(&scores, stride, intervals.count, columns, start, lower, upper)
    for (row, interval) in intervals.enumerated() {
      for column in 0..<stride {
        let isMasked = column < columns && !(interval.0 <= start + column && start + column < interval.1)
        let score = scores[row * stride + column]
        #expect(isMasked ? score == -.infinity : score.isNaN, "row \(row), column \(column)")
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func addBiasSelectsMinusInfinityOverAnythingAndAddsTheRest(set: KernelSet) {
    for bias in specials + [3.5] {
      let biases = [Float](repeating: bias, count: specials.count)
      var scores = specials
      set.kernels.add_bias(&scores, biases, scores.count)
      #expect(sameBits(scores, specials.map { bias == -.infinity ? -.infinity : $0 + bias }), "bias \(bias)")
    }
  }

  @Test(arguments: KernelSet.available, [Int32(0), -30, 5, -1000, 16_777_149, -16_777_149])
  func addDistanceBiasSubtractsSlopeTimesDistance(set: KernelSet, first: Int32) {
    let slope: Float = 0.3
    var scores = Self.x
    set.kernels.add_distance_bias(&scores, slope, first, scores.count)
    for (i, score) in scores.enumerated() {
      let distance = abs(Double(first) + Double(i))
      let reference = Double(Self.x[i]) - Double(slope) * distance
      // One rounding of the product and one of the difference, at most.
      let bound = 0x1p-24 * (Double(slope) * distance + abs(reference))
      #expect(abs(Double(score) - reference) <= bound, "element \(i)")
    }
  }

  @Test(arguments: KernelSet.available)
  func addDistanceBiasIsExactInWholeNumbers(set: KernelSet) {
    for first in Int32(-40)...5 {
      var scores = [Float](repeating: 7, count: Self.count)
      set.kernels.add_distance_bias(&scores, 2, first, scores.count)
      #expect(scores == (0..<Self.count).map { 7 - 2 * Float(abs(Int(first) + $0)) }, "first \(first)")
    }
  }

  /// Every length and both strides; large biases that cancel, sums beyond the largest float, NaN and both infinities.
  @Test(arguments: KernelSet.available)
  func addBiasSumIsTheSumInFloat64(set: KernelSet) {
    let largest = Float.greatestFiniteMagnitude
    let special: [Float] = [largest, -largest, -.infinity, .infinity, .nan, 0x1p127, -0.0, .leastNonzeroMagnitude]
    for count in [1, 2, 15, 16, 17, 63, 64, 65, 67, 130] {
      for stride in [0, 1] {
        let first = (0..<count).map { $0 % 3 == 0 ? special[$0 / 3 % special.count] : Float($0) * 1e30 - 3e31 }
        let second = (0..<count).map { $0 % 5 == 0 ? special[$0 / 5 % special.count] : -Float($0) * 1e30 + 3e31 + 0.25 }
        let before = (0..<count).map { Float($0) - 7.5 }
        var scores = before
        first.withUnsafeBufferPointer { first in
          second.withUnsafeBufferPointer { second in
            let biases = [
              attention_bias(values: nil, stride: 0, slope: 0.3, first: -20),
              attention_bias(values: first.baseAddress!, stride: 1, slope: 0, first: 0),
              attention_bias(values: second.baseAddress!, stride: stride, slope: 0, first: 0),
            ]
            set.kernels.add_bias_sum(&scores, biases, biases.count, count)
          }
        }
        for index in 0..<count {
          let (left, right) = (first[index], second[index * stride])
          let sum = -Double(Float(0.3)) * Double(abs(index - 20)) + Double(left) + Double(right)
          let bias = sum.isFinite ? Float(min(max(sum, -Double(largest)), Double(largest))) : Float(sum)
          let expected = left == -.infinity || right == -.infinity ? -.infinity : before[index] + bias
          #expect(
            scores[index].bitPattern == expected.bitPattern || scores[index].isNaN && expected.isNaN,
            "\(index) of \(count): \(scores[index]), not \(expected)")
        }
      }
    }
  }
}
