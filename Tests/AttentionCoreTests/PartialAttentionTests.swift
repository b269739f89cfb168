import Attention
import AttentionBenchmarks
import AttentionTestSupport
import Foundation
import Testing

/// Sums over slices of the keys, merged, against one call over all of them.
@Suite(.serialized) struct PartialAttentionTests {
  /// Equal bits where the core promises them, and within the tolerance elsewhere.
  private func expectSame(_ actual: AttentionResult, _ expected: AttentionResult, _ comment: Comment) {
    if OpenBLAS.hasSmallMatrixKernels {
      #expect(actual.output.hasBits(of: expected.output) as Bool, comment)
      #expect(actual.logSumExp!.hasBits(of: expected.logSumExp!) as Bool, comment)
    } else {
      var difference = Difference()
      for (value, wanted) in zip(actual.output.scalars, expected.output.scalars) {
        difference.add("output", value, Double(wanted))
      }
      for (value, wanted) in zip(actual.logSumExp!.scalars, expected.logSumExp!.scalars) {
        difference.add("log-sum-exp", value, Double(wanted))
      }
      #expect(difference.mismatch == nil && difference.excess <= 0, comment)
    }
  }

  // MARK: Bits

  private static let grain = PartialAttention.grain(keyWidth: 16, valueWidth: 16)
  private static let keys = 2 * grain + 260
  private static let kinds = AttentionCase.kinds(queries: 24, keys: keys)

  /// Slices on the grid, merged in order; the first may be longer.
  @Test(arguments: kinds.map(\.name))
  func slicesOnTheGrid(_ name: String) throws {
    let mask = try #require(Self.kinds.first { $0.name == name }).mask
    let testCase = AttentionCase(name: name, queries: 24, keys: Self.keys, mask: mask)
    let whole = testCase.whole
    for cuts in [[Self.grain, 2 * Self.grain], [2 * Self.grain]] {
      expectSame(testCase.merged(cuts), whole, "\(cuts)")
    }
  }

  static let shapes: [AttentionCase] = [
    AttentionCase(
      name: "groups", batch: 1, heads: 6, keyValueHeads: 2, queries: 33, keys: 3 * 1024 + 5, keyWidth: 24,
      valueWidth: 20, mask: .causal(.end) & .linearBias(slopes: [1, 0.5, 0.2, 0.1, 0, 0.01], alignment: .end)),
    AttentionCase(
      name: "few queries, many keys", batch: 1, heads: 2, keyValueHeads: 1, queries: 3, keys: 9000, keyWidth: 32,
      valueWidth: 24, mask: .causal(.end)),
    AttentionCase(
      name: "many queries", batch: 1, heads: 1, keyValueHeads: 1, queries: 700, keys: 2100, keyWidth: 64,
      valueWidth: 64, mask: .window(left: 1300, right: 0, alignment: .end)),
    AttentionCase(
      name: "wide", batch: 1, heads: 2, keyValueHeads: 2, queries: 70, keys: 1100, keyWidth: 300, valueWidth: 270,
      mask: .causal(.end), options: .init(scale: 0.1, softcap: 20)),
  ]

  @Test(.exclusiveThreadCount, arguments: shapes)
  func threadsChangeNoBit(_ testCase: AttentionCase) {
    let grain = PartialAttention.grain(keyWidth: testCase.keyWidth, valueWidth: testCase.valueWidth)
    let cuts = Array(stride(from: grain, to: testCase.keys, by: grain))
    Engine.setThreadCount(1)
    let whole = testCase.whole
    for threads in 1...3 {
      Engine.setThreadCount(threads)
      expectSame(testCase.merged(cuts), whole, "\(threads) threads")
      // One cut in the middle of a block, and no promise but the tolerance against the whole: equal bits by threads.
      let odd = testCase.merged([testCase.keys / 2 + 3])
      Engine.setThreadCount(1)
      let alone = testCase.merged([testCase.keys / 2 + 3])
      #expect(odd.output.hasBits(of: alone.output) as Bool, "\(threads) threads")
    }
  }

  // MARK: Against float64

