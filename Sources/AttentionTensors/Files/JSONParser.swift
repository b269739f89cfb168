/// Why bytes are not the JSON that was asked for, and at which byte.
package struct JSONError: Error, Sendable, Equatable {
  package let byte: Int
  package let reason: Reason

  package init(byte: Int, reason: Reason) {
    self.byte = byte
    self.reason = reason
  }

  package enum Reason: Sendable, Equatable {
    case invalidUTF8
    case unexpectedEnd
    case unexpectedByte(UInt8)
    case trailingContent
    case controlCharacterInString
    case invalidEscape
    case loneSurrogate
    case invalidNumber
    case numberOutOfRange
    case duplicateKey(String)
    case tooDeep(limit: Int)
    case tooManyValues(limit: Int)
  }
}

extension JSONError.Reason: CustomStringConvertible {
  package var description: String {
    switch self {
    case .invalidUTF8: "not UTF-8"
    case .unexpectedEnd: "it ends too early"
    case .unexpectedByte(let byte) where (0x21...0x7E).contains(byte): "unexpected '\(UnicodeScalar(byte))'"
    case .unexpectedByte(let byte): "unexpected byte 0x\(String(byte, radix: 16, uppercase: true))"
    case .trailingContent: "something follows the end of the document"
    case .controlCharacterInString: "a control character in a string must be escaped"
    case .invalidEscape: "invalid escape in a string"
    case .loneSurrogate: "half of a surrogate pair in a string"
    case .invalidNumber: "invalid number"
    case .numberOutOfRange: "a number beyond the range of a double"
    case .duplicateKey(let key): "the key \(quotedForMessage(key)) occurs twice"
    case .tooDeep(let limit): "nested more than \(limit) deep"
    case .tooManyValues(let limit): "more than \(limit) values"
    }
  }
}

