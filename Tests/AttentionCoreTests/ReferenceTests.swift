import Attention
import AttentionBenchmarks
import Testing

/// Every case over every path against float64.
@Suite struct ReferenceTests {
  @Test(arguments: AttentionCase.all)
  func pathsAgreeWithReference(_ testCase: AttentionCase) {
    let (query, key, value) = testCase.operands
    let reference = ReferenceAttention(
      query: query, key: key, value: value, mask: testCase.mask, options: testCase.options)
    let rows = reference.allRows
    var naive: Difference?
    for path in paths {
      let result = scaledDotProductAttention(
        query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path), returning: allExtras)
      #expect(result.output.shape == [testCase.batch, testCase.heads, testCase.queries, testCase.valueWidth])
      #expect(result.logSumExp?.shape == [testCase.batch, testCase.heads, testCase.queries])
      #expect(result.weights?.shape == [testCase.batch, testCase.heads, testCase.queries, testCase.keys])
      let difference = compare(result, with: rows)
      #expect(difference.mismatch == nil, "\(path)")
      if difference.largestScore <= 64 { #expect(difference.excess <= 0, "\(path)") }
      if path == .naive {
        naive = difference
      } else if let naive {
        // Of weights, the few rows with two nearly equal largest scores decide, and chance with them: `scoresFarPast64`.
        for (part, error) in difference.largest
        where part == .output || part == .logSumExp && difference.largestScore > 64 {
          let bound = 2 * (naive.largest[part] ?? 0) + 1e-7
          #expect(error <= bound, "\(path): \(part) \(error), at most \(bound)")
        }
      }

      // Asking for extras changes no bit of the output.
      let alone = scaledDotProductAttention(
        query: query, key: key, value: value, mask: testCase.mask, options: testCase.on(path))
      #expect(alone.hasBits(of: result.output), "\(path)")
    }
  }

  /// Scores about ±800, where float32 itself misses the first bound: every part of the result, over so many rows that
  /// the largest error is no accident of one.
  @Test func scoresFarPast64() throws {
    let testCase = AttentionCase(name: "scores of ±800", queries: 400, keys: 200, magnitude: 12)
    let (query, key, value) = testCase.operands
    let rows = ReferenceAttention(query: query, key: key, value: value).allRows
    let differences = paths.map { path in
      compare(
        scaledDotProductAttention(
          query: query, key: key, value: value, options: testCase.on(path), returning: allExtras), with: rows)
    }
    let naive = differences[try #require(paths.firstIndex(of: .naive))]
    #expect(naive.largestScore > 700)
    for (path, difference) in zip(paths, differences) {
      #expect(difference.mismatch == nil, "\(path)")
      #expect(difference.largest.count == 3)
      for (part, error) in difference.largest {
        let bound = try 2 * #require(naive.largest[part]) + 1e-7
        #expect(error <= bound, "\(path): \(part) \(error), at most \(bound)")
      }
    }
  }

  @Test(arguments: paths)
  func allInputs256(_ path: AttentionPath) {
    // Equal scores of 256² · 16 / 4 give equal weights, and the mean of the values is exact.
    let same = Tensor(repeating: 256, shape: [1, 1, 9, 16])
    let output = scaledDotProductAttention(query: same, key: same, value: same, options: .init(path: path))
    #expect(output.scalars.allSatisfy { abs($0 - 256) <= 256 * 1e-6 })
  }

  @Test(arguments: paths)
  func rowsThatSeeNothingAreZero(_ path: AttentionPath) {
    let ones = Tensor(repeating: 1, shape: [1, 1, 5, 4])
    let keys = Tensor(repeating: 1, shape: [1, 1, 3, 4])
    let result = scaledDotProductAttention(
      query: ones, key: keys, value: keys, mask: .causal(.end), options: .init(path: path),
      returning: [.logSumExp, .weights])
    // Lq = 5, Lk = 3: the first two queries stand before the first key.
    #expect(Array(result.output.scalars[..<8]) == [Float](repeating: 0, count: 8))
    #expect(Array(result.weights!.scalars[..<6]) == [Float](repeating: 0, count: 6))
    #expect(Array(result.logSumExp!.scalars[..<2]) == [-.infinity, -.infinity])
    #expect(result.output.scalars[8...].allSatisfy { abs($0 - 1) < 1e-6 })
  }

  @Test(arguments: paths)
  func noKeysGiveZeros(_ path: AttentionPath) {
    let output = scaledDotProductAttention(
      query: Tensor(repeating: 1, shape: [2, 3, 4, 5]), key: Tensor(zeros: [2, 3, 0, 5]),
      value: Tensor(zeros: [2, 3, 0, 6]), options: .init(path: path))
    #expect(output == Tensor(zeros: [2, 3, 4, 6]))
  }
}
