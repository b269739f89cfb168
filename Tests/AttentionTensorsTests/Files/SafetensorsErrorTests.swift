import AttentionTensors
import Foundation
import Testing

/// Files that are not safetensors files, each with the error that says why.
struct SafetensorsErrorTests {
  struct BadFile: CustomTestStringConvertible {
    let testDescription: String
    let bytes: [UInt8]
    let error: TensorFileError

    init(_ description: String, _ bytes: [UInt8], _ reason: TensorFileError.Reason, tensor: String? = nil) {
      testDescription = description
      self.bytes = bytes
      error = TensorFileError(file: "f", tensor: tensor, reason: reason)
    }

    /// A file with one tensor, "a".
    init(
      _ description: String, dtype: String = "\"U8\"", shape: String = "[2]", offsets: String = "[0,2]",
      data: [UInt8] = [1, 2], _ reason: TensorFileError.Reason
    ) {
      let header = #"{"a":{"dtype":\#(dtype),"shape":\#(shape),"data_offsets":\#(offsets)}}"#
      self.init(description, safetensorsBytes(header, data: data), reason, tensor: "a")
    }
  }

  private static func pair(_ a: String, _ b: String) -> String {
    #"{"a":{"dtype":"U8","shape":[2],"data_offsets":\#(a)},"b":{"dtype":"U8","shape":[2],"data_offsets":\#(b)}}"#
  }

