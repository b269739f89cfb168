import AttentionTensors

/// Damages files: bits and bytes, pieces left out, doubled, moved or taken from another file, digits and lengths, words of
/// the formats, and the structure of JSON.
struct Mutator {
  var generator: SeededGenerator

  private static let words = [
    "\"", "{", "}", "[", "]", ",", ":", "0", "-1", "1e3", "1e999", "18446744073709551615", "9223372036854775807",
    "4294967296", "2147483648", "1073741824", "0.5", "null", "true", "false", "\\u0000", "\\uD800", "\"dtype\"",
    "\"F64\"",
    "\"F4\"", "\"BOOL\"", "\"__metadata__\"", "(", ")", "'", "True", "'|b1'", "'<f8'", "'>f4'", "\u{FF}", "\0", " ",
    "Ġ", "é",
    "e\u{301}", "👍", "##", "[UNK]", "\"Sequence\"", "\"type\"",
  ].map { Array($0.utf8) }

  mutating func number(_ range: Range<Int>) -> Int { Int.random(in: range, using: &generator) }

  mutating func chance(_ one: Int) -> Bool { number(0..<one) == 0 }

  /// The bytes with some damages.
  mutating func damaged(_ bytes: [UInt8], others: [[UInt8]]) -> [UInt8] {
    var bytes = bytes
    for _ in 0..<number(1..<4) {
      guard !bytes.isEmpty else { return bytes }
      let place = number(0..<bytes.count)
      let length = number(0..<min(24, bytes.count - place) + 1)
      switch number(0..<11) {
      case 0: bytes[place] ^= 1 << UInt8(number(0..<8))
      case 1: bytes[place] = UInt8(number(0..<256))
      case 2: bytes.removeSubrange(place..<place + length)
      case 3: bytes.insert(contentsOf: bytes[place..<place + length], at: place)
      case 4: bytes.insert(contentsOf: Self.words[number(0..<Self.words.count)], at: place)
      case 5: bytes.replaceSubrange(place..<place + length, with: Self.words[number(0..<Self.words.count)])
      case 6: bytes.swapAt(place, number(0..<bytes.count))
      case 7: if chance(4) { bytes.removeSubrange(place...) }
      case 8:
        let other = others[number(0..<others.count)]
        guard !other.isEmpty else { continue }
        let start = number(0..<other.count)
        let end = min(other.count, start + number(1..<64))
        bytes.replaceSubrange(place..<place + length, with: other[start..<end])
      case 9: changeDigit(&bytes, from: place)
      default:
        // A length of 8, 4 or 2 bytes, little-endian.
        let width = [8, 4, 2][number(0..<3)]
        guard place + width <= bytes.count else { continue }
        let value = [0, 1, .max, 1 << 31, 1 << 32, bytes.count, bytes.count - 8, number(0..<1 << 20)][number(0..<8)]
        for index in 0..<width { bytes[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
      }
    }
    return bytes
  }

  private mutating func changeDigit(_ bytes: inout [UInt8], from place: Int) {
    let isDigit = { (byte: UInt8) in (0x30...0x39).contains(byte) }
    guard let digit = bytes[place...].firstIndex(where: isDigit) else { return }
    if chance(3) {
      bytes.insert(UInt8(0x30 + number(0..<10)), at: digit)
    } else {
      bytes[digit] = UInt8(0x30 + number(0..<10))
    }
  }

  // MARK: JSON

  /// A document with some of its values changed, left out, moved or doubled.
  mutating func damaged(_ value: JSONValue) -> JSONValue {
    var value = value
    for _ in 0..<number(1..<3) {
      var place = number(0..<size(value))
      value = changed(value, &place) ?? .null
    }
    return value
  }

  private func size(_ value: JSONValue) -> Int {
    switch value {
    case .array(let elements): elements.reduce(1) { $0 + size($1) }
    case .object(let object): object.members.reduce(1) { $0 + size($1.value) }
    default: 1
    }
  }

  /// The value with the one at a place changed; nil where it is left out.
  private mutating func changed(_ value: JSONValue, _ place: inout Int) -> JSONValue? {
    guard place >= 0 else { return value }
    if place == 0 {
      place = -1
      return replacement(value)
    }
    place -= 1
    switch value {
    case .array(let elements): return .array(elements.compactMap { changed($0, &place) })
    case .object(let object):
      var result = JSONObject()
      for (key, member) in object.members {
        if let member = changed(member, &place) { _ = result.add(key, member) }
      }
      return .object(result)
    default: return value
    }
  }

  private mutating func replacement(_ value: JSONValue) -> JSONValue? {
    switch number(0..<8) {
    case 0: return nil
    case 1: return anything(depth: 0)
    case 2: return .array([value, value])
    default: break
    }
    switch value {
    case .integer(let number):
      let near = self.number(-2..<3)
      return chance(2) ? .integer(number &+ near) : anyNumber()
    case .string(let text):
      var scalars = Array(text.unicodeScalars)
      let place = number(0..<scalars.count + 1)
      if chance(2), place < scalars.count {
        scalars.remove(at: place)
      } else {
        scalars.insert(["a", "Ġ", "\0", "\u{301}", "𐐀", " ", "1"][number(0..<7)], at: place)
      }
      return .string(String(String.UnicodeScalarView(scalars)))
    case .boolean(let flag): return .boolean(!flag)
    case .array(var elements):
      if !elements.isEmpty { elements.swapAt(number(0..<elements.count), number(0..<elements.count)) }
      if chance(2), let last = elements.last { elements.append(last) }
      return .array(elements)
    case .object(let object):
      var result = JSONObject()
      let keys = object.members.map(\.key)
      for (key, member) in object.members {
        _ = result.add(chance(4) ? keys[number(0..<keys.count)] : key, member)
      }
      return .object(result)
    default: return anything(depth: 0)
    }
  }

  private mutating func anyNumber() -> JSONValue {
    [
      .integer(0), .integer(-1), .integer(.max), .integer(.min), .integer(1 << 30), .integer(1 << 31),
      .integer(1 << 20),
      .unsigned(.max), .number(0.5), .number(-1e308), .integer(number(0..<300)),
    ][number(0..<11)]
  }

  private mutating func anything(depth: Int) -> JSONValue {
    switch number(0..<(depth < 3 ? 7 : 5)) {
    case 0: return .null
    case 1: return .boolean(chance(2))
    case 2: return anyNumber()
    case 3: return .string("")
    case 4: return .string(["[UNK]", "BPE", "ByteLevel", "a", "ab", "ć"][number(0..<6)])
    case 5: return .array((0..<number(0..<4)).map { _ in anything(depth: depth + 1) })
    default:
      var object = JSONObject()
      for key in ["type", "id", "a"].prefix(number(0..<4)) { _ = object.add(key, anything(depth: depth + 1)) }
      return .object(object)
    }
  }
}

extension JSONWriter {
  /// Writes any value.
  mutating func value(_ value: JSONValue) {
    switch value {
    case .null: null()
    case .boolean(let flag): boolean(flag)
    case .integer(let value): integer(value)
    case .unsigned(let value): number(Double(value))
    case .number(let value): number(value)
    case .string(let text): string(text)
    case .array(let elements):
      beginArray()
      for element in elements { self.value(element) }
      endArray()
    case .object(let object):
      beginObject()
      for (key, member) in object.members {
        self.key(key)
        self.value(member)
      }
      endObject()
    }
  }

  static func bytes(_ value: JSONValue) -> [UInt8] {
    var writer = JSONWriter()
    writer.value(value)
    return writer.bytes
  }
}
