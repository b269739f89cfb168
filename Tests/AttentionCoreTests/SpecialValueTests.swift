import Attention
import AttentionBenchmarks
import Testing

/// NaN and infinities: behind a mask they change nothing, in sight they propagate as in the formula.
@Suite struct SpecialValueTests {
  static let poisons: [Float] = [.nan, .infinity, -.infinity]

  /// For each mask, poisons one key position after another: the rows that do not see it keep their bits, and the rows
  /// that do agree with the float64 formula.
  @Test(arguments: AttentionCase.kinds(queries: 9, keys: 13).map(\.name), paths)
  func poisonStaysBehindTheMask(_ name: String, _ path: AttentionPath) throws {
    let mask = try #require(AttentionCase.kinds(queries: 9, keys: 13).first { $0.name == name }).mask
    let testCase = AttentionCase(name: name, heads: 2, queries: 9, keys: 13, keyWidth: 5, valueWidth: 3, mask: mask)
    let (query, key, value) = testCase.operands
    let clean = scaledDotProductAttention(
      query: query, key: key, value: value, mask: mask, options: .init(path: path), returning: [.logSumExp, .weights])
    let visibleRows = ReferenceAttention(query: query, key: key, value: value, mask: mask).allRows
    for position in stride(from: 0, to: 13, by: 3) {
      for (index, poison) in Self.poisons.enumerated() {
        // Keys, values, or both.
        let (badKey, badValue) = (
          index == 1 ? key : key.poisoned(poison, row: position),
          index == 2 ? value : value.poisoned(poison, row: position)
        )
        let result = scaledDotProductAttention(
          query: query, key: badKey, value: badValue, mask: mask, options: .init(path: path),
          returning: [.logSumExp, .weights])
        let expected = ReferenceAttention(query: query, key: badKey, value: badValue, mask: mask).allRows
        #expect(compare(result, with: expected).mismatch == nil, "\(poison) at \(position)")
        for b in 0..<2 {
          for h in 0..<2 {
            for i in 0..<9 where visibleRows[b][h][i].scores[.biased]![position] == -.infinity {
              for column in 0..<3 {
                #expect(result.output[b, h, i, column].bitPattern == clean.output[b, h, i, column].bitPattern)
              }
              #expect(result.logSumExp![b, h, i].bitPattern == clean.logSumExp![b, h, i].bitPattern)
            }
          }
        }
      }
    }
  }

