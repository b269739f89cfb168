import Attention
import AttentionBenchmarks
import Foundation
import Testing

/// Inputs: what a case gives, what a file gives, and their parts.
@Suite("Inputs of the benchmark")
struct AttentionInputTests {
  @Test func aCaseGivesItsShapesAndTheSameNumbersEachTime() throws {
    let one = try BenchmarkCase(parsing: "b2h4q3k5d6-kv2-v7-window2-softcap9")
    let input = AttentionInput(one, seed: 1)
    #expect(
      input.query.shape == [2, 4, 3, 6] && input.key.shape == [2, 2, 5, 6] && input.value.shape == [2, 2, 5, 7])
    #expect(input.window == 2 && input.softcap == 9 && input.name == one.description)
    #expect(AttentionInput(one, seed: 1).query == input.query)
    #expect(AttentionInput(one, seed: 2).query != input.query)
  }

  @Test(arguments: ["h1q5k9d2-causal", "h1q9k5d2-causal", "h1q6d2-window3", "h1q4k6d2-window1", "h1q3d2"])
  func theMaskIsWhatTheHelpSays(text: String) throws {
    let one = try BenchmarkCase(parsing: text)
    let input = AttentionInput(one, seed: 0)
    var cells = 0
    for query in 0..<one.queryLength {
      let position = query + one.keyLength - one.queryLength
      cells += (0..<one.keyLength).count { key in
        (!one.isCausal || key <= position) && (one.window.map { key > position - $0 } ?? true)
      }
    }
    #expect(input.plan(.naive).usefulOperations == Double(cells * 2 * (2 + 2)))
  }

  @Test func theReferenceAgreesWithAHandComputedRow() throws {
    // Two keys with scores ln 3 and 0: weights 3/4 and 1/4.
    let input = AttentionInput(
      name: "hand", query: Tensor([1], shape: [1, 1, 1, 1]), key: Tensor([Float(log(3.0)), 0], shape: [1, 1, 2, 1]),
      value: Tensor([4, 8], shape: [1, 1, 2, 1]))
    let (error, _, rows) = Verification.error(of: Tensor([5], shape: [1, 1, 1, 1]), input, seed: 0)
    #expect(rows == 1 && error < 1e-6)
    let (wrong, _, _) = Verification.error(of: Tensor([5.5], shape: [1, 1, 1, 1]), input, seed: 0)
    #expect(abs(wrong - 0.5) < 1e-6)
    let (lost, _, _) = Verification.error(of: Tensor([.nan], shape: [1, 1, 1, 1]), input, seed: 0)
    #expect(lost == .infinity)
  }

  @Test(arguments: ["b3h8q6k9d4-kv4-causal", "b2h6q5d4-window3", "b1h4q8d4-kv1"], AttentionPath.allCases)
  func partsComputeTheSameRows(text: String, path: AttentionPath) throws {
    let input = AttentionInput(try BenchmarkCase(parsing: text), seed: 5)
    let whole = input.run(path)
    for fraction in [1, 0.5, 0.2, 0.01] {
      for queryFraction in [1, 0.02] {
        let part = input.part(fraction: fraction, queryFraction: queryFraction, threads: 2)
        #expect((1...input.batch).contains(part.sequences) && (1...input.heads).contains(part.heads))
        #expect((1...input.queryLength).contains(part.queries))
        let piece = input.cut(to: part)
        let found = piece.run(path)
        #expect(found.shape == [part.sequences, part.heads, part.queries, input.valueWidth])
        for sequence in 0..<part.sequences {
          for head in 0..<part.heads {
            for query in 0..<part.queries {
              let expected = whole[sequence, head, input.queryLength - part.queries + query, 1]
              #expect(abs(found[sequence, head, query, 1] - expected) < 1e-5)
            }
          }
        }
      }
    }
  }

  @Test func fewerHeadsAreWholeGroupsAndThreads() throws {
    let input = AttentionInput(try BenchmarkCase(parsing: "b4h12q4d4-kv4"), seed: 0)
    #expect(input.part(fraction: 0.5, queryFraction: 1, threads: 2) == .init(sequences: 2, heads: 12, queries: 4))
    #expect(input.part(fraction: 0.2, queryFraction: 1, threads: 2) == .init(sequences: 1, heads: 6, queries: 4))
    #expect(input.part(fraction: 0.001, queryFraction: 1, threads: 2) == .init(sequences: 1, heads: 2, queries: 4))
    #expect(input.part(fraction: 0.001, queryFraction: 0.02, threads: 2).queries == 1)
  }

  @Test func theSampleIsARealLayer() throws {
    let input = try AttentionInput.sample()
    #expect(input.name == "minilm-layer3" && input.heads == 12 && input.keyWidth == 32)
    #expect(input.queryLength >= 100 && input.query.shape == input.key.shape)
  }

  @Test func lengthsAndMaskComeFromTheFile() throws {
    try withInput(lengths: [3, 1], mask: ([1, 1, 2, 3], [true, false, true, true, true, true])) { path in
      let input = try AttentionInput(file: path)
      #expect(input.keyLengths == [3, 1] && input.allowed?.shape == [1, 1, 2, 3])
      // Sequence 0: keys 0 and 2 for query 0, all for query 1; sequence 1: key 0 for both.
      #expect(input.plan(.naive).usefulOperations == Double((2 + 3 + 1 + 1) * 2 * (4 + 4) * 2))
      let piece = input.cut(to: .init(sequences: 1, heads: 1, queries: 1))
      #expect(piece.keyLengths == [3] && piece.allowed == BooleanTensor([true, true, true], shape: [1, 1, 1, 3]))
    }
  }

  @Test(arguments: [
    ([3], "lengths is [1]; expected [2]"), ([1, 2, 3], "lengths is [3]; expected [2]"), ([], "lengths is [0]"),
    ([3, 4], "lengths[1] is 4; expected 0 to 3"), ([-1, 0], "lengths[0] is -1; expected 0 to 3"),
  ])
  func wrongLengths(lengths: [Int64], problem: String) throws {
    try withInput(lengths: lengths) { path in
      let error = #expect(throws: BenchmarkFileError.self) { try AttentionInput(file: path) }
      #expect(error?.exitCode == 65 && error?.description.contains(problem) == true, "\(String(describing: error))")
    }
  }

  @Test("The shape of lengths is looked at before what it holds")
  func lengthsOfAnotherShapeAndType() throws {
    var tensors = Self.shapes.map { ($0.0, "F32", $0.1, Data(count: 4 * $0.1.reduce(1, *))) }
    tensors.append(("lengths", "F32", [2, 1], Data(count: 8)))
    try withTemporaryFile { path in
      try writeSafetensors(tensors, to: path)
      let error = #expect(throws: BenchmarkFileError.self) { try AttentionInput(file: path) }
      #expect(error?.description.contains("lengths is [2, 1]; expected [2]") == true)
    }
  }

  @Test(
    "Sequences without keys are no error, even all of them", .exclusiveThreadCount,
    arguments: [[0, 3], [3, 0], [0, 0]])
  func emptySequences(lengths: [Int64]) throws {
    try withInput(lengths: lengths) { path in
      let input = try AttentionInput(file: path)
      #expect(input.keyLengths == lengths.map(Int.init))
      let report = AttentionBenchmark(inputs: [input], repeats: 1).run().report
      #expect(report.rows.count == 3)
      for row in report.rows {
        #expect(row.isRepeatable && row.maximumError == 0 && row.gflops.isFinite && row.faults.isEmpty)
      }
    }
  }

  @Test(arguments: [
    ("Lq", [2, 2, 0, 4], [2, 2, 3, 4], [2, 2, 3, 4]), ("Lk", [2, 2, 2, 4], [2, 2, 0, 4], [2, 2, 0, 4]),
    ("B", [0, 2, 2, 4], [0, 2, 3, 4], [0, 2, 3, 4]), ("Hkv", [2, 2, 2, 4], [2, 0, 3, 4], [2, 0, 3, 4]),
    ("dv", [2, 2, 2, 4], [2, 2, 3, 4], [2, 2, 3, 0]),
  ])
  func nothingToMeasure(size: String, q: [Int], k: [Int], v: [Int]) throws {
    try withTemporaryFile { path in
      try writeSafetensors(
        [("q", q), ("k", k), ("v", v)].map { ($0.0, "F32", $0.1, Data(count: 4 * $0.1.reduce(1, *))) }, to: path)
      let error = #expect(throws: BenchmarkFileError.self) { try AttentionInput(file: path) }
      #expect(
        error?.description.contains("there is nothing to measure where \(size) is 0") == true,
        "\(String(describing: error))")
    }
  }

  @Test(arguments: [
    ([0x93] + Array("NUMPY\u{1}\u{0}v\u{0}{'descr': '<f4'}".utf8), "it is an .npy file"),
    (Array("PK\u{3}\u{4}\u{14}\u{0}\u{0}\u{0}\u{8}\u{0}".utf8), "it is a zip archive"),
  ])
  func otherFormats(bytes: [UInt8], problem: String) throws {
    try withTemporaryFile { path in
      try Data(bytes).write(to: URL(fileURLWithPath: path))
      let error = #expect(throws: BenchmarkFileError.self) { try AttentionInput(file: path) }
      #expect(error?.exitCode == 65)
      #expect(error?.description.contains(problem) == true, "\(String(describing: error))")
      #expect(error?.description.contains("expected a safetensors file with tensors q, k and v") == true)
    }
  }

  @Test(arguments: [[2, 2], [4], [1, 1, 1, 2, 3], [3, 1, 2, 3]])
  func wrongMasks(shape: [Int]) throws {
    let cells = [Bool](repeating: true, count: shape.reduce(1, *))
    try withInput(mask: (shape, cells)) { path in
      #expect(throws: BenchmarkFileError.self) { try AttentionInput(file: path) }
    }
  }

  @Test(arguments: [
    [("q", [2, 2, 2, 4]), ("k", [2, 2, 3, 4])], [("q", [2, 2, 4]), ("k", [2, 2, 3, 4]), ("v", [2, 2, 3, 4])],
    [("q", [2, 2, 2, 4]), ("k", [2, 2, 3, 5]), ("v", [2, 2, 3, 4])],
    [("q", [2, 3, 2, 4]), ("k", [2, 2, 3, 4]), ("v", [2, 2, 3, 4])],
    [("q", [2, 2, 0, 4]), ("k", [2, 2, 3, 4]), ("v", [2, 2, 3, 4])],
    [("q", [2, 2, 2, 4]), ("k", [2, 0, 3, 4]), ("v", [2, 0, 3, 4])],
  ])
  func wrongShapes(tensors: [(String, [Int])]) throws {
    try withTemporaryFile { path in
      try writeSafetensors(tensors.map { ($0.0, "F32", $0.1, Data(count: 4 * $0.1.reduce(1, *))) }, to: path)
      let error = #expect(throws: BenchmarkFileError.self) { try AttentionInput(file: path) }
      #expect(error?.exitCode == 65 && error?.description.contains(where: \.isNewline) == false)
    }
  }

  private static let shapes = [("q", [2, 2, 2, 4]), ("k", [2, 2, 3, 4]), ("v", [2, 2, 3, 4])]

  private func withInput(
    lengths: [Int64]? = nil, mask: (shape: [Int], cells: [Bool])? = nil, _ body: (String) throws -> Void
  ) throws {
    var tensors = Self.shapes.map { ($0.0, "F32", $0.1, Data(count: 4 * $0.1.reduce(1, *))) }
    if let lengths {
      tensors.append(("lengths", "I64", [lengths.count], lengths.withUnsafeBytes { Data($0) }))
    }
    if let mask { tensors.append(("mask", "BOOL", mask.shape, Data(mask.cells.map { $0 ? 1 : 0 }))) }
    try withTemporaryFile { path in
      try writeSafetensors(tensors, to: path)
      try body(path)
    }
  }
}

/// The format written by hand, so that the reader is not tested against its own writer.
private func writeSafetensors(_ tensors: [(name: String, type: String, shape: [Int], data: Data)], to path: String)
  throws
{
  var header: [String] = []
  var body = Data()
  for tensor in tensors {
    let range = "[\(body.count), \(body.count + tensor.data.count)]"
    header.append(
      "\"\(tensor.name)\": {\"dtype\": \"\(tensor.type)\", \"shape\": \(tensor.shape), \"data_offsets\": \(range)}")
    body += tensor.data
  }
  let text = Data("{\(header.joined(separator: ", "))}".utf8)
  let length = withUnsafeBytes(of: UInt64(text.count).littleEndian) { Data($0) }
  try (length + text + body).write(to: URL(fileURLWithPath: path))
}
