/// A cursor over the bytes of one case's text.
struct CaseScanner {
  let text: String
  private let bytes: [UInt8]
  private var position = 0

  init(_ text: String) {
    self.text = text
    bytes = Array(text.utf8)
  }

  var isAtEnd: Bool { position == bytes.count }

  /// The byte under the cursor.
  var next: UInt8? { isAtEnd ? nil : bytes[position] }

  /// Steps over the text if it stands at the cursor.
  mutating func skip(_ expected: String) -> Bool {
    guard bytes[position...].starts(with: expected.utf8) else { return false }
    position += expected.utf8.count
    return true
  }

  /// Whether a digit stands at a distance from the cursor.
  func hasDigit(ahead distance: Int = 0) -> Bool {
    let index = position + distance
    return index < bytes.count && isDigit(bytes[index])
  }

  /// The letters at the cursor, stepped over.
  mutating func letters() -> String {
    let start = position
    while let byte = next, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) { position += 1 }
    return String(decoding: bytes[start..<position], as: UTF8.self)
  }

  /// The number at the cursor, stepped over.
  mutating func number(of field: String) throws(BenchmarkCaseError) -> Int {
    let start = position
    while hasDigit() { position += 1 }
    guard position > start else { throw expected("a number after \(field)") }
    guard let value = Int(String(decoding: bytes[start..<position], as: UTF8.self)), value <= CaseLimits.largestSize
    else { throw .sizeOutOfRange(case: text, field: field, largest: CaseLimits.largestSize) }
    return value
  }

  /// One number, a list, or ranges: `128,512`, `64-256+64`, `128-1024*2`.
  mutating func numbers(of field: String, limit: Int) throws(BenchmarkCaseError) -> [Int] {
    var values: [Int] = []
    repeat {
      let start = position
      guard values.isEmpty || hasDigit() else {
        throw expected("another number for \(field) (spaces or semicolons separate cases)")
      }
      let first = try number(of: field)
      guard next == UInt8(ascii: "-"), hasDigit(ahead: 1) else {
        values.append(first)
        continue
      }
      position += 1
      let last = try number(of: field)
      let factor = skip("*") ? try number(of: field) : nil
      let step = factor == nil && skip("+") ? try number(of: field) : 1
      guard first <= last, step >= 1, factor ?? 2 >= 2, factor == nil || first >= 1 else {
        throw .badRange(text: text, range: String(decoding: bytes[start..<position], as: UTF8.self))
      }
      // Sizes are below 2³¹, so neither the sum nor the product overflows.
      var value = first
      while value <= last {
        values.append(value)
        guard values.count <= limit else { throw .tooMany(limit: limit) }
        value = factor.map { value * $0 } ?? value + step
      }
    } while skip(",")
    guard values.count <= limit else { throw .tooMany(limit: limit) }
    return values
  }

  /// The error that something else was expected at a distance from the cursor.
  func expected(_ what: String, ahead distance: Int = 0) -> BenchmarkCaseError {
    let start = position + distance
    let rest = String(decoding: bytes[start...], as: UTF8.self)
    return .syntax(
      text: text, at: String(decoding: bytes[..<start], as: UTF8.self).count + 1, expected: what,
      found: rest.isEmpty ? "the end" : quoted(String(rest.prefix(12))))
  }

  private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}

extension CaseScanner {
  /// The numbers of an option of its own: `1024,16384` or `1024-65536*4`, with blanks round commas.
  static func numbers(_ text: String, of field: String, limit: Int) throws(BenchmarkCaseError) -> [Int] {
    let words = BenchmarkCase.words(of: text)
    guard words.count == 1 else {
      throw .syntax(text: text, at: 1, expected: "numbers for \(field) such as 1024,16384", found: quoted(text))
    }
    var scanner = CaseScanner(words[0])
    let numbers = try scanner.numbers(of: field, limit: limit)
    guard scanner.isAtEnd else { throw scanner.expected("a comma or the end") }
    return numbers
  }
}