  /// Cuts anywhere, empty slices among them.
  @Test(arguments: AttentionCase.kinds(queries: 9, keys: 13).map(\.name))
  func slicesOfEveryKind(_ name: String) throws {
    let mask = try #require(AttentionCase.kinds(queries: 9, keys: 13).first { $0.name == name }).mask
    let testCase = AttentionCase(name: name, queries: 9, keys: 13, keyWidth: 5, valueWidth: 3, mask: mask)
    let rows = testCase.reference
    for cuts in [[], [1], [12], [4, 8], [5, 5], [0, 13], Array(1..<13)] {
      let difference = compare(testCase.merged(cuts), with: rows)
      #expect(difference.mismatch == nil && difference.excess <= 0, "\(cuts)")
    }
  }

  static let cut: [(AttentionCase, [Int])] = [
    (
      AttentionCase(
        name: "blocks", heads: 4, keyValueHeads: 2, queries: 50, keys: 700, keyWidth: 24, valueWidth: 20,
        mask: .causal(.end) & .keyLengths([700, 300])), [3, 77, 128, 129, 400, 401]
    ),
    (AttentionCase(name: "in place", queries: 50, keys: 700, keyWidth: 64, valueWidth: 64), [15, 16, 250, 511]),
    (
      AttentionCase(name: "grown segments", batch: 1, queries: 5, keys: 5000, valueWidth: 32, magnitude: 4),
      [1500, 4000]
    ),
    (AttentionCase(name: "dv 0", queries: 5, keys: 20, valueWidth: 0), [7]),
    (AttentionCase(name: "no query", queries: 0, keys: 20), [7]),
    (AttentionCase(name: "no key", queries: 5, keys: 0), [0]),
    (AttentionCase(name: "no sequence", batch: 0), [3]),
  ]

  @Test(arguments: cut)
  func slicesAnywhere(_ testCase: AttentionCase, _ cuts: [Int]) {
    let rows = testCase.reference
    for backwards in [false, true] {
      let difference = compare(testCase.merged(cuts, backwards: backwards), with: rows)
      #expect(difference.mismatch == nil && difference.excess <= 0)
    }
  }

  /// Slices before later keys exist: what a query may see is in them.
  @Test func positionsAndCountByDefault() {
    let testCase = AttentionCase(name: "default", queries: 9, keys: 40, mask: .causal(.start))
    let (query, key, value) = testCase.operands
    let partial = partialAttention(query: query, key: key, value: value, mask: testCase.mask)
    expectSame(partial.finished(), testCase.whole, "all keys")
    let early = partialAttention(
      query: query, key: key.positions(5..<9), value: value.positions(5..<9), positions: 5..<9, mask: testCase.mask)
    let late = partialAttention(
      query: query, key: key.positions(5..<9), value: value.positions(5..<9), positions: 5..<9, keyCount: 40,
      mask: testCase.mask)
    #expect(early.output.hasBits(of: late.output) && early.sum.hasBits(of: late.sum))
  }

  // MARK: Statistics

  @Test func maximaAndSums() {
    let testCase = AttentionCase(name: "sums", queries: 30, keys: 400, mask: .causal(.start), magnitude: 3)
    let (query, key, value) = testCase.operands
    let partial = partialAttention(
      query: query, key: key.positions(20..<400), value: value.positions(20..<400), positions: 20..<400,
      mask: testCase.mask)
    for (index, row) in testCase.reference.flatMap({ $0 }).flatMap({ $0 }).enumerated() {
      let scores = row.scores[.biased]![20...]
      let (maximum, sum) = (Double(partial.maximum.scalars[index]), Double(partial.sum.scalars[index]))
      let largest = scores.max()!
      guard largest.isFinite else {
        #expect(maximum == -.infinity && sum == 0)
        let output = partial.output.scalars[index * 16..<(index + 1) * 16]
        #expect(output.allSatisfy { $0 == 0 })
        continue
      }
      #expect(maximum <= largest + 1e-4 && maximum >= largest - 6.001)
      let expected = scores.reduce(0) { $0 + exp($1 - maximum) }
      #expect(abs(sum / expected - 1) < 1e-4)
    }
  }

