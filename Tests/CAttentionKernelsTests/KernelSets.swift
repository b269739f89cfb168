import CAttentionKernels
import Testing

/// A compiled set of kernels that this machine can run; the argument of nearly every test here.
struct KernelSet: Sendable, CustomTestStringConvertible {
  let isa: UInt32
  let testDescription: String

  var kernels: attention_kernels { attention_kernels_for(attention_instruction_set(rawValue: isa))!.pointee }

  static let available: [KernelSet] = [ATTENTION_ISA_PORTABLE, ATTENTION_ISA_AVX2, ATTENTION_ISA_AVX512].compactMap {
    guard let kernels = attention_kernels_for($0)?.pointee else { return nil }
    return KernelSet(isa: kernels.isa.rawValue, testDescription: String(cString: kernels.name))
  }
}

/// Lengths that take every way through a loop of up to four vectors of sixteen lanes, and the tails.
let lengths = 0...67

/// Numbers that repeat from run to run, for inputs.
struct Noise: RandomNumberGenerator {
  private var state: UInt64

  init(_ seed: Int) { state = UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1 }

  mutating func next() -> UInt64 {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    return (state ^ (state >> 31)) &* 0xD6E8_FEB8_6659_FD93
  }

  /// Values from a range.
  static func floats(_ count: Int, in range: ClosedRange<Float>, seed: Int) -> [Float] {
    var noise = Noise(seed)
    return (0..<count).map { _ in Float.random(in: range, using: &noise) }
  }
}

/// Values at which float arithmetic changes its ways.
let specials: [Float] = [
  0, -0, 1, -1, .infinity, -.infinity, .nan, -.nan, .leastNonzeroMagnitude, -.leastNonzeroMagnitude,
  .leastNormalMagnitude, -.leastNormalMagnitude, Float.leastNormalMagnitude.nextDown, .greatestFiniteMagnitude,
  -.greatestFiniteMagnitude, 88.72283, 88.722839, 88.72284, 89, 128, -87.33654, -87.33655, -103.27892, -103.27893,
  -103.97207, -103.97208, -103.97209, -104, -150, 0x1p-24, -0x1p-24, 0.625, -0.625,
]

/// The distance in units in the last place of `reference`, whose spacing among the subnormals is 2^-149.
func ulps(_ value: Float, from reference: Double) -> Double {
  if value.isNaN || reference.isNaN { return value.isNaN && reference.isNaN ? 0 : .infinity }
  if value.isInfinite { return Double(value) == reference ? 0 : .infinity }
  let exponent = reference == 0 ? -149 : max(Int(reference.exponent) - 23, -149)
  return abs(Double(value) - reference) / Double(sign: .plus, exponent: exponent, significand: 1)
}

/// Equal bits; any two NaNs count as equal.
func sameBits(_ a: Float, _ b: Float) -> Bool { a.bitPattern == b.bitPattern || (a.isNaN && b.isNaN) }

/// Equal bits throughout.
func sameBits(_ a: [Float], _ b: [Float]) -> Bool { a.count == b.count && zip(a, b).allSatisfy { sameBits($0, $1) } }