  /// So many queries that their work is shared out, and not one key to share.
  @Test(arguments: paths.map(\.rawValue), [2, 8])
  func manyQueriesWithoutKeys(_ name: String, threads: Int) async {
    await #expect(processExitsWith: .success) { [name, threads] in
      Engine.setThreadCount(threads)
      let path = try #require(AttentionPath(rawValue: name))
      let query = Tensor(repeating: 1, shape: [1, 1, 8192, 64])
      for (keys, mask) in [(0, AttentionMask.none), (0, .causal(.end)), (100, .keyLengths([0]))] {
        let key = Tensor(repeating: 1, shape: [1, 1, keys, 64])
        let result = scaledDotProductAttention(
          query: query, key: key, value: key, mask: mask, options: .init(path: path), returning: .logSumExp)
        #expect(result.output.scalars.allSatisfy { $0 == 0 })
        #expect(result.logSumExp!.scalars.allSatisfy { $0 == -.infinity })
      }
      let nothing = Tensor(zeros: [1, 1, 0, 64])
      let slice = partialAttention(query: query, key: nothing, value: nothing, positions: 0..<0, keyCount: 100)
      #expect(slice.finished().output.scalars.allSatisfy { $0 == 0 })
    }
  }

  @Test(arguments: paths)
  func visibleScoresOfMinusInfinity(_ path: AttentionPath) {
    // −∞ in one key gives it a weight of 0; in all keys, 0/0.
    let query = Tensor(repeating: 1, shape: [1, 1, 2, 4])
    var key = Tensor(repeating: 1, shape: [1, 1, 3, 4])
    let value = Tensor([1, 2, 4], shape: [1, 1, 3, 1])
    for column in 0..<4 { key[0, 0, 1, column] = -.infinity }
    let one = scaledDotProductAttention(query: query, key: key, value: value, options: .init(path: path))
    #expect(one.scalars == [2.5, 2.5])
    for row in 0..<3 { for column in 0..<4 { key[0, 0, row, column] = -.infinity } }
    let all = scaledDotProductAttention(
      query: query, key: key, value: value, options: .init(path: path), returning: [.logSumExp, .weights])
    #expect(all.output.scalars.allSatisfy { $0.isNaN })
    #expect(all.weights!.scalars.allSatisfy { $0.isNaN })
    #expect(all.logSumExp!.scalars == [-.infinity, -.infinity])
  }

  @Test(arguments: paths)
  func zeroScaleKeepsNaN(_ path: AttentionPath) {
    var key = Tensor(repeating: 1, shape: [1, 1, 3, 4])
    key[0, 0, 1, 2] = .nan
    let ones = Tensor(repeating: 1, shape: [1, 1, 3, 4])
    let output = scaledDotProductAttention(query: ones, key: key, value: ones, options: .init(scale: 0, path: path))
    #expect(output.scalars.allSatisfy { $0.isNaN })
  }

  @Test(arguments: paths)
  func aLaterBiasDoesNotReviveAMaskedKey(_ path: AttentionPath) {
    let ones = Tensor(repeating: 1, shape: [1, 1, 2, 4])
    let hidden = AttentionMask.bias(Tensor([-.infinity, 0], shape: [2]))
    for revival in [Float.infinity, .nan] {
      let mask = hidden & .bias(Tensor([revival, 0], shape: [2]))
      let value = Tensor([7, 3], shape: [1, 1, 2, 1])
      let output = scaledDotProductAttention(
        query: ones, key: ones, value: value, mask: mask, options: .init(path: path))
      #expect(output.scalars == [3, 3])
    }
  }

  /// Biases are summed before they meet the scores: large ones cancel, and the lowest float twice is not −∞.
  @Test(arguments: paths)
  func largeBiasesCancel(_ path: AttentionPath) {
    let testCase = AttentionCase(name: "biases")
    let (query, key, value) = testCase.operands
    func attend(_ mask: AttentionMask) -> Tensor {
      scaledDotProductAttention(query: query, key: key, value: value, mask: mask, options: .init(path: path))
    }
    func bias(_ value: Float) -> AttentionMask { .bias(Tensor(repeating: value, shape: [7])) }
    for large in [Float(1e6), 1e8, 3e38] {
      #expect(attend(bias(large) & bias(-large)).hasBits(of: attend(bias(0))), "\(large)")
    }
    let lowest = -Float.greatestFiniteMagnitude
    #expect(attend(bias(lowest) & bias(lowest)).scalars.allSatisfy { $0.isFinite })
  }

  @Test(arguments: paths)
  func largeValuesDoNotOverflow(_ path: AttentionPath) {
    // The weights are normalised before they meet the values: 3e38 stays 3e38.
    let ones = Tensor(repeating: 1, shape: [1, 1, 40, 4])
    let value = Tensor(repeating: 3e38, shape: [1, 1, 40, 2])
    let output = scaledDotProductAttention(query: ones, key: ones, value: value, options: .init(path: path))
    #expect(output.scalars.allSatisfy { abs($0 / 3e38 - 1) < 1e-5 })
  }
}

extension Tensor {
  /// A copy whose rows at one position of axis 2 hold `poison`, in every sequence and head.
  func poisoned(_ poison: Float, row: Int) -> Tensor {
    var copy = self
    let (rows, width) = (shape[2], shape[3])
    copy.withUnsafeMutableBufferPointer { buffer in
      for head in 0..<shape[0] * shape[1] {
        for column in 0..<width { buffer[(head * rows + row) * width + column] = poison }
      }
    }
    return copy
  }
}
