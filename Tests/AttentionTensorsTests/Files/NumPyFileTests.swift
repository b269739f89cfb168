import AttentionTensors
import Foundation
import Testing

struct NumPyFileTests {
  private static let vector = Tensor([0, 1, 2, 3, 4], shape: [5])

  private func file(_ name: String) throws -> NumPyFile { try NumPyFile(path: fixture("\(name).npy")) }

  // MARK: Files by NumPy

  @Test func `Floats are read`() throws {
    let floats = SafetensorsReadingTests.floats
    #expect(try bits(file("f4").tensor()) == floats.map { Float($0).bitPattern })
    #expect(try file("f4").shape == [2, 3])
    #expect(try file("f2").tensor().scalars == [-1.5, -0.0, 0.0999755859375, 3, .infinity, 0x1p-23])
    #expect(try file("f8").doubles() == ([2, 3], floats))
    #expect(try file("f8").tensorRoundedToFloat32() == file("f4").tensor())
    #expect(
      try failure(of: file("f8").tensor) == .wrongType(found: "<f8", expected: "a float of 16 or 32 bits"))
    #expect(try failure(of: file("f4").doubles) == .wrongType(found: "<f4", expected: "a float of 64 bits"))
  }

  @Test func `Integers of every width are read`() throws {
    func check<T: FixedWidthInteger>(_ name: String, _: T.Type) throws {
      #expect(try file(name).integers() == ([2, 3], [Int(T.min), 0, 1, 2, 77, Int(T.max)]))
    }
    try check("i1", Int8.self)
    try check("u1", UInt8.self)
    try check("i2", Int16.self)
    try check("u2", UInt16.self)
    try check("i4", Int32.self)
    try check("u4", UInt32.self)
    try check("i8", Int64.self)
    #expect(try failure(of: file("u8").integers) == .integerOutOfRange(index: 5))
    #expect(try failure(of: file("b1").integers) == .wrongType(found: "|b1", expected: "an integer"))
  }

  @Test func `Truth values are read`() throws {
    let expected = BooleanTensor([true, false, true, false, false, true], shape: [2, 3])
    #expect(try file("b1").booleanTensor() == expected)
    #expect(try failure(of: file("u1").booleanTensor) == .wrongType(found: "|u1", expected: "a truth value"))
    let bad = try NumPyFile(
      bytes: npyBytes("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", data: [1, 2]), name: "f")
    #expect(failure(of: bad.booleanTensor) == .invalidBoolean(byte: 2, index: 1))
  }

  @Test func `Every shape and version is read`() throws {
    #expect(try file("scalar").tensor() == Tensor([2.5], shape: []))
    #expect(try file("empty").tensor() == Tensor(zeros: [3, 0]))
    for name in ["vector", "version-2", "version-3"] { #expect(try file(name).tensor() == Self.vector) }
  }

  @Test func `Column-major arrays become row-major`() throws {
    #expect(try file("fortran-f4").isColumnMajor)
    #expect(try file("fortran-f4").tensor() == Tensor((0..<24).map(Float.init), shape: [2, 3, 4]))
    #expect(try file("fortran-i8").integers() == ([2, 3], [0, 1, 2, 3, 4, 5]))
    #expect(try file("fortran-i8").tensorRoundedToFloat32() == Tensor([0, 1, 2, 3, 4, 5], shape: [2, 3]))
    let expected = BooleanTensor([true, false, false, true, true, false], shape: [2, 3])
    #expect(try file("fortran-b1").booleanTensor() == expected)
  }

  @Test(
    arguments: [
      ("big-endian", .bigEndian(">f4")), ("complex", .unsupportedType("<c8")),
      ("structured", .unsupportedType("structured")),
    ] as [(String, TensorFileError.Reason)])
  func `Element types that are not supported are refused`(name: String, reason: TensorFileError.Reason) {
    #expect(failure { () throws(TensorFileError) in try NumPyFile(path: fixture("\(name).npy")) } == reason)
  }

  // MARK: Bad files

  private static func header(
    _ type: String = "'<f4'", order: String = "False", shape: String = "(1,)", end: String = "}"
  ) -> String {
    "{'descr': \(type), 'fortran_order': \(order), 'shape': \(shape), \(end)"
  }

  private static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)

  @Test(
    arguments: [
      ([], .truncated(needed: 8, found: 0)),
      (magic + [1], .truncated(needed: 8, found: 7)),
      (Array("not an array".utf8), .notThisFormat(expected: "an .npy file")),
      ([0x93] + Array("NUMPX".utf8) + [1, 0, 0, 0], .notThisFormat(expected: "an .npy file")),
      (magic + [0, 0, 0, 0], .unsupportedVersion(major: 0, minor: 0)),
      (magic + [1, 1, 0, 0], .unsupportedVersion(major: 1, minor: 1)),
      (magic + [4, 0, 0, 0], .unsupportedVersion(major: 4, minor: 0)),
      (magic + [1, 0, 1], .truncated(needed: 10, found: 9)),
      (magic + [2, 0, 1, 0, 0], .truncated(needed: 12, found: 11)),
      (magic + [1, 0, 0, 0], .headerLengthOutOfRange(length: 0, limit: 1 << 20)),
      (magic + [1, 0, 5, 0, 0x7B], .truncated(needed: 15, found: 11)),
      (magic + [2, 0, 0xFF, 0xFF, 0xFF, 0xFF], .headerLengthOutOfRange(length: 0xFFFF_FFFF, limit: 1 << 20)),
      (magic + [2, 0, 1, 0, 0x10, 0], .headerLengthOutOfRange(length: 1 << 20 + 1, limit: 1 << 20)),
      (magic + [2, 0, 0, 0, 0x10, 0], .truncated(needed: 12 + 1 << 20, found: 12)),
      (magic + [3, 0, 2, 0, 0, 0, 0x7B, 0xFF], .invalidUTF8(byte: 13)),
      (npyBytes(header(), data: [0, 0, 0]), .truncated(needed: 10 + 57 + 4, found: 10 + 57 + 3)),
      (npyBytes(header(), data: [0, 0, 0, 0, 0]), .trailingBytes(count: 1)),
      (npyBytes(header(shape: "(0,)"), data: [0]), .trailingBytes(count: 1)),
    ] as [([UInt8], TensorFileError.Reason)])
  func `A bad file is refused`(bytes: [UInt8], reason: TensorFileError.Reason) {
    #expect(npyFailure(bytes) == TensorFileError(file: "f", reason: reason))
  }

  @Test(
    arguments: [
      (header(shape: "(-1,)"), .badShape), (header(shape: "(1)"), .badShape),
      (header(shape: "[1]"), .invalidLiteral(byte: 60, problem: "'(' is missing")),
      (header(shape: "(1L,)"), .invalidLiteral(byte: 62, problem: "')' is missing")),
      (header(shape: "(01,)"), .invalidLiteral(byte: 61, problem: "an integer begins with 0")),
      (header(shape: "(,)"), .invalidLiteral(byte: 61, problem: "an integer is missing")),
      (header(shape: "(1.0,)"), .invalidLiteral(byte: 62, problem: "')' is missing")),
      (header(shape: "(1,"), .invalidLiteral(byte: 63, problem: "an integer is missing")),
      (header(shape: "(9223372036854775808,)"), .sizeOverflow(shape: [.max])),
      (header(shape: "(4294967296, 4294967296)"), .sizeOverflow(shape: [1 << 32, 1 << 32])),
      (header("'<f8'", shape: "(1152921504606846976,)"), .sizeOverflow(shape: [1 << 60])),
      (header("'<f8'", shape: "(1152921504606846975,)"), .sizeOverflow(shape: [1 << 60 - 1])),
      (header("'>f4'"), .bigEndian(">f4")), (header("'>i8'"), .bigEndian(">i8")),
      (header("'|O'"), .unsupportedType("|O")), (header("'<U3'"), .unsupportedType("<U3")),
      (header("'f4'"), .unsupportedType("f4")), (header("''"), .unsupportedType("")),
      (header("'<f16'"), .unsupportedType("<f16")), (header("'>x4'"), .unsupportedType(">x4")),
      (header("[('a', '<f4')]"), .unsupportedType("structured")),
      (header("4"), .invalidLiteral(byte: 20, problem: "a string is missing")),
      (header("'<f4\""), .invalidLiteral(byte: 28, problem: "'}' is missing")),
      (header("'\\x3cf4'"), .invalidLiteral(byte: 21, problem: "a string holds an escape or a control")),
      (header("b'<f4'"), .invalidLiteral(byte: 20, problem: "a string is missing")),
      (header(order: "true"), .invalidLiteral(byte: 44, problem: "True or False is missing")),
      (header(order: "0"), .invalidLiteral(byte: 44, problem: "True or False is missing")),
      (header(order: "Falsehood"), .invalidLiteral(byte: 49, problem: "'}' is missing")),
      (header(end: ""), .invalidLiteral(byte: 66, problem: "a string is missing")),
      (header(end: ", }"), .invalidLiteral(byte: 66, problem: "a string is missing")),
      (header(end: "}}"), .invalidLiteral(byte: 67, problem: "something follows the dictionary")),
      (header(end: "}\0"), .invalidLiteral(byte: 67, problem: "something follows the dictionary")),
      (header(end: "'x': 1}"), .invalidLiteral(byte: 66, problem: "the key \"x\" is unknown")),
      (header(end: "'shape': (1,)}"), .duplicateKey("shape")), (header(end: "'descr': '<f4'}"), .duplicateKey("descr")),
      (header(end: "'fortran_order': True}"), .duplicateKey("fortran_order")),
      ("{}", .missingKey("descr")), ("{'descr': '<f4'}", .missingKey("fortran_order")),
      ("{'descr': '<f4', 'fortran_order': False}", .missingKey("shape")),
      (" {}", .invalidLiteral(byte: 10, problem: "'{' is missing")),
      ("__import__('os').abort()", .invalidLiteral(byte: 10, problem: "'{' is missing")),
      ("{'descr' '<f4'}", .invalidLiteral(byte: 19, problem: "':' is missing")),
      ("{'descr", .invalidLiteral(byte: 17, problem: "a string does not end")),
    ] as [(String, TensorFileError.Reason)])
  func `A bad header is refused`(header: String, reason: TensorFileError.Reason) {
    #expect(npyFailure(npyBytes(header, data: [0, 0, 0, 0])) == TensorFileError(file: "f", reason: reason))
  }

  @Test(arguments: [
    "{'shape':(2,1),'fortran_order':False,'descr':'<f4'}",
    "{\"fortran_order\": False, \"shape\": (2, 1), \"descr\": \"<f4\", }   \n",
    "{ 'descr' : '<f4' ,\n 'fortran_order'\t: False , 'shape' : ( 2 , 1 , ) , }\n",
    "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 1)}",
  ])
  func `The header may be written in many ways`(header: String) throws {
    let data: [UInt8] = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x40]
    for version: UInt8 in 1...3 {
      let file = try NumPyFile(bytes: npyBytes(header, version: version, data: data), name: "f")
      #expect(try file.tensor() == Tensor([1, 2], shape: [2, 1]))
    }
  }

  @Test(arguments: ["f4", "version-2", "version-3", "fortran-f4", "b1", "scalar"])
  func `A file cut short at any byte is refused`(name: String) throws {
    let bytes = try readBytes(fixture("\(name).npy"))
    #expect(npyFailure(bytes) == nil)
    for length in bytes.indices {
      guard case .truncated(_, found: length) = npyFailure(Array(bytes[..<length]))?.reason else {
        Issue.record("cut to \(length) bytes: \(String(describing: npyFailure(Array(bytes[..<length]))))")
        return
      }
    }
  }

  @Test func `Very many axes of length 1 cost nothing`() throws {
    let ones = String(repeating: "1,", count: 20_000)
    let header = "{'descr':'|i1','fortran_order':True,'shape':(200,\(ones)200,)}"
    let data = (0..<40_000).map { UInt8($0 % 100) }
    let (shape, values) = try NumPyFile(bytes: npyBytes(header, data: data), name: "f").integers()
    #expect(shape.count == 20_002)
    #expect(values[1] == 0 && values[200] == 1 && values[401] == 2)
  }

  // MARK: Writing

  @Test(arguments: SafetensorsWritingTests.tensors.map(\.contents))
  func `What is written is read back`(contents: TensorFileContents) throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x.npy"
      try NumPyFile.write(contents, to: path)
      let file = try NumPyFile(path: path)
      #expect(file.shape == contents.shape && !file.isColumnMajor)
      switch contents {
      case .float32(let tensor): #expect(try bits(file.tensor()) == bits(tensor))
      case .boolean(let tensor): #expect(try file.booleanTensor() == tensor)
      case .float64(let shape, let values): #expect(try file.doubles() == (shape, values))
      case .signed64(let shape, let values): #expect(try file.integers() == (shape, values))
      }
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x.npy"])
    }
  }

  @Test func `The bytes are those that NumPy writes`() throws {
    let f4 = try file("f4").tensor()
    let contents: [(String, TensorFileContents, NumPyType?)] = try [
      ("f4", .float32(f4), nil), ("f2", .float32(f4), .float16), ("vector", .float32(Self.vector), nil),
      ("scalar", .float32(file("scalar").tensor()), nil), ("empty", .float32(Tensor(zeros: [3, 0])), nil),
      ("b1", .boolean(file("b1").booleanTensor()), nil),
      ("f8", .float64(shape: [2, 3], values: SafetensorsReadingTests.floats), nil),
      ("i8", .signed64(shape: [2, 3], values: file("i8").integers().values), nil),
      ("i4", .signed64(shape: [2, 3], values: file("i4").integers().values), .signed32),
    ]
    try withTemporaryFolder { folder in
      for (name, contents, type) in contents {
        try NumPyFile.write(contents, as: type, to: folder + "/x")
        #expect(try readBytes(folder + "/x") == readBytes(fixture("\(name).npy")), "\(name)")
      }
    }
  }

  @Test func `A long header makes version 2`() throws {
    try withTemporaryFolder { folder in
      for (rank, version) in [(21_000, 1), (22_000, 2)] {
        let tensor = Tensor([5], shape: [Int](repeating: 1, count: rank))
        try NumPyFile.write(.float32(tensor), to: folder + "/x")
        let bytes = try readBytes(folder + "/x")
        #expect(bytes[6] == version)
        #expect((bytes.count - 4) % 64 == 0)
        #expect(try NumPyFile(path: folder + "/x").tensor() == tensor)
      }
      let far = Tensor([5], shape: [Int](repeating: 1, count: 400_000))
      #expect(throws: TensorFileError.self) { try NumPyFile.write(.float32(far), to: folder + "/y") }
    }
  }

  @Test func `A conversion that is not offered, and an integer that does not fit, are refused`() throws {
    try withTemporaryFile([1]) { (path) throws in
      func reason(_ contents: TensorFileContents, _ type: NumPyType?) -> TensorFileError.Reason? {
        failure { () throws(TensorFileError) in try NumPyFile.write(contents, as: type, to: path) }
      }
      #expect(reason(.float32(Self.vector), .float64) == .wrongType(found: "<f4", expected: "<f8"))
      #expect(reason(.signed64(shape: [1], values: [1]), .boolean) == .wrongType(found: "<i8", expected: "|b1"))
      #expect(reason(.signed64(shape: [2], values: [1, 1 << 31]), .signed32) == .integerOutOfRange(index: 1))
      #expect(reason(.float64(shape: [2], values: [1]), nil) == .sizeMismatch(expected: 16, found: 8))
      #expect(try readBytes(path) == [1])
    }
  }
}
