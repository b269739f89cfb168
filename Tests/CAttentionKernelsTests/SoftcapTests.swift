import CAttentionKernels
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct SoftcapTests {
  func softcap(_ x: [Float], cap: Float, _ set: KernelSet) -> [Float] {
    var y = [Float](repeating: .nan, count: x.count)
    set.kernels.softcap(x, &y, cap, x.count)
    return y
  }

  #if DEBUG
    static let stride = 4_099 * 101
  #else
    static let stride = 4_099
  #endif

  @Test(arguments: KernelSet.available, [Float(1), 5, 30, 50, 0.001, 0x1p-126, 0x1p126])
  func isWithinFourUlpOfDoubleOverAllFloats(set: KernelSet, cap: Float) {
    var patterns = Swift.stride(from: 0, through: Int(UInt32.max), by: Self.stride).map {
      Float(bitPattern: UInt32($0))
    }
    // Where the curve bends, densely.
    patterns += Swift.stride(from: Float(-12), through: 12, by: 0.001).map { $0 * cap }
    let y = softcap(patterns, cap: cap, set)
    var worst = 0.0
    var at: Float = 0
    for (x, value) in zip(patterns, y) {
      let reference = Double(cap) * tanh(Double(x) / Double(cap))
      let error = abs(value) > cap ? .infinity : ulps(value, from: reference)
      if error > worst { (worst, at) = (error, x) }
    }
    #expect(worst <= 4, "\(worst) ulp at \(at)")
  }

  @Test(arguments: KernelSet.available)
  func isOddAndBoundedAtTheEnds(set: KernelSet) {
    let x = specials + Noise.floats(500, in: -200...200, seed: 3)
    let y = softcap(x, cap: 30, set)
    #expect(sameBits(softcap(x.map { -$0 }, cap: 30, set), y.map { -$0 }))
    #expect(sameBits(softcap([.infinity, -.infinity, .nan, 0, -0, 1e9], cap: 30, set), [30, -30, .nan, 0, -0, 30]))
  }
}
