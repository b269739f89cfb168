/// A word in the form in which a model gets it: UTF-8, and the scalar of the source that each byte came from.
struct WordBuffer {
  private(set) var bytes: [UInt8] = []
  private(set) var origins: [Int32] = []

  var isEmpty: Bool { bytes.isEmpty }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    origins.removeAll(keepingCapacity: true)
  }

  @inline(__always)
  mutating func append(_ byte: UInt8, from origin: Int32) {
    bytes.append(byte)
    origins.append(origin)
  }

  mutating func append(scalar: UInt32, from origin: Int32) {
    switch scalar {
    case 0..<0x80: append(UInt8(scalar), from: origin)
    case 0x80..<0x800:
      append(UInt8(0xC0 | scalar >> 6), from: origin)
      append(UInt8(0x80 | scalar & 0x3F), from: origin)
    case 0x800..<0x10000:
      append(UInt8(0xE0 | scalar >> 12), from: origin)
      append(UInt8(0x80 | scalar >> 6 & 0x3F), from: origin)
      append(UInt8(0x80 | scalar & 0x3F), from: origin)
    default:
      append(UInt8(0xF0 | scalar >> 18), from: origin)
      append(UInt8(0x80 | scalar >> 12 & 0x3F), from: origin)
      append(UInt8(0x80 | scalar >> 6 & 0x3F), from: origin)
      append(UInt8(0x80 | scalar & 0x3F), from: origin)
    }
  }

  /// Hands the word over, unless there is none, and begins the next.
  @inline(__always)
  mutating func finish(_ body: (inout WordBuffer) -> Bool) -> Bool {
    guard !bytes.isEmpty else { return true }
    let goesOn = body(&self)
    removeAll()
    return goesOn
  }

  /// The scalars of the source that some bytes came from, from the first to the last.
  func range(_ bytes: Range<Int>) -> Range<Int> {
    guard !bytes.isEmpty else { return 0..<0 }
    let first = Int(origins[bytes.lowerBound])
    return first..<max(first, Int(origins[bytes.upperBound - 1])) + 1
  }
}

/// The scalar at a position of well-formed UTF-8, which moves behind it.
@inline(__always)
func decodeScalar(_ text: UnsafeBufferPointer<UInt8>, _ position: inout Int) -> UInt32 {
  let lead = UInt32(text[position])
  func continuation(_ index: Int) -> UInt32 { UInt32(text[position + index] & 0x3F) }
  let value: UInt32
  switch lead {
  case 0..<0x80:
    value = lead
    position += 1
  case 0..<0xE0:
    value = (lead & 0x1F) << 6 | continuation(1)
    position += 2
  case 0..<0xF0:
    value = (lead & 0x0F) << 12 | continuation(1) << 6 | continuation(2)
    position += 3
  default:
    value = (lead & 0x07) << 18 | continuation(1) << 12 | continuation(2) << 6 | continuation(3)
    position += 4
  }
  return value
}
