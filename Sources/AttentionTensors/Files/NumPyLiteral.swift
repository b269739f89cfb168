/// The dictionary in the header of an .npy file: a Python literal of three keys in any order.
///
/// It is parsed, never evaluated: strings without escapes, `True` and `False`, and a tuple of decimal integers are all
/// it may hold.
struct NumPyLiteral: Equatable {
  private(set) var typeName: String
  private(set) var isColumnMajor: Bool
  private(set) var shape: [Int]

  /// Parses the bytes of a header; `start` is their position in the file, for the errors of the file `name`.
  init(_ bytes: [UInt8], at start: Int, file name: String) throws(TensorFileError) {
    var parser = NumPyLiteralParser(bytes: bytes, start: start, file: name)
    self = try parser.parse()
  }

  fileprivate init(typeName: String, isColumnMajor: Bool, shape: [Int]) {
    self.typeName = typeName
    self.isColumnMajor = isColumnMajor
    self.shape = shape
  }
}

private struct NumPyLiteralParser {
  let bytes: [UInt8]
  let start: Int
  let file: String
  private var position = 0

  init(bytes: [UInt8], start: Int, file: String) {
    self.bytes = bytes
    self.start = start
    self.file = file
  }

  mutating func parse() throws(TensorFileError) -> NumPyLiteral {
    var typeName: String?
    var isColumnMajor: Bool?
    var shape: [Int]?
    try expect("{")
    skipWhiteSpace()
    while current != UInt8(ascii: "}") {
      let keyPosition = position
      let key = try parseString()
      skipWhiteSpace()
      try expect(":")
      skipWhiteSpace()
      let isRepeated: Bool
      switch key {
      case "descr":
        isRepeated = typeName != nil
        // A list describes a structured type.
        guard current != UInt8(ascii: "[") else { throw error(.unsupportedType("structured")) }
        typeName = try parseString()
      case "fortran_order":
        isRepeated = isColumnMajor != nil
        isColumnMajor = try parseBoolean()
      case "shape":
        isRepeated = shape != nil
        shape = try parseTuple()
      default:
        position = keyPosition
        throw problem("the key \(quotedForMessage(key)) is unknown")
      }
      guard !isRepeated else { throw error(.duplicateKey(key)) }
      skipWhiteSpace()
      guard current == UInt8(ascii: ",") else { break }
      position += 1
      skipWhiteSpace()
    }
    try expect("}")
    skipWhiteSpace()
    guard position == bytes.count else { throw problem("something follows the dictionary") }
    guard let typeName else { throw error(.missingKey("descr")) }
    guard let isColumnMajor else { throw error(.missingKey("fortran_order")) }
    guard let shape else { throw error(.missingKey("shape")) }
    return NumPyLiteral(typeName: typeName, isColumnMajor: isColumnMajor, shape: shape)
  }

  private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

  private func error(_ reason: TensorFileError.Reason) -> TensorFileError {
    TensorFileError(file: file, reason: reason)
  }

  private func problem(_ text: String) -> TensorFileError {
    error(.invalidLiteral(byte: start + position, problem: text))
  }

  private mutating func skipWhiteSpace() {
    while let byte = current, byte == 0x20 || (0x09...0x0D).contains(byte) { position += 1 }
  }

  private mutating func expect(_ character: UnicodeScalar) throws(TensorFileError) {
    guard current == UInt8(ascii: character) else { throw problem("'\(character)' is missing") }
    position += 1
  }

  private mutating func parseString() throws(TensorFileError) -> String {
    guard let quote = current, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else {
      throw problem("a string is missing")
    }
    position += 1
    let begin = position
    while let byte = current, byte != quote {
      guard byte != UInt8(ascii: "\\"), byte >= 0x20 else { throw problem("a string holds an escape or a control") }
      position += 1
    }
    guard current == quote else { throw problem("a string does not end") }
    defer { position += 1 }
    return String(decoding: bytes[begin..<position], as: UTF8.self)
  }

  private mutating func parseBoolean() throws(TensorFileError) -> Bool {
    for (word, value) in [("True", true), ("False", false)] where bytes[position...].starts(with: word.utf8) {
      position += word.utf8.count
      return value
    }
    throw problem("True or False is missing")
  }

  /// A tuple of integers. As in Python, the comma makes the tuple: `(3)` is none.
  private mutating func parseTuple() throws(TensorFileError) -> [Int] {
    var values: [Int] = []
    var hasComma = false
    try expect("(")
    skipWhiteSpace()
    while current != UInt8(ascii: ")") {
      values.append(try parseInteger())
      skipWhiteSpace()
      guard current == UInt8(ascii: ",") else { break }
      hasComma = true
      position += 1
      skipWhiteSpace()
    }
    try expect(")")
    guard hasComma || values.isEmpty else { throw error(.badShape) }
    return values
  }

  private mutating func parseInteger() throws(TensorFileError) -> Int {
    guard current != UInt8(ascii: "-") else { throw error(.badShape) }
    let begin = position
    var value = 0
    while let byte = current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
      let (tenfold, overflow) = value.multipliedReportingOverflow(by: 10)
      let (sum, carry) = tenfold.addingReportingOverflow(Int(byte - UInt8(ascii: "0")))
      guard !overflow, !carry else { throw error(.sizeOverflow(shape: [.max])) }
      value = sum
      position += 1
    }
    guard position > begin else { throw problem("an integer is missing") }
    guard position == begin + 1 || bytes[begin] != UInt8(ascii: "0") else {
      position = begin
      throw problem("an integer begins with 0")
    }
    return value
  }
}