  static let whole: [BadFile] = [
    BadFile("empty file", [], .truncated(needed: 8, found: 0)),
    BadFile("no whole length", [2, 0, 0, 0, 0, 0, 0], .truncated(needed: 8, found: 7)),
    BadFile("N = 0", safetensorsBytes(""), .headerLengthOutOfRange(length: 0, limit: 100_000_000)),
    BadFile("N past the file", [3, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8), .truncated(needed: 11, found: 10)),
    BadFile(
      "N over the limit", [0x01, 0xE1, 0xF5, 0x05, 0, 0, 0, 0],
      .headerLengthOutOfRange(length: 100_000_001, limit: 100_000_000)),
    BadFile("N at the limit", [0x00, 0xE1, 0xF5, 0x05, 0, 0, 0, 0], .truncated(needed: 100_000_008, found: 8)),
    BadFile(
      "N of all ones", [UInt8](repeating: 0xFF, count: 8),
      .headerLengthOutOfRange(length: .max, limit: 100_000_000)),
    BadFile("not UTF-8", safetensorsBytes([0x7B, 0x22, 0xC3, 0x22, 0x7D]), .invalidUTF8(byte: 10)),
    BadFile("a surrogate in UTF-8", safetensorsBytes([0x7B, 0x22, 0xED, 0xA0, 0x80, 0x22]), .invalidUTF8(byte: 10)),
    BadFile("not JSON", safetensorsBytes("{a}"), .invalidJSON(byte: 9, problem: "unexpected 'a'")),
    BadFile("JSON cut off", safetensorsBytes("{"), .invalidJSON(byte: 9, problem: "it ends too early")),
    BadFile(
      "NUL padding", safetensorsBytes("{}\0"),
      .invalidJSON(byte: 10, problem: "something follows the end of the document")),
    BadFile("byte order mark", safetensorsBytes("\u{FEFF}{}"), .invalidJSON(byte: 8, problem: "unexpected byte 0xEF")),
    BadFile("space in front", safetensorsBytes(" {}"), .invalidHeader(problem: "it does not begin with an object")),
    BadFile("an array", safetensorsBytes("[]"), .invalidHeader(problem: "it does not begin with an object")),
    BadFile(
      "no object for a tensor", safetensorsBytes(#"{"a":1}"#),
      .invalidHeader(problem: "it is not described by an object"), tensor: "a"),
    BadFile(
      "nested too deep", safetensorsBytes(#"{"a":"# + String(repeating: "[", count: 100_000)),
      .invalidJSON(byte: 28, problem: "nested more than 16 deep")),
    BadFile(
      "metadata are no object", safetensorsBytes(#"{"__metadata__":[]}"#),
      .invalidHeader(problem: "__metadata__ is not an object")),
    BadFile(
      "metadata hold a number", safetensorsBytes(#"{"__metadata__":{"k":1}}"#),
      .invalidHeader(problem: "the metadata \"k\" are not a string")),
    BadFile(
      "tensor twice", safetensorsBytes(pair("[0,2]", "[2,4]").replacing("\"b\"", with: "\"a\""), data: [0, 0, 0, 0]),
      .duplicateKey("a")),
    BadFile("tensor twice, once escaped", safetensorsBytes(#"{"a":{},"\u0061":{}}"#), .duplicateKey("a")),
    BadFile(
      "metadata twice", safetensorsBytes(#"{"__metadata__":{},"__metadata__":{}}"#), .duplicateKey("__metadata__")),
    BadFile("metadata's key twice", safetensorsBytes(#"{"__metadata__":{"k":"1","k":"2"}}"#), .duplicateKey("k")),
    BadFile(
      "metadata's key twice to Swift", safetensorsBytes("{\"__metadata__\":{\"\u{E9}\":\"1\",\"e\u{301}\":\"2\"}}"),
      .duplicateKey("e\u{301}")),
    BadFile(
      "dtype twice",
      safetensorsBytes(#"{"a":{"dtype":"U8","shape":[1],"dtype":"I8","data_offsets":[0,1]}}"#, data: [0]),
      .duplicateKey("dtype")),
    BadFile("overlap", safetensorsBytes(pair("[0,2]", "[1,3]"), data: [0, 0, 0]), .overlap(byte: 1), tensor: "b"),
    BadFile("the same place", safetensorsBytes(pair("[0,2]", "[0,2]"), data: [0, 0]), .overlap(byte: 0), tensor: "b"),
    BadFile("hole", safetensorsBytes(pair("[0,2]", "[3,5]"), data: [0, 0, 0, 0, 0]), .hole(byte: 2), tensor: "b"),
    BadFile(
      "hole in front", safetensorsBytes(pair("[3,5]", "[1,3]"), data: [0, 0, 0, 0, 0]), .hole(byte: 0), tensor: "b"),
    BadFile(
      "trailing bytes", safetensorsBytes(pair("[0,2]", "[2,4]"), data: [0, 0, 0, 0, 0]), .trailingBytes(count: 1)),
    BadFile(
      "missing bytes", safetensorsBytes(pair("[0,2]", "[2,4]"), data: [0, 0, 0]),
      .truncated(needed: 8 + 105 + 4, found: 8 + 105 + 3),
      tensor: "b"),
    BadFile("data without tensors", safetensorsBytes("{}", data: [0]), .trailingBytes(count: 1)),
    BadFile(
      "no dtype", safetensorsBytes(#"{"a":{"shape":[1],"data_offsets":[0,1]}}"#, data: [0]), .missingKey("dtype"),
      tensor: "a"),
    BadFile(
      "no shape", safetensorsBytes(#"{"a":{"dtype":"U8","data_offsets":[0,1]}}"#, data: [0]), .missingKey("shape"),
      tensor: "a"),
    BadFile(
      "no offsets", safetensorsBytes(#"{"a":{"dtype":"U8","shape":[1]}}"#, data: [0]), .missingKey("data_offsets"),
      tensor: "a"),
  ]

  static let oneTensor: [BadFile] = [
    BadFile("unknown dtype", dtype: "\"F31\"", .unknownType("F31")),
    BadFile("dtype in lower case", dtype: "\"u8\"", .unknownType("u8")),
    BadFile("dtype no string", dtype: "8", .invalidHeader(problem: "dtype is not a string")),
    BadFile("negative dimension", shape: "[-2]", .badShape),
    BadFile("two negative dimensions", shape: "[-2,-1]", .badShape),
    BadFile("fractional dimension", shape: "[2.5]", .badShape),
    BadFile("dimension with a fraction of 0", shape: "[2.0]", .badShape),
    BadFile("dimension with an exponent", shape: "[2e0]", .badShape),
    BadFile("dimension −0", shape: "[-0]", .badShape),
    BadFile("dimension as a string", shape: "[\"2\"]", .badShape),
    BadFile("shape no array", shape: "2", .badShape),
    BadFile("dimension over UInt64", shape: "[18446744073709551616]", .badShape),
    BadFile("dimension over Int", shape: "[9223372036854775808]", .sizeOverflow(shape: [.max])),
    BadFile("product overflows", shape: "[4294967296,4294967296]", .sizeOverflow(shape: [1 << 32, 1 << 32])),
    BadFile(
      "product overflows before a 0", shape: "[4294967296,4294967296,0]", .sizeOverflow(shape: [1 << 32, 1 << 32, 0])),
    BadFile("bits overflow", dtype: "\"F64\"", shape: "[1152921504606846976]", .sizeOverflow(shape: [1 << 60])),
    BadFile("half a byte", dtype: "\"F4\"", shape: "[3]", .partialByte(bits: 12)),
    BadFile("reversed offsets", offsets: "[2,0]", .badRange),
    BadFile("negative offset", offsets: "[-2,0]", .badRange),
    BadFile("one offset", offsets: "[2]", .badRange),
    BadFile("three offsets", offsets: "[0,1,2]", .badRange),
    BadFile("fractional offset", offsets: "[0,2.0]", .badRange),
    BadFile("offset over Int", offsets: "[0,18446744073709551615]", .badRange),
    BadFile("offsets no array", offsets: "null", .badRange),
    BadFile("size too small", offsets: "[0,1]", .sizeMismatch(expected: 2, found: 1)),
    BadFile("size too large", offsets: "[0,3]", .sizeMismatch(expected: 2, found: 3)),
    BadFile("size of another dtype", dtype: "\"F32\"", .sizeMismatch(expected: 8, found: 2)),
    BadFile("empty with a size", shape: "[0]", .sizeMismatch(expected: 0, found: 2)),
    BadFile("scalar with the size of two", shape: "[]", .sizeMismatch(expected: 1, found: 2)),
    BadFile(
      "offsets at the end of Int", offsets: "[9223372036854775805,9223372036854775807]", .hole(byte: 0)),
    BadFile(
      "more than the file", shape: "[9000000000]", offsets: "[0,9000000000]",
      .truncated(needed: 8 + 71 + 9_000_000_000, found: 8 + 71 + 2)),
  ]

  @Test(arguments: whole + oneTensor)
  func `A bad file is refused`(file: BadFile) throws {
    #expect(safetensorsFailure(file.bytes) == file.error)
    // The same from the disk, and in one line.
    try withTemporaryFile(file.bytes) { path in
      let error = #expect(throws: TensorFileError.self) { try SafetensorsFile(path: path) }
      #expect(error == TensorFileError(file: path, tensor: file.error.tensor, reason: file.error.reason))
      #expect(error?.description.contains("\n") == false)
    }
  }

  @Test(arguments: [
    safetensorsBytes("{}"), safetensorsBytes("{}      "), safetensorsBytes("{}\n"),
    safetensorsBytes(#"{"a":{"data_offsets":[0,0],"shape":[0,3],"dtype":"F32","more":[1.5]}}"#),
    safetensorsBytes(
      #"{"b":{"data_offsets":[2,2],"shape":[0],"dtype":"F32"},"a":{"data_offsets":[0,2],"shape":[4],"dtype":"F4"}}"#,
      data: [0, 0]),
  ])
  func `An odd but valid file is accepted`(bytes: [UInt8]) {
    #expect(safetensorsFailure(bytes) == nil)
  }

  @Test(arguments: [0x02, 0x80, 0xFF] as [UInt8])
  func `A truth value other than 0 and 1 is refused`(byte: UInt8) throws {
    let header = #"{"a":{"dtype":"BOOL","shape":[3],"data_offsets":[0,3]}}"#
    let file = try SafetensorsFile(bytes: safetensorsBytes(header, data: [1, 0, byte]), name: "f")
    let error = #expect(throws: TensorFileError.self) { try file.booleanTensor(named: "a") }
    #expect(error == TensorFileError(file: "f", tensor: "a", reason: .invalidBoolean(byte: byte, index: 2)))
  }

  @Test func `A file cut short at any byte is refused`() throws {
    for name in ["types", "names", "unaligned"] {
      let bytes = try readBytes(fixture("\(name).safetensors"))
      #expect(safetensorsFailure(bytes) == nil)
      for length in bytes.indices {
        guard case .truncated(_, found: length) = safetensorsFailure(Array(bytes[..<length]))?.reason else {
          Issue.record(
            "\(name) cut to \(length) bytes: \(String(describing: safetensorsFailure(Array(bytes[..<length]))))")
          return
        }
      }
    }
  }

  @Test func `A file cut short after it was opened gives an error`() throws {
    let bytes = try readBytes(fixture("types.safetensors"))
    try withTemporaryFile(bytes) { path in
      let file = try SafetensorsFile(path: path)
      truncate(path, off_t(file.entry(named: "F32")!.byteRange.lowerBound + 5))
      let range = file.entry(named: "F32")!.byteRange
      #expect(
        failure { () throws(TensorFileError) in try file.tensor(named: "F32") }
          == .truncated(needed: range.upperBound, found: range.lowerBound + 5))
      for entry in file.entries where entry.byteRange.lowerBound > range.lowerBound {
        #expect(throws: TensorFileError.self) { try file.bytes(named: entry.name) }
        #expect(throws: TensorFileError.self) { try file.tensorRoundedToFloat32(named: entry.name) }
      }
      #expect(throws: TensorFileError.self) { try file.booleanTensor(named: "BOOL") }
    }
  }

  @Test func `What is not a regular file is refused`() throws {
    try withTemporaryFolder { folder in
      let pipe = folder + "/pipe"
      #expect(mkfifo(pipe, 0o600) == 0)
      for path in [folder, pipe, "/dev/null", "/dev/zero"] {
        #expect(failure { () throws(TensorFileError) in try SafetensorsFile(path: path) } == .notARegularFile)
        #expect(failure { () throws(TensorFileError) in try NumPyFile(path: path) } == .notARegularFile)
      }
      let error = #expect(throws: TensorFileError.self) { try SafetensorsFile(path: folder + "/none") }
      #expect(error?.reason == .cannotOpen(code: ENOENT))
      #expect(error?.description == "\"\(folder)/none\": cannot be opened: No such file or directory")
      #expect(failure { () throws(TensorFileError) in try SafetensorsFile(path: "") } == .invalidPath)
      #expect(failure { () throws(TensorFileError) in try SafetensorsFile(path: "/dev\0x") } == .invalidPath)
    }
  }

  @Test func `A file larger than memory gives an error`() throws {
    // A sparse file of 4 TiB; file systems that cannot have one are passed over.
    let size = 1 << 42
    let header = #"{"a":{"dtype":"F32","shape":[\#(size / 4)],"data_offsets":[0,\#(size)]}}"#
    let bytes = safetensorsBytes(header)
    try withTemporaryFile(bytes) { path in
      guard truncate(path, off_t(bytes.count + size)) == 0 else { return }
      let file = try SafetensorsFile(path: path)
      #expect(failure { () throws(TensorFileError) in try file.tensor(named: "a") } == .notEnoughMemory(bytes: size))
      #expect(failure { () throws(TensorFileError) in try file.bytes(named: "a") } == .notEnoughMemory(bytes: size))
    }
  }

  @Test func `Names from a file do not break a message's line`() {
    let error = TensorFileError(
      file: "f", tensor: "a\n\u{1B}[31m\u{202E}" + String(repeating: "x", count: 1000), reason: .missingTensor)
    #expect(error.description.hasPrefix(#""f": tensor "a\u{a}\u{1b}[31m\u{202e}xxx"#))
    #expect(error.description.count < 300)
  }
}
