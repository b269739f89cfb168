import AttentionTestSupport
import CAttentionKernels
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct ExpTests {
  func exp(_ x: [Float], _ set: KernelSet) -> [Float] {
    var y = [Float](repeating: .nan, count: x.count)
    set.kernels.exp(x, &y, x.count)
    return y
  }

  /// Every 257th bit pattern (an odd step, so that all low bits occur); debug builds take fewer.
  #if DEBUG
    static let stride = 257 * 211
  #else
    static let stride = 257
  #endif

  @Test(arguments: KernelSet.available)
  func isWithinItsUlpsOfDoubleOverAllFloats(set: KernelSet) {
    let block = 4096
    var worst = 0.0
    var at: Float = 0
    var x = [Float](repeating: 0, count: block)
    var pattern = 0
    while pattern <= Int(UInt32.max) {
      for i in 0..<block {
        x[i] = Float(bitPattern: UInt32(truncatingIfNeeded: pattern))
        pattern += Self.stride
      }
      let y = exp(x, set)
      for i in 0..<block {
        let reference = expOfDouble(Double(x[i]))
        let error: Double
        if reference > Double(Float.greatestFiniteMagnitude) {
          error = y[i] == .infinity ? 0 : .infinity
        } else if reference < 0x1p-150 {
          error = y[i].bitPattern == 0 ? 0 : .infinity
        } else {
          error = ulps(y[i], from: reference)
        }
        if error > worst { (worst, at) = (error, x[i]) }
      }
    }
    // The contract says 2. Over all 2^32 patterns it is 0.9 with FMA and 1.2 without: more than that is a regression.
    #expect(worst <= 1.25, "\(worst) ulp at \(at)")
  }

  private func expOfDouble(_ x: Double) -> Double {
    #if canImport(Glibc)
      Glibc.exp(x)
    #else
      Darwin.exp(x)
    #endif
  }

  @Test(arguments: KernelSet.available)
  func isExactWhereTheContractSaysSo(set: KernelSet) {
    let x: [Float] = [0, -0, -.infinity, .infinity, .nan, 88.72284, -104, -1e30, 1e30, .leastNonzeroMagnitude]
    let y = exp(x, set)
    #expect(sameBits(y, [1, 1, 0, .infinity, .nan, .infinity, 0, 0, .infinity, 1]))
  }

  @Test(arguments: KernelSet.available)
  func underflowsGradually(set: KernelSet) {
    let x = Array(Swift.stride(from: Float(-103.9), through: -87.4, by: 0.1))
    let y = exp(x, set)
    #expect(y.allSatisfy { $0 > 0 && $0 < .leastNormalMagnitude })
    #expect(zip(y, y.dropFirst()).allSatisfy { $0 <= $1 })
  }

  @Test(arguments: KernelSet.available)
  func expSumIsTheSumOfExpOfTheDifferences(set: KernelSet) {
    for count in Array(lengths) + [512, 1000, 4099] {
      let x = Noise.floats(count, in: -30...4, seed: count)
      let shift: Float = 3.7
      let differences = exp(x.map { $0 - shift }, set)
      let reference = x.reduce(0.0) { $0 + expOfDouble(Double($1 - shift)) }
      var sums: Set<UInt32> = []
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let source = GuardedBuffer(x, edge: edge)
        let target = GuardedBuffer(repeating: Float.nan, count: count, edge: edge)
        sums.insert(set.kernels.exp_sum(source.base, shift, target.base, count).bitPattern)
        #expect(sameBits(target.values, differences))
        sums.insert(set.kernels.exp_sum(source.base, shift, source.base, count).bitPattern)
        #expect(sameBits(source.values, differences))
      }
      #expect(sums.count == 1, "\(count): the order of summation depends on n alone")
      let sum = Double(Float(bitPattern: sums.first!))
      #expect(abs(sum - reference) <= 1e-6 * reference, "\(count): \(sum) instead of \(reference)")
    }
  }

  @Test(arguments: KernelSet.available)
  func expSumTakesMaskedScoresAndPropagatesNaN(set: KernelSet) {
    for count in lengths where count > 0 {
      var y = [Float](repeating: .nan, count: count)
      let masked = [Float](repeating: -.infinity, count: count)
      #expect(set.kernels.exp_sum(masked, 0, &y, count) == 0 && y.allSatisfy { $0.bitPattern == 0 })
      for position in 0..<count {
        var x = masked
        x[position] = 2
        #expect(set.kernels.exp_sum(x, 2, &y, count) == 1 && y[position] == 1)
        x[position] = .nan
        #expect(set.kernels.exp_sum(x, 2, &y, count).isNaN && y[position].isNaN)
        #expect(y.indices.allSatisfy { $0 == position || y[$0] == 0 })
      }
    }
  }
}
