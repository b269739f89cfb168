import AttentionTensors
import Testing

struct HalfPrecisionTests {
  @Test func `Every 16-bit float comes back from the float it widens to`() {
    for bits in UInt16.min...UInt16.max {
      let value = float(fromHalf: bits)
      if bits & 0x7C00 == 0x7C00, bits & 0x03FF != 0 {
        #expect(value.isNaN)
        #expect(float(fromHalf: half(fromFloat: value)).isNaN)
      } else if half(fromFloat: value) != bits {
        Issue.record("\(bits) became \(half(fromFloat: value)) through \(value)")
      }
    }
  }

  @Test(
    arguments: [
      (0x3C00, 1), (0xC000, -2), (0x7BFF, 65504), (0x0001, 0x1p-24), (0x03FF, 1023 * 0x1p-24), (0x0400, 0x1p-14),
      (0x7C00, .infinity), (0xFC00, -.infinity), (0x3555, 0.333251953125),
    ] as [(UInt16, Float)])
  func `16-bit floats have the values of IEEE 754`(bits: UInt16, value: Float) {
    #expect(float(fromHalf: bits) == value)
    #expect(half(fromFloat: value) == bits)
  }

  @Test func `Narrowing goes to the nearest, ties to even`() {
    // Between every two neighbours: the middle goes to the even one, anything off the middle to the nearer one.
    for lower in UInt16(0)..<0x7BFF {
      let (a, b) = (float(fromHalf: lower), float(fromHalf: lower + 1))
      let middle = (a + b) / 2
      let even = lower % 2 == 0 ? lower : lower + 1
      guard half(fromFloat: middle) == even, half(fromFloat: middle.nextUp) == lower + 1,
        half(fromFloat: middle.nextDown) == lower, half(fromFloat: -middle) == even | 0x8000
      else {
        Issue.record("wrong between \(a) and \(b)")
        return
      }
    }
    #expect(half(fromFloat: Float(65520).nextDown) == 0x7BFF)
    #expect(half(fromFloat: 65520) == 0x7C00)
    #expect(half(fromFloat: .greatestFiniteMagnitude) == 0x7C00)
    #expect(half(fromFloat: .leastNonzeroMagnitude) == 0)
    #expect(half(fromFloat: -0.0) == 0x8000)
  }
}