  @Test func rowsThatSeeNothingAnywhere() {
    let testCase = AttentionCase(name: "nothing", queries: 30, keys: 20, mask: .causal(.end))
    let result = testCase.merged([5, 12])
    #expect(result.output.positions(0..<10) == Tensor(zeros: [2, 2, 10, 16]))
    #expect(result.logSumExp![0, 0, 9] == -.infinity && result.logSumExp![0, 0, 10].isFinite)
  }

  // MARK: Special values

  /// As for whole calls: rows that do not see the poison keep their bits, others agree with the formula.
  @Test(arguments: AttentionCase.kinds(queries: 9, keys: 13).map(\.name))
  func poisonStaysBehindTheMask(_ name: String) throws {
    let mask = try #require(AttentionCase.kinds(queries: 9, keys: 13).first { $0.name == name }).mask
    let testCase = AttentionCase(name: name, queries: 9, keys: 13, keyWidth: 5, valueWidth: 3, mask: mask)
    let (query, key, value) = testCase.operands
    let cuts = [4, 8]
    let clean = testCase.merged(cuts)
    let visible = testCase.reference
    for position in [0, 4, 6, 12] {
      for (index, poison) in SpecialValueTests.poisons.enumerated() {
        let (badKey, badValue) = (
          index == 1 ? key : key.poisoned(poison, row: position),
          index == 2 ? value : value.poisoned(poison, row: position)
        )
        let result = testCase.merged(cuts, key: badKey, value: badValue)
        let expected = ReferenceAttention(query: query, key: badKey, value: badValue, mask: mask).allRows
        #expect(compare(result, with: expected).mismatch == nil, "\(poison) at \(position)")
        for row in 0..<36 {
          let (b, h, i) = (row / 18, row / 9 % 2, row % 9)
          guard visible[b][h][i].scores[.biased]![position] == -.infinity else { continue }
          for column in 0..<3 {
            #expect(result.output[b, h, i, column].bitPattern == clean.output[b, h, i, column].bitPattern)
          }
          #expect(result.logSumExp![b, h, i].bitPattern == clean.logSumExp![b, h, i].bitPattern)
        }
      }
    }
  }

  /// Rows of memory beside a slice belong to other heads: whatever they hold, they are not read.
  @Test(arguments: [16, 24, 20])
  func nothingBesideASliceIsRead(_ width: Int) {
    let testCase = AttentionCase(name: "beside", batch: 1, queries: 30, keys: 300, keyWidth: width, valueWidth: width)
    let (query, key, value) = testCase.operands
    for range in [3..<130, 129..<131, 150..<299, 257..<258] {
      let (key, value) = (key.positions(range), value.positions(range))
      func slice(_ key: Tensor, _ value: Tensor) -> PartialAttention {
        partialAttention(query: query, key: key, value: value, positions: range, keyCount: 300)
      }
      let (clean, size) = (slice(key, value), 30 * width)
      for head in 0..<2 {
        func poisoned(_ tensor: Tensor) -> Tensor {
          var copy = tensor
          let scalars = tensor.count / 2
          copy.withUnsafeMutableBufferPointer { $0[head * scalars..<(head + 1) * scalars].update(repeating: .nan) }
          return copy
        }
        let result = slice(poisoned(key), poisoned(value))
        let other = (1 - head) * size..<(2 - head) * size
        #expect(result.output.scalars[other] == clean.output.scalars[other], "\(range)")
      }
    }
  }

  /// Visible scores of −∞ weigh nothing beside others, and alone are 0/0, whichever slices they are in.
  @Test func scoresOfMinusInfinity() {
    let ones = Tensor(repeating: 1, shape: [1, 1, 4, 4])
    let query = Tensor(repeating: 1, shape: [1, 1, 2, 4])
    let value = Tensor([1, 2, 4, 8], shape: [1, 1, 4, 1])
    let testCase = AttentionCase(name: "−∞", batch: 1, heads: 1, keyValueHeads: 1, queries: 2, keys: 4, keyWidth: 4)
    for cuts in [[], [1], [2], [1, 2, 3]] {
      let one = testCase.merged(cuts, query: query, key: ones.poisoned(-.infinity, row: 3), value: value)
      #expect(one.output.scalars.allSatisfy { abs($0 - 7.0 / 3) < 1e-6 }, "\(cuts)")
      let none = (0..<4).reduce(ones) { $0.poisoned(-.infinity, row: $1) }
      let all = testCase.merged(cuts, query: query, key: none, value: value)
      #expect(all.output.scalars.allSatisfy { $0.isNaN }, "\(cuts)")
      #expect(all.logSumExp!.scalars == [-.infinity, -.infinity], "\(cuts)")
    }
  }

