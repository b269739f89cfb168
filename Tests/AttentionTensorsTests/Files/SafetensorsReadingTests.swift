import AttentionTensors
import Foundation
import Testing

/// Files that the reference implementation wrote, against their values.
struct SafetensorsReadingTests {
  static let floats: [Double] = [-1.5, -0.0, 0.1, 3, .infinity, 1e-7]

  private let types: SafetensorsFile
  init() throws { types = try SafetensorsFile(path: fixture("types.safetensors")) }

  @Test func `Entries come in the order of their data and cover the file`() throws {
    #expect(types.entries.count == 14)
    #expect(types.metadata.isEmpty)
    var end = types.entries[0].byteRange.lowerBound
    for entry in types.entries {
      #expect(entry.name == entry.type.rawValue)
      #expect(entry.shape == [2, 3])
      #expect(entry.byteRange.lowerBound == end)
      #expect(entry.byteRange.count == 6 * entry.type.bitCount / 8)
      #expect(types.entry(named: entry.name) == entry)
      end = entry.byteRange.upperBound
    }
    #expect(try end == readBytes(types.path).count)
  }

  @Test func `Floats of 32 bits are read as they are`() throws {
    #expect(try bits(types.tensor(named: "F32")) == Self.floats.map { Float($0).bitPattern })
    #expect(try types.tensor(named: "F32").shape == [2, 3])
  }

  @Test func `Floats of 16 bits are widened`() throws {
    #expect(try types.tensor(named: "F16").scalars == [-1.5, -0.0, 0.0999755859375, 3, .infinity, 0x1p-23])
    #expect(try types.tensor(named: "BF16").scalars == [-1.5, -0.0, 0.10009765625, 3, .infinity, 0x1.AEp-24])
    #expect(try types.tensor(named: "F16").scalars[1].sign == .minus)
  }

  @Test func `Floats of 64 bits are read as doubles, and rounded only on request`() throws {
    let (shape, values) = try types.doubles(named: "F64")
    #expect(shape == [2, 3])
    #expect(values.map(\.bitPattern) == Self.floats.map(\.bitPattern))
    #expect(
      failure { () throws(TensorFileError) in try types.tensor(named: "F64") }
        == .wrongType(found: "F64", expected: "a float of 16 or 32 bits"))
    #expect(try bits(types.tensorRoundedToFloat32(named: "F64")) == bits(types.tensor(named: "F32")))
    #expect(try types.tensorRoundedToFloat32(named: "I16").scalars == [-32768, 0, 1, 2, 77, 32767])
    #expect(try types.tensorRoundedToFloat32(named: "U64").scalars.last == 0x1p64)
  }

  @Test func `Integers of every width are read`() throws {
    func limits<T: FixedWidthInteger>(_: T.Type) -> [Int] { [Int(T.min), 0, 1, 2, 77, Int(T.max)] }
    #expect(try types.integers(named: "I8").values == limits(Int8.self))
    #expect(try types.integers(named: "U8").values == limits(UInt8.self))
    #expect(try types.integers(named: "I16").values == limits(Int16.self))
    #expect(try types.integers(named: "U16").values == limits(UInt16.self))
    #expect(try types.integers(named: "I32").values == limits(Int32.self))
    #expect(try types.integers(named: "U32").values == limits(UInt32.self))
    #expect(try types.integers(named: "I64").values == limits(Int64.self))
    #expect(try types.integers(named: "I64").shape == [2, 3])
    // 2⁶⁴ − 1 is no `Int`.
    #expect(failure { () throws(TensorFileError) in try types.integers(named: "U64") } == .integerOutOfRange(index: 5))
  }

  @Test func `Truth values are read`() throws {
    let expected = BooleanTensor([true, false, true, false, false, true], shape: [2, 3])
    #expect(try types.booleanTensor(named: "BOOL") == expected)
  }

  @Test func `A wrong element type is an error, and bytes are always there`() throws {
    #expect(
      failure { () throws(TensorFileError) in try types.booleanTensor(named: "U8") }
        == .wrongType(found: "U8", expected: "a truth value"))
    #expect(
      failure { () throws(TensorFileError) in try types.integers(named: "BOOL") }
        == .wrongType(found: "BOOL", expected: "an integer"))
    #expect(
      failure { () throws(TensorFileError) in try types.doubles(named: "F32") }
        == .wrongType(found: "F32", expected: "a float of 64 bits"))
    #expect(
      failure { () throws(TensorFileError) in try types.tensorRoundedToFloat32(named: "F8_E4M3") }
        == .wrongType(found: "F8_E4M3", expected: "a number"))
    #expect(try types.bytes(named: "F8_E4M3") == [0, 1, 2, 3, 4, 5])
  }

  @Test func `A missing tensor is an error that names it`() throws {
    #expect(types.entry(named: "x") == nil)
    let error = #expect(throws: TensorFileError.self) { try types.tensor(named: "x") }
    #expect(error == TensorFileError(file: types.path, tensor: "x", reason: .missingTensor))
  }

  @Test func `Names are compared by bytes, and may be anything`() throws {
    let file = try SafetensorsFile(path: fixture("names.safetensors"))
    #expect(file.metadata == ["format \"é\"\n": "pt 層"])
    #expect(try file.tensor(named: "scalar") == Tensor([2.5], shape: []))
    #expect(try file.tensor(named: "empty") == Tensor(zeros: [0]))
    #expect(try file.tensor(named: "empty matrix") == Tensor(zeros: [3, 0]))
    #expect(try file.tensor(named: "five axes") == Tensor((0..<12).map(Float.init), shape: [1, 3, 1, 2, 2]))
    let names = ["", "層.ünï😀", "\u{E9}", "e\u{301}", "quote\" backslash\\ newline\n nul\0"]
    for (index, name) in names.enumerated() {
      #expect(try file.tensor(named: name).scalars == [Float(index + 1)])
    }
  }

  @Test func `Data at odd positions are read`() throws {
    let file = try SafetensorsFile(path: fixture("unaligned.safetensors"))
    #expect(file.entry(named: "values")!.byteRange.lowerBound % 4 != 0)
    #expect(try file.tensor(named: "values").scalars == [-0.5, 0.5, 1.5, 2.5, 3.5])
    #expect(try file.booleanTensor(named: "flag") == BooleanTensor([true], shape: [1]))
  }

  @Test func `A file without tensors is read`() throws {
    #expect(try SafetensorsFile(path: fixture("nothing.safetensors")).entries.isEmpty)
  }

  @Test func `Many tasks read one file at once`() async throws {
    let file = types
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for index in 0..<64 {
        group.addTask {
          for _ in 0..<50 {
            let name = file.entries[index % file.entries.count].name
            guard try file.bytes(named: name).count == file.entry(named: name)!.byteRange.count,
              try file.tensor(named: "F16").scalars[3] == 3, try file.doubles(named: "F64").values[2] == 0.1
            else { return false }
          }
          return true
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
  }

  @Test func `Large tensors are converted over all their pieces`() throws {
    let values = (0..<100_001).map { Float($0 % 2048) - 1024 }
    let data = values.flatMap { value in
      let bits = half(fromFloat: value)
      return [UInt8(truncatingIfNeeded: bits), UInt8(truncatingIfNeeded: bits >> 8)]
    }
    let header = #"{"x":{"dtype":"F16","shape":[100001],"data_offsets":[0,200002]}}"#
    try withTemporaryFile(safetensorsBytes(header, data: data)) { (path) throws in
      #expect(try SafetensorsFile(path: path).tensor(named: "x").scalars == values)
    }
  }
}
