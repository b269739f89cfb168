import AttentionTensors
import Foundation
import Testing

struct SafetensorsWritingTests {
  static let tensors: [(name: String, contents: TensorFileContents)] = [
    ("flags", .boolean(BooleanTensor([true, false, true], shape: [3]))),
    ("x", .float32(Tensor([-1.5, -0.0, 0.1, 3, .infinity, 1e-7], shape: [2, 3]))),
    ("d", .float64(shape: [2, 1], values: [0.1, -2])),
    ("empty", .float32(Tensor(zeros: [3, 0]))),
    ("i", .signed64(shape: [3], values: [.min, 0, .max])),
    ("scalar", .float32(Tensor([2.5], shape: []))),
    ("層 \"\\\n\0\u{1F}", .float32(Tensor([7], shape: [1]))),
  ]
  static let metadata = ["b": "\"", "a": "é\n"]

  @Test func `What is written is read back`() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x.safetensors"
      try SafetensorsFile.write(Self.tensors, metadata: Self.metadata, to: path)
      let file = try SafetensorsFile(path: path)
      #expect(file.metadata == Self.metadata)
      #expect(file.entries.map(\.name) == Self.tensors.map(\.name))
      #expect(file.entries.map(\.shape) == Self.tensors.map(\.contents.shape))
      #expect(file.entries[0].byteRange.lowerBound % 8 == 0)
      for (name, contents) in Self.tensors {
        switch contents {
        case .float32(let tensor): #expect(try bits(file.tensor(named: name)) == bits(tensor))
        case .boolean(let tensor): #expect(try file.booleanTensor(named: name) == tensor)
        case .float64(let shape, let values): #expect(try file.doubles(named: name) == (shape, values))
        case .signed64(let shape, let values): #expect(try file.integers(named: name) == (shape, values))
        }
      }
      // Nothing temporary is left, and equal contents give equal bytes.
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["x.safetensors"])
      let bytes = try readBytes(path)
      try SafetensorsFile.write(Self.tensors, metadata: Self.metadata, to: path)
      #expect(try readBytes(path) == bytes)
    }
  }

  @Test func `The header is the JSON that the format asks for`() throws {
    let header = try SafetensorsFile.serializedHeader(
      of: [("a\u{7}\"", .float32(Tensor(zeros: [2, 1])))], metadata: ["k": "v\\"], file: "f")
    let json = #"{"__metadata__":{"k":"v\\"},"a\u0007\"":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}}"#
    #expect(header.count % 8 == 0)
    #expect(header[0] == UInt8(header.count - 8))
    #expect(String(decoding: header[8...], as: UTF8.self).hasPrefix(json))
    #expect(header[(8 + json.utf8.count)...].allSatisfy { $0 == UInt8(ascii: " ") })
  }

  @Test func `No tensors make a file`() throws {
    try withTemporaryFolder { folder in
      try SafetensorsFile.write([], to: folder + "/x")
      #expect(try readBytes(folder + "/x") == readBytes(fixture("nothing.safetensors")))
    }
  }

  @Test func `Bad names and shapes are refused before anything is written`() throws {
    let one = TensorFileContents.float32(Tensor(zeros: [1]))
    let cases: [([(name: String, contents: TensorFileContents)], String, TensorFileError.Reason)] = [
      ([("a", one), ("b", one), ("a", one)], "a", .duplicateName),
      ([("__metadata__", one)], "__metadata__", .reservedName),
      ([("a", .float64(shape: [2], values: [1]))], "a", .sizeMismatch(expected: 16, found: 8)),
      ([("a", .signed64(shape: [], values: []))], "a", .sizeMismatch(expected: 8, found: 0)),
      ([("a", .signed64(shape: [-1], values: []))], "a", .badShape),
      ([("a", .float64(shape: [1 << 60], values: []))], "a", .sizeOverflow(shape: [1 << 60])),
    ]
    for (tensors, name, reason) in cases {
      try withTemporaryFile([1, 2, 3]) { (path) throws in
        let error = #expect(throws: TensorFileError.self) { try SafetensorsFile.write(tensors, to: path) }
        #expect(error == TensorFileError(file: path, tensor: name, reason: reason))
        #expect(try readBytes(path) == [1, 2, 3])
      }
    }
    // Names that only Swift takes for equal are two names.
    try withTemporaryFolder { folder in
      try SafetensorsFile.write([("\u{E9}", one), ("e\u{301}", one)], to: folder + "/x")
      #expect(try SafetensorsFile(path: folder + "/x").entries.count == 2)
    }
  }

  @Test func `A place that cannot be written to gives an error and stays as it is`() throws {
    try withTemporaryFolder { (folder) throws in
      func reason(_ path: String) -> TensorFileError.Reason? {
        failure { () throws(TensorFileError) in try SafetensorsFile.write([], to: path) }
      }
      #expect(reason(folder + "/none/x") == .cannotWrite(code: ENOENT))
      #expect(reason(folder) == .notARegularFile)
      #expect(reason("/dev/null") == .notARegularFile)
      #expect(reason("") == .invalidPath)
      #expect(reason(folder + "/a\0b") == .invalidPath)
      #expect(try FileManager.default.contentsOfDirectory(atPath: folder).isEmpty)
    }
  }

  @Test func `A file that is replaced keeps its permissions, and its readers keep what they read`() throws {
    try withTemporaryFolder { folder in
      let path = folder + "/x"
      try SafetensorsFile.write([("a", .float32(Tensor(repeating: 1, shape: [3])))], to: path)
      chmod(path, 0o600)
      let old = try SafetensorsFile(path: path)
      try SafetensorsFile.write([("a", .float32(Tensor(repeating: 2, shape: [3])))], to: path)
      #expect(try old.tensor(named: "a") == Tensor(repeating: 1, shape: [3]))
      #expect(try SafetensorsFile(path: path).tensor(named: "a") == Tensor(repeating: 2, shape: [3]))
      let attributes = try FileManager.default.attributesOfItem(atPath: path)
      #expect(attributes[.posixPermissions] as? Int == 0o600)
    }
  }
}