/// A strict parser of JSON (RFC 8259) over bytes.
///
/// Stricter than the RFC asks: a key that occurs twice in an object, half of a surrogate pair, and a number beyond the
/// range of a double are errors, since readers differ over what they mean.
package struct JSONParser {
  private static let digits = UInt8(ascii: "0")...UInt8(ascii: "9")

  private let bytes: UnsafeBufferPointer<UInt8>
  private var position = 0
  private var remainingValues: Int
  private let maximumValueCount: Int
  private let maximumDepth: Int

  private init(bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int, maximumValueCount: Int) {
    self.bytes = bytes
    self.maximumDepth = maximumDepth
    self.maximumValueCount = maximumValueCount
    remainingValues = maximumValueCount
  }

  /// The document that the bytes hold, white space around it allowed.
  ///
  /// - Parameters:
  ///   - maximumDepth: How deep arrays and objects may be nested. The parser recurses, so this bounds its stack.
  ///   - maximumValueCount: How many values the document may hold, which bounds the memory for a hostile one.
  package static func parse(
    _ bytes: UnsafeBufferPointer<UInt8>, maximumDepth: Int = 128, maximumValueCount: Int = 50_000_000
  ) throws(JSONError) -> JSONValue {
    if let invalid = firstInvalidUTF8(in: bytes) { throw JSONError(byte: invalid, reason: .invalidUTF8) }
    var parser = JSONParser(bytes: bytes, maximumDepth: maximumDepth, maximumValueCount: maximumValueCount)
    parser.skipWhiteSpace()
    let value = try parser.parseValue(depth: 0)
    parser.skipWhiteSpace()
    guard parser.position == bytes.count else { throw parser.error(.trailingContent) }
    return value
  }

  /// The document that the bytes hold.
  package static func parse(_ bytes: [UInt8], maximumDepth: Int = 128) throws(JSONError) -> JSONValue {
    let result: Result<JSONValue, JSONError> = bytes.withUnsafeBufferPointer { buffer in
      do throws(JSONError) { return .success(try parse(buffer, maximumDepth: maximumDepth)) } catch {
        return .failure(error)
      }
    }
    return try result.get()
  }

  private func error(_ reason: JSONError.Reason) -> JSONError { JSONError(byte: position, reason: reason) }

  /// The error for a byte that does not belong where it is, or for the end where a byte belongs.
  private var unexpected: JSONError {
    error(position < bytes.count ? .unexpectedByte(bytes[position]) : .unexpectedEnd)
  }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private mutating func skipWhiteSpace() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x20, 0x09, 0x0A, 0x0D: position += 1
      default: return
      }
    }
  }

  private mutating func expect(_ byte: UInt8) throws(JSONError) {
    guard current == byte else { throw unexpected }
    position += 1
  }

  // MARK: Values

  private mutating func parseValue(depth: Int) throws(JSONError) -> JSONValue {
    remainingValues -= 1
    guard remainingValues >= 0 else { throw error(.tooManyValues(limit: maximumValueCount)) }
    guard let byte = current else { throw unexpected }
    switch byte {
    case UInt8(ascii: "{"): return try parseObject(depth: depth)
    case UInt8(ascii: "["): return try parseArray(depth: depth)
    case UInt8(ascii: "\""): return .string(try parseString())
    case UInt8(ascii: "t"): return try parseWord("true", .boolean(true))
    case UInt8(ascii: "f"): return try parseWord("false", .boolean(false))
    case UInt8(ascii: "n"): return try parseWord("null", .null)
    case UInt8(ascii: "-"), Self.digits: return try parseNumber()
    default: throw unexpected
    }
  }

  private mutating func parseWord(_ word: StaticString, _ value: JSONValue) throws(JSONError) -> JSONValue {
    for index in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[index]) }
    return value
  }

  private mutating func parseArray(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < maximumDepth else { throw error(.tooDeep(limit: maximumDepth)) }
    position += 1
    skipWhiteSpace()
    var elements: [JSONValue] = []
    if current == UInt8(ascii: "]") {
      position += 1
      return .array(elements)
    }
    while true {
      elements.append(try parseValue(depth: depth + 1))
      skipWhiteSpace()
      if current == UInt8(ascii: "]") { break }
      try expect(UInt8(ascii: ","))
      skipWhiteSpace()
    }
    position += 1
    return .array(elements)
  }

  private mutating func parseObject(depth: Int) throws(JSONError) -> JSONValue {
    guard depth < maximumDepth else { throw error(.tooDeep(limit: maximumDepth)) }
    position += 1
    skipWhiteSpace()
    var object = JSONObject()
    if current == UInt8(ascii: "}") {
      position += 1
      return .object(object)
    }
    while true {
      let start = position
      guard current == UInt8(ascii: "\"") else { throw unexpected }
      let key = try parseString()
      skipWhiteSpace()
      try expect(UInt8(ascii: ":"))
      skipWhiteSpace()
      let value = try parseValue(depth: depth + 1)
      guard object.add(key, value) else { throw JSONError(byte: start, reason: .duplicateKey(key)) }
      skipWhiteSpace()
      if current == UInt8(ascii: "}") { break }
      try expect(UInt8(ascii: ","))
      skipWhiteSpace()
    }
    position += 1
    return .object(object)
  }

  // MARK: Numbers

  private mutating func skipDigits() throws(JSONError) {
    let start = position
    while let byte = current, Self.digits.contains(byte) { position += 1 }
    guard position > start else { throw error(position < bytes.count ? .invalidNumber : .unexpectedEnd) }
  }

  private mutating func parseNumber() throws(JSONError) -> JSONValue {
    let start = position
    let isNegative = current == UInt8(ascii: "-")
    if isNegative { position += 1 }
    if current == UInt8(ascii: "0") {
      position += 1
      if let byte = current, Self.digits.contains(byte) { throw error(.invalidNumber) }
    } else {
      try skipDigits()
    }
    let integerEnd = position
    if current == UInt8(ascii: ".") {
      position += 1
      try skipDigits()
    }
    if current == UInt8(ascii: "e") || current == UInt8(ascii: "E") {
      position += 1
      if current == UInt8(ascii: "+") || current == UInt8(ascii: "-") { position += 1 }
      try skipDigits()
    }
    if position == integerEnd, let value = integer(from: start, to: position, isNegative: isNegative) { return value }
    let text = String(decoding: bytes[start..<position], as: UTF8.self)
    guard let value = Double(text), value.isFinite else {
      throw JSONError(byte: start, reason: .numberOutOfRange)
    }
    return .number(value)
  }

  /// The integer that the digits make, or nil if it fits no type or is a negative zero.
  private func integer(from start: Int, to end: Int, isNegative: Bool) -> JSONValue? {
    var magnitude: UInt64 = 0
    for index in (isNegative ? start + 1 : start)..<end {
      let (tenfold, overflow) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tenfold.addingReportingOverflow(UInt64(bytes[index] - UInt8(ascii: "0")))
      guard !overflow, !carry else { return nil }
      magnitude = sum
    }
    if isNegative {
      guard magnitude > 0, magnitude <= Int.min.magnitude else { return nil }
      return .integer(Int(truncatingIfNeeded: 0 &- magnitude))
    }
    return Int(exactly: magnitude).map(JSONValue.integer) ?? .unsigned(magnitude)
  }

  // MARK: Strings

  private mutating func parseString() throws(JSONError) -> String {
    position += 1
    let start = position
    while let byte = current {
      if byte == UInt8(ascii: "\"") {
        defer { position += 1 }
        return String(decoding: bytes[start..<position], as: UTF8.self)
      }
      if byte == UInt8(ascii: "\\") { return try parseEscapedString(from: start) }
      guard byte >= 0x20 else { throw error(.controlCharacterInString) }
      position += 1
    }
    throw error(.unexpectedEnd)
  }

  /// The rest of a string that has an escape at `position`, and what stands in front of it from `start` on.
  private mutating func parseEscapedString(from start: Int) throws(JSONError) -> String {
    var text = Array(bytes[start..<position])
    while let byte = current {
      switch byte {
      case UInt8(ascii: "\""):
        position += 1
        return String(decoding: text, as: UTF8.self)
      case UInt8(ascii: "\\"):
        try parseEscape(into: &text)
      case 0..<0x20:
        throw error(.controlCharacterInString)
      default:
        text.append(byte)
        position += 1
      }
    }
    throw error(.unexpectedEnd)
  }

  private mutating func parseEscape(into text: inout [UInt8]) throws(JSONError) {
    let start = position
    position += 1
    guard let byte = current else { throw error(.unexpectedEnd) }
    position += 1
    switch byte {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
    case UInt8(ascii: "b"): text.append(0x08)
    case UInt8(ascii: "f"): text.append(0x0C)
    case UInt8(ascii: "n"): text.append(0x0A)
    case UInt8(ascii: "r"): text.append(0x0D)
    case UInt8(ascii: "t"): text.append(0x09)
    case UInt8(ascii: "u"):
      var value = try parseHexadecimal()
      if (0xD800...0xDBFF).contains(value) {
        guard position + 1 < bytes.count, bytes[position] == UInt8(ascii: "\\"),
          bytes[position + 1] == UInt8(ascii: "u")
        else { throw JSONError(byte: start, reason: .loneSurrogate) }
        position += 2
        let low = try parseHexadecimal()
        guard (0xDC00...0xDFFF).contains(low) else { throw JSONError(byte: start, reason: .loneSurrogate) }
        value = 0x10000 + (value - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = UnicodeScalar(value) else { throw JSONError(byte: start, reason: .loneSurrogate) }
      text.append(contentsOf: UTF8.encode(scalar)!)
    default: throw JSONError(byte: start, reason: .invalidEscape)
    }
  }

  private mutating func parseHexadecimal() throws(JSONError) -> UInt32 {
    var value: UInt32 = 0
    for _ in 0..<4 {
      guard let byte = current else { throw error(.unexpectedEnd) }
      let digit: UInt8
      switch byte {
      case Self.digits: digit = byte - UInt8(ascii: "0")
      case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = byte - UInt8(ascii: "a") + 10
      case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = byte - UInt8(ascii: "A") + 10
      default: throw error(.invalidEscape)
      }
      value = value << 4 | UInt32(digit)
      position += 1
    }
    return value
  }
}
