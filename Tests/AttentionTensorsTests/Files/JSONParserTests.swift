import AttentionTensors
import Testing

struct JSONParserTests {
  private func parse(_ text: String) throws -> JSONValue { try JSONParser.parse(Array(text.utf8)) }

  private func failure(_ bytes: [UInt8]) -> JSONError? {
    do throws(JSONError) { _ = try JSONParser.parse(bytes) } catch { return error }
    return nil
  }

  @Test(
    arguments: [
      ("null", .null), (" true ", .boolean(true)), ("\t\r\nfalse", .boolean(false)), ("0", .integer(0)),
      ("-1", .integer(-1)), ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
      ("9223372036854775808", .unsigned(1 << 63)), ("18446744073709551615", .unsigned(.max)),
      ("18446744073709551616", .number(0x1p64)), ("-9223372036854775809", .number(-0x1p63)), ("1.0", .number(1)),
      ("1e2", .number(100)), ("-1.5E-3", .number(-0.0015)), ("1E+2", .number(100)), ("1e-400", .number(0)),
      ("0.1", .number(0.1)), ("\"\"", .string("")), ("\"é😀\"", .string("é😀")), ("[]", .array([])),
      ("[ 1 , [2] ]", .array([.integer(1), .array([.integer(2)])])),
      (#""\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE00\u0000""#, .string("\"\\/\u{8}\u{C}\n\r\té😀\0")),
      ("\"\u{7F}\"", .string("\u{7F}")),
    ] as [(String, JSONValue)])
  func `Valid documents are read`(text: String, value: JSONValue) throws {
    #expect(try parse(text) == value)
  }

  @Test func `Negative zero keeps its sign`() throws {
    #expect(try parse("-0").doubleValue?.sign == .minus)
    #expect(try parse("-0").integerValue == nil)
  }

  @Test func `Objects keep their order, and keys are compared by bytes`() throws {
    let object = try #require(try parse("{\"b\":1, \"\u{E9}\":2 ,\"e\u{301}\": 3,\"\":{}}").objectValue)
    #expect(object.members.map { $0.key.unicodeScalars.count } == [1, 1, 2, 0])
    #expect(object["\u{E9}"] == .integer(2))
    #expect(object["e\u{301}"] == .integer(3))
    #expect(object[""]?.objectValue?.count == 0)
    #expect(object["c"] == nil)
  }

  @Test(arguments: [2, 8, 9, 10, 1000])
  func `Large objects find every key, and refuse one that comes twice`(count: Int) throws {
    let members = (0..<count).map { "\"k\($0)\":\($0)" }.joined(separator: ",")
    let object = try #require(try parse("{\(members)}").objectValue)
    for index in 0..<count { #expect(object["k\(index)"] == .integer(index)) }
    for index in [0, count / 2, count - 1] {
      #expect(
        failure(Array("{\(members),\"k\(index)\":0}".utf8))
          == JSONError(byte: members.utf8.count + 2, reason: .duplicateKey("k\(index)")))
    }
  }

  @Test(
    arguments: [
      ("", 0, .unexpectedEnd), (" ", 1, .unexpectedEnd), ("tru", 3, .unexpectedEnd), ("trux", 3, .unexpectedByte(0x78)),
      ("nul1", 3, .unexpectedByte(0x31)), ("NaN", 0, .unexpectedByte(0x4E)), ("Infinity", 0, .unexpectedByte(0x49)),
      ("+1", 0, .unexpectedByte(0x2B)), ("01", 1, .invalidNumber), ("-", 1, .unexpectedEnd), ("-x", 1, .invalidNumber),
      ("1.", 2, .unexpectedEnd), (".5", 0, .unexpectedByte(0x2E)), ("1.e5", 2, .invalidNumber),
      ("1e", 2, .unexpectedEnd),
      ("1e+", 3, .unexpectedEnd), ("0x10", 1, .trailingContent), ("1e400", 0, .numberOutOfRange),
      ("-1e400", 0, .numberOutOfRange), ("1 2", 2, .trailingContent), ("{}\0", 2, .trailingContent),
      ("[1,]", 3, .unexpectedByte(0x5D)), ("[,1]", 1, .unexpectedByte(0x2C)), ("[1 2]", 3, .unexpectedByte(0x32)),
      ("[1", 2, .unexpectedEnd), ("]", 0, .unexpectedByte(0x5D)), ("{\"a\":1,}", 7, .unexpectedByte(0x7D)),
      ("{\"a\"}", 4, .unexpectedByte(0x7D)), ("{a:1}", 1, .unexpectedByte(0x61)), ("{1:1}", 1, .unexpectedByte(0x31)),
      ("{\"a\":1", 6, .unexpectedEnd), ("{\"a\":1,\"a\":2}", 7, .duplicateKey("a")),
      ("[{\"x\":{\"a\":1,\"a\":2}}]", 13, .duplicateKey("a")), ("\"", 1, .unexpectedEnd), ("\"\\", 2, .unexpectedEnd),
      ("\"\\x\"", 1, .invalidEscape), ("\"\\u12\"", 5, .invalidEscape), ("\"\\u12", 5, .unexpectedEnd),
      ("\"\\u+123\"", 3, .invalidEscape), ("\"a\tb\"", 2, .controlCharacterInString),
      ("\"\\n\n\"", 3, .controlCharacterInString),
      ("\"\\uD800\"", 1, .loneSurrogate), ("\"\\uDC00\"", 1, .loneSurrogate), ("\"\\uD800\\u0041\"", 1, .loneSurrogate),
      ("\"\\uD800\\uD800\"", 1, .loneSurrogate), ("\"\\uD800\\n\"", 1, .loneSurrogate),
      ("\"\\uD800", 1, .loneSurrogate),
      ("// no\n1", 0, .unexpectedByte(0x2F)), ("'a'", 0, .unexpectedByte(0x27)),
      ("\u{FEFF}1", 0, .unexpectedByte(0xEF)),
      ("\u{A0}1", 0, .unexpectedByte(0xC2)),
    ] as [(String, Int, JSONError.Reason)])
  func `Invalid documents are refused at the byte`(text: String, byte: Int, reason: JSONError.Reason) {
    #expect(failure(Array(text.utf8)) == JSONError(byte: byte, reason: reason))
  }

  @Test func `Nesting is limited`() throws {
    func nested(_ depth: Int, _ open: String, _ close: String) -> [UInt8] {
      Array((String(repeating: open, count: depth) + "1" + String(repeating: close, count: depth)).utf8)
    }
    #expect(failure(nested(128, "[", "]")) == nil)
    #expect(failure(nested(129, "[", "]")) == JSONError(byte: 128, reason: .tooDeep(limit: 128)))
    #expect(failure(nested(128, "{\"a\":", "}")) == nil)
    #expect(failure(nested(1_000_000, "{\"a\":", "}")) == JSONError(byte: 640, reason: .tooDeep(limit: 128)))
  }

  @Test func `The number of values is limited`() {
    let result = Array("[1,2,3]".utf8).withUnsafeBufferPointer { buffer in
      Result { try JSONParser.parse(buffer, maximumValueCount: 3) }
    }
    #expect(throws: JSONError(byte: 5, reason: .tooManyValues(limit: 3))) { try result.get() }
  }

  @Test func `UTF-8 is checked exactly as Swift's own decoder checks it`() {
    // Every lead byte with second bytes and third bytes at the borders, behind 0 to 9 bytes of ASCII.
    let borders: [UInt8] = [0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF]
    for lead in UInt8.min...UInt8.max {
      for second in borders {
        for third in borders {
          for fourth in [0x41, 0x80, 0xBF] as [UInt8] {
            let bytes = [UInt8](repeating: 0x20, count: Int(lead) % 10) + [lead, second, third, fourth]
            let isValid = bytes.withUnsafeBufferPointer { firstInvalidUTF8(in: $0) } == nil
            if isValid != (String(validating: bytes, as: UTF8.self) != nil) { Issue.record("wrong about \(bytes)") }
          }
        }
      }
    }
  }

  @Test func `The invalid byte is found`() {
    let text = Array("aé層😀".utf8)
    for end in text.indices {
      let invalid = text[..<end].withUnsafeBufferPointer { firstInvalidUTF8(in: $0) }
      // A cut inside a character is reported where the character begins.
      let start = [0, 1, 1, 3, 3, 3, 6, 6, 6, 6][end]
      #expect(invalid == ([0, 1, 3, 6].contains(end) ? nil : start))
    }
  }
}
