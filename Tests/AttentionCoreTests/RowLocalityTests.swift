import Attention
import AttentionBenchmarks
import Testing

/// What a row does not see, and how the rows around it are computed, is not its concern; over several blocks of rows and
/// keys, where a path could go wrong at the seams.
@Suite struct RowLocalityTests {
  private static let length = 200
  /// Each kind; of dense ones, a few ways to broadcast.
  private static let kinds = AttentionCase.kinds(queries: length, keys: length).filter { kind in
    !kind.name.contains("[")
      || [[length], [length, length], [length, 1], [2, 1, length, length]].contains { kind.name.hasSuffix("\($0)") }
  }

  /// Poison at keys in several blocks: rows that do not see them keep the bits they have over zeros.
  @Test(arguments: kinds.map(\.name), paths.filter { $0 != .naive })
  func poisonOverSeveralBlocks(_ name: String, _ path: AttentionPath) throws {
    let length = Self.length
    let mask = try #require(Self.kinds.first { $0.name == name }).mask
    let testCase = AttentionCase(name: name, queries: length, keys: length, keyWidth: 8, valueWidth: 5, mask: mask)
    let (query, key, value) = testCase.operands
    let options = AttentionOptions(path: path)
    for position in [0, 130] {
      // A linear bias hides nothing, but makes far weights 0.
      let visible =
        name.hasPrefix("linear bias")
        ? [Bool](repeating: true, count: 4 * length) : Self.rowsThatSee(position, mask: mask)
      let (zeroKey, zeroValue) = (key.poisoned(0, row: position), value.poisoned(0, row: position))
      let clean = scaledDotProductAttention(
        query: query, key: zeroKey, value: zeroValue, mask: mask, options: options)
      for poison in [Float.nan, .infinity] {
        let poisoned = scaledDotProductAttention(
          query: query, key: zeroKey.poisoned(poison, row: position), value: zeroValue.poisoned(poison, row: position),
          mask: mask, options: options)
        let wrong = visible.indices.count { row in
          !visible[row] && !poisoned.row(row).hasBits(of: clean.row(row))
        }
        #expect(wrong == 0, "\(poison) at \(position)")
        let finite = visible.indices.count { row in
          visible[row] && poisoned.row(row).scalars.contains { !$0.isNaN }
        }
        #expect(finite == 0, "\(poison) at \(position)")
      }
    }
  }

  /// For each row of `[2, 2, length]`, whether it sees a key: with equal scores, the key's weight is not 0.
  private static func rowsThatSee(_ position: Int, mask: AttentionMask) -> [Bool] {
    let zeros = Tensor(zeros: [2, 2, length, 1])
    let output = scaledDotProductAttention(
      query: zeros, key: zeros, value: zeros.poisoned(1, row: position), mask: mask, options: .init(path: .naive))
    return output.scalars.map { $0 > 0 }
  }