  /// Sums are not divided yet: of values near the largest float they overflow, as the documentation says.
  @Test(arguments: [(Float(1e36), true), (1e38, false)])
  func largeValues(_ value: Float, _ isFinite: Bool) {
    let testCase = AttentionCase(name: "large", queries: 3, keys: 40, valueWidth: 5)
    let (query, key, _) = testCase.operands
    let ones = Tensor(repeating: 1, shape: query.shape)
    let large = Tensor(repeating: value, shape: [2, 2, 40, 5])
    let output = testCase.merged([17], query: ones, key: key.positions(0..<40), value: large).output
    #expect(output.scalars.allSatisfy { isFinite ? abs($0 / value - 1) < 1e-5 : $0 == .infinity })
  }

  // MARK: Misuse

  @Test func slicesThatDoNotFit() async {
    let positions = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = partialAttention(query: x, key: x, value: x, positions: 4..<6)
    }
    #expect(message(positions).contains("[1, 2, 3, 8]") && message(positions).contains("4..<6"))
    let count = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = partialAttention(query: x, key: x, value: x, positions: 4..<7, keyCount: 6)
    }
    #expect(message(count).contains("4..<7 of 6"))
    let path = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let x = Tensor(zeros: [1, 2, 3, 8])
      _ = partialAttention(query: x, key: x, value: x, options: .init(path: .naive))
    }
    #expect(message(path).contains("not of naive"))
  }

  @Test func sumsThatDoNotFit() async {
    let merge = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      let (x, y) = (Tensor(zeros: [1, 2, 3, 8]), Tensor(zeros: [1, 2, 4, 8]))
      var partial = partialAttention(query: x, key: x, value: x)
      partial.merge(partialAttention(query: y, key: x, value: x))
    }
    #expect(message(merge).contains("[1, 2, 3, 8]") && message(merge).contains("[1, 2, 4, 8]"))
    let made = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = PartialAttention(
        output: Tensor(zeros: [1, 2, 3, 8]), maximum: Tensor(zeros: [1, 2, 3]), sum: Tensor(zeros: [1, 2, 4]))
    }
    #expect(message(made).contains("sum [1, 2, 4]"))
    await #expect(processExitsWith: .failure) { _ = PartialAttention.grain(keyWidth: 0, valueWidth: 8) }
  }
}

extension AttentionCase {
  /// One call over all keys.
  fileprivate var whole: AttentionResult {
    let (query, key, value) = operands
    return scaledDotProductAttention(
      query: query, key: key, value: value, mask: mask, options: on(.fused), returning: .logSumExp)
  }

  fileprivate var reference: [[[ReferenceAttention.Row]]] {
    let (query, key, value) = operands
    return ReferenceAttention(query: query, key: key, value: value, mask: mask, options: options).allRows
  }

  /// Slices between the cuts, merged.
  fileprivate func merged(
    _ cuts: [Int], backwards: Bool = false, query: Tensor? = nil, key: Tensor? = nil, value: Tensor? = nil
  ) -> AttentionResult {
    let own = operands
    let (query, key, value) = (query ?? own.query, key ?? own.key, value ?? own.value)
    var parts = zip([0] + cuts, cuts + [keys]).map { first, end in
      let part = partialAttention(
        query: query, key: key.positions(first..<end), value: value.positions(first..<end), positions: first..<end,
        keyCount: keys, mask: mask, options: options)
      // What goes over a wire.
      return PartialAttention(output: part.output, maximum: part.maximum, sum: part.sum)
    }
    if backwards { parts.reverse() }
    var sum = parts[0]
    for part in parts.dropFirst() { sum.merge(part) }
    return sum.finished()
  }
}
