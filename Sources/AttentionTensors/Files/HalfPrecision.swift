// Conversions by bits, since `Float16` is not available on every platform this package builds for.

/// The float of a 16-bit IEEE float's bits. Exact.
package func float(fromHalf bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let magnitude = UInt32(bits & 0x7FFF)
  if magnitude < 0x0400 {
    // Zero or subnormal: a whole multiple of 2⁻²⁴.
    let value = Float(magnitude) * 0x1p-24
    return Float(bitPattern: value.bitPattern | sign)
  }
  let exponentShift: UInt32 = magnitude >= 0x7C00 ? (255 - 31) << 23 : (127 - 15) << 23
  return Float(bitPattern: sign | (magnitude << 13) &+ exponentShift)
}

/// The float of a bfloat16's bits. Exact.
package func float(fromBrainFloat bits: UInt16) -> Float {
  Float(bitPattern: UInt32(bits) << 16)
}

/// The bits of the 16-bit IEEE float that is nearest, ties to even; infinity from 65520 on. NaN stays NaN.
package func half(fromFloat value: Float) -> UInt16 {
  let bits = value.bitPattern
  let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
  let magnitude = bits & 0x7FFF_FFFF
  if magnitude > 0x7F80_0000 {
    // Keep the top of the payload, and at least one bit of it.
    return sign | 0x7E00 | UInt16(truncatingIfNeeded: (magnitude >> 13) & 0x01FF)
  }
  if magnitude >= 0x477F_F000 { return sign | 0x7C00 }
  if magnitude < 0x3880_0000 {
    // Below 2⁻¹⁴ the result is a multiple of 2⁻²⁴; the product is exact, or far below half a step.
    let steps = (Float(bitPattern: magnitude) * 0x1p24).rounded(.toNearestOrEven)
    return sign | UInt16(steps)
  }
  let rounding = 0x0FFF + ((magnitude >> 13) & 1)
  return sign | UInt16(truncatingIfNeeded: (magnitude + rounding - (112 << 23)) >> 13)
}