  @Test(arguments: paths)
  func aQueryThatIsNotFiniteKeepsToItsRow(_ path: AttentionPath) {
    let testCase = AttentionCase(name: "query", queries: 150, keys: 200, mask: .causal(.end))
    let (query, key, value) = testCase.operands
    let clean = scaledDotProductAttention(
      query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path))
    for poison in SpecialValueTests.poisons {
      let result = scaledDotProductAttention(
        query: query.poisoned(poison, row: 70), key: key, value: value, mask: testCase.mask,
        options: testCase.on(path))
      for row in 0..<600 {
        if row % 150 == 70 {
          #expect(result.row(row).scalars.allSatisfy { $0.isNaN })
        } else {
          #expect(result.row(row).hasBits(of: clean.row(row)))
        }
      }
    }
  }

  /// A prefix of the sequence, chunks of queries, and one query at a time give the rows of the whole.
  /// With equal bits on the fused path, where OpenBLAS has the kernels for it.
  @Test(
    arguments: paths,
    [
      AttentionCase(name: "d 64", heads: 4, queries: 300, keys: 300, keyWidth: 64, valueWidth: 64, mask: .causal(.end)),
      AttentionCase(
        name: "d 40, 24", heads: 4, queries: 300, keys: 300, keyWidth: 40, valueWidth: 24, mask: .causal(.end)),
      AttentionCase(
        name: "window", heads: 2, queries: 300, keys: 300, keyWidth: 32, valueWidth: 32,
        mask: .window(left: 90, right: 0, alignment: .end)),
      AttentionCase(
        name: "d 300", batch: 1, heads: 1, keyValueHeads: 1, queries: 300, keys: 300, keyWidth: 300, valueWidth: 270,
        mask: .causal(.end) & .linearBias(slopes: [0.1], alignment: .end)),
      AttentionCase(
        name: "several segments", batch: 1, heads: 2, keyValueHeads: 1, queries: 300, keys: 2900, keyWidth: 16,
        valueWidth: 16, mask: .causal(.end)),
    ])
  func prefixChunksAndSingleQueriesAgree(_ path: AttentionPath, _ testCase: AttentionCase) {
    let length = testCase.queries
    let past = testCase.keys - length
    let isBitwise =
      path == .naive || (OpenBLAS.hasSmallMatrixKernels && (path == .fused || path == .automatic))
    let (query, key, value) = testCase.operands
    let whole = scaledDotProductAttention(
      query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path))
    for chunk in [1, 7, 64, 129, 300] {
      var rows: [Tensor] = []
      for first in stride(from: 0, to: length, by: chunk) {
        let end = min(length, first + chunk)
        rows.append(
          scaledDotProductAttention(
            query: query.positions(first..<end), key: key.positions(0..<past + end),
            value: value.positions(0..<past + end),
            mask: testCase.mask, options: testCase.on(path)))
      }
      var position = 0
      var differing = 0
      var difference = Difference()
      for part in rows {
        let expected = whole.positions(position..<position + part.shape[2])
        for (index, (actual, wanted)) in zip(part.scalars, expected.scalars).enumerated() {
          difference.add("chunk of \(chunk) at \(position), \(index)", actual, Double(wanted))
        }
        if !part.hasBits(of: expected) { differing += 1 }
        position += part.shape[2]
      }
      #expect(difference.mismatch == nil)
      #expect(difference.excess <= 0)
      if isBitwise { #expect(differing == 0, "of \(rows.count) chunks of \(chunk)") }
    }
  }

  /// The diagonal of `.end` stands where the tensors' lengths put it, however many keys the lengths leave.
  @Test(arguments: paths)
  func keyLengthsDoNotMoveTheDiagonal(_ path: AttentionPath) {
    let (queries, keys) = (9, 13)
    let lengths = AttentionMask.keyLengths([13, 7])
    let bands: [(mask: AttentionMask, sees: (Int, Int) -> Bool)] = [
      (.causal(.end), { $1 <= $0 + 4 }),
      (.window(left: 2, right: 1, alignment: .end), { $1 >= $0 + 2 && $1 <= $0 + 5 }),
    ]
    for band in bands {
      let testCase = AttentionCase(name: "end", queries: queries, keys: keys, mask: band.mask & lengths)
      let cells = (0..<2).flatMap { sequence in
        (0..<queries).flatMap { query in (0..<keys).map { band.sees(query, $0) && $0 < [13, 7][sequence] } }
      }
      let (query, key, value) = testCase.operands
      let byBand = scaledDotProductAttention(
        query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path), returning: allExtras)
      let byCells = scaledDotProductAttention(
        query: query, key: key, value: value, mask: .allowed(BooleanTensor(cells, shape: [2, 1, queries, keys])),
        options: testCase.on(.naive))
      let reference = ReferenceAttention(query: query, key: key, value: value, mask: testCase.mask)
      var difference = compare(byBand, with: reference.allRows)
      for (actual, wanted) in zip(byBand.output.scalars, byCells.scalars) {
        difference.add("cell", actual, Double(wanted))
      }
      #expect(difference.mismatch == nil)
      #expect(difference.excess <= 0)
    }
  }

  /// Extents whose product no integer holds are legal while some extent is 0.
  @Test(arguments: paths)
  func emptyTensorsOfVastExtents(_ path: AttentionPath) {
    let output = scaledDotProductAttention(
      query: Tensor(zeros: [0, 1, .max, .max]), key: Tensor(zeros: [0, 1, 3, .max]),
      value: Tensor(zeros: [0, 1, 3, .max]), options: .init(path: path))
    #expect(output.shape == [0, 1, .max, .max])
    let plan = AttentionPlan(
      queryShape: [0, 1, .max, .max], keyShape: [0, 1, 3, .max], valueShape: [0, 1, 3, .max], options: .init(path: path)
    )
    #expect(plan.usefulOperations == 0)
  }
}

extension Tensor {
  /// One row of `[B, H, L, width]`, counted over sequences and heads.
  fileprivate func row(_ row: Int) -> Tensor {
    withUnsafeBufferPointer { Tensor($0[row * shape[3]..<(row + 1) * shape[3]], shape: [shape[3]]) }
  }

  /// Some positions of axis 2.
  func positions(_ range: Range<Int>) -> Tensor {
    let (heads, length, width) = (shape[0] * shape[1], shape[2], shape[3])
    return withUnsafeBufferPointer { buffer in
      let scalars = (0..<heads).flatMap { head in
        buffer[(head * length + range.lowerBound) * width..<(head * length + range.upperBound) * width]
      }
      return Tensor(scalars, shape: [shape[0], shape[1], range.count, width])
    }
  }
}
