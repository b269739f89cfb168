/// The position of the first byte that is not part of well-formed UTF-8 (Unicode, table 3-7), or nil if there is none.
package func firstInvalidUTF8(in bytes: UnsafeBufferPointer<UInt8>) -> Int? {
  let count = bytes.count
  var index = 0

  func isContinuation(_ position: Int, in range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
    position < count && range.contains(bytes[position])
  }

  while index < count {
    let lead = bytes[index]
    if lead < 0x80 {
      // Eight ASCII bytes at once, where there are as many.
      let raw = UnsafeRawBufferPointer(bytes)
      index += 1
      while index + 8 <= count,
        raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
      {
        index += 8
      }
      continue
    }
    let length: Int
    let second: ClosedRange<UInt8>
    switch lead {
    case 0xC2...0xDF: (length, second) = (2, 0x80...0xBF)
    case 0xE0: (length, second) = (3, 0xA0...0xBF)
    case 0xED: (length, second) = (3, 0x80...0x9F)
    case 0xE1...0xEF: (length, second) = (3, 0x80...0xBF)
    case 0xF0: (length, second) = (4, 0x90...0xBF)
    case 0xF1...0xF3: (length, second) = (4, 0x80...0xBF)
    case 0xF4: (length, second) = (4, 0x80...0x8F)
    default: return index
    }
    guard isContinuation(index + 1, in: second) else { return index }
    for further in 2..<max(length, 2) where !isContinuation(index + further) { return index }
    index += length
  }
  return nil
}
