import AttentionTestSupport
import CAttentionKernels
import Foundation
import Testing

/// The online softmax of a tile against float64, and what its accumulators are treated with.
@Suite struct TileTests {
  /// A tile after one step over fresh sums.
  struct Step {
    let scores: [Float]
    let references: [Float]
    let sums: [Float]
    let factors: [Float]
    let changed: Bool

    init(_ set: KernelSet, _ scores: [Float], rows: Int, columns: Int, stride: Int) {
      let memory = GuardedBuffer(scores, edge: .end)
      var references = [Float](repeating: -.infinity, count: rows)
      var sums = [Float](repeating: 0, count: rows)
      var factors = [Float](repeating: 7, count: rows)
      changed = memory.withBase {
        set.kernels.softmax_tile($0, stride, rows, columns, &references, &sums, &factors)
      }
      (self.references, self.sums, self.factors) = (references, sums, factors)
      self.scores = memory.values
    }
  }

  @Test(arguments: KernelSet.available, [16, 32, 48, 64, 112, 128, 256])
  func weightsAndSumsAgreeWithDouble(set: KernelSet, columns: Int) {
    for rows in 1...9 {
      let stride = columns + 16
      let count = (rows - 1) * stride + columns
      let scores = Noise.floats(count, in: -30...30, seed: rows)
      let step = Step(set, scores, rows: rows, columns: columns, stride: stride)
      #expect(step.changed)
      for row in 0..<rows {
        let before = scores[row * stride..<row * stride + columns]
        #expect(step.references[row] == before.max())
        #expect(step.factors[row] == 0)
        var sum = 0.0
        var worst = 0.0
        for (column, score) in before.enumerated() {
          let weight = exp(Double(score) - Double(step.references[row]))
          sum += weight
          worst = max(worst, abs(Double(step.scores[row * stride + column]) - weight) / weight)
        }
        // Twice the error that |x|·log2 e takes by rounding at 60, and the polynomial's.
        #expect(worst < 1e-5, "\(rows) rows, row \(row)")
        #expect(abs(Double(step.sums[row]) - sum) < 1e-6 * sum)
        // Between the rows nothing is written.
        let gap = row * stride + columns..<min(count, (row + 1) * stride)
        #expect(sameBits(Array(step.scores[gap]), Array(scores[gap])))
      }
    }
  }

  /// −∞ before, behind and between a row's scores changes no bit of what is left; nor do the rows beside it.
  @Test(arguments: KernelSet.available)
  func aRowDependsOnItsScoresAlone(set: KernelSet) {
    let scores = Noise.floats(48, in: -5...5, seed: 3)
    let alone = Step(set, scores, rows: 1, columns: 48, stride: 48)
    let nothing = [Float](repeating: -.infinity, count: 48)
    for others in 0...5 {
      var tile: [Float] = []
      for row in 0...others {
        tile += row == others ? nothing + scores + nothing : Noise.floats(144, in: -9...9, seed: row)
      }
      let step = Step(set, tile, rows: others + 1, columns: 144, stride: 144)
      #expect(step.sums[others].bitPattern == alone.sums[0].bitPattern)
      #expect(step.references[others] == alone.references[0])
      #expect(sameBits(Array(step.scores[others * 144 + 48..<others * 144 + 96]), alone.scores))
      #expect(step.scores[others * 144..<others * 144 + 48].allSatisfy { $0 == 0 })
    }
  }

  /// A second step: small growth leaves the reference, large growth moves it and rescales.
  @Test(arguments: KernelSet.available, [Float(3), 20])
  func theReferenceFollowsLargeGrowth(set: KernelSet, growth: Float) {
    var references: [Float] = [-.infinity]
    var sums: [Float] = [0]
    var factors: [Float] = [0]
    var first = [Float](repeating: 1, count: 16)
    _ = set.kernels.softmax_tile(&first, 16, 1, 16, &references, &sums, &factors)
    #expect(references == [1] && sums == [16] && first.allSatisfy { $0 == 1 })
    var second = [Float](repeating: 1 + growth, count: 16)
    let changed = set.kernels.softmax_tile(&second, 16, 1, 16, &references, &sums, &factors)
    #expect(changed == (growth > 6))
    #expect(references == [growth > 6 ? 1 + growth : 1])
    #expect(abs(Double(factors[0]) - (growth > 6 ? exp(-Double(growth)) : 1)) < 1e-6 * exp(-Double(growth)) + 1e-12)
    let expected = 16 * (1 + exp(Double(growth))) * (growth > 6 ? exp(-Double(growth)) : 1)
    #expect(abs(Double(sums[0]) - expected) < 1e-6 * expected)
  }

  @Test(arguments: KernelSet.available)
  func specialScores(set: KernelSet) {
    let masked = Step(set, [Float](repeating: -.infinity, count: 32), rows: 1, columns: 32, stride: 32)
    #expect(!masked.changed && masked.references == [-.infinity] && masked.sums == [0] && masked.factors == [1])
    #expect(masked.scores.allSatisfy { $0 == 0 })
    for special in [Float.nan, .infinity] {
      for position in 0..<32 {
        var scores = [Float](repeating: 2, count: 32)
        scores[position] = special
        let step = Step(set, scores, rows: 1, columns: 32, stride: 32)
        #expect(step.sums[0].isNaN && step.scores[position].isNaN, "\(special) at \(position)")
      }
    }
    for large: Float in [.greatestFiniteMagnitude, -Float.greatestFiniteMagnitude, 1e4, -1e4] {
      let step = Step(set, [Float](repeating: large, count: 32), rows: 1, columns: 32, stride: 32)
      #expect(step.references == [large] && step.sums == [32])
    }
  }

  @Test(arguments: KernelSet.available)
  func weightIsNearTheExponential(set: KernelSet) {
    #expect(set.kernels.weight(0) == 1)
    #expect(set.kernels.weight(-.infinity) == 0 && set.kernels.weight(-1e30) == 0 && set.kernels.weight(-200) == 0)
    #expect(set.kernels.weight(.nan).isNaN)
    for step in -8_000...80 {
      let x = Float(step) / 100
      let error = abs(Double(set.kernels.weight(x)) / exp(Double(x)) - 1)
      #expect(error < 3e-7 + 0x1p-24 * 1.5 * Double(abs(x)), "\(x)")
    }
    // Down to the smallest normal number, and no rubbish below.
    for step in 0...400 {
      let x = -86 - Float(step) / 100
      let weight = Double(set.kernels.weight(x))
      #expect(weight >= 0 && weight <= 1.00002 * exp(Double(x)) + 0x1p-149, "\(x)")
      if x > -87.3 { #expect(weight > 0.9999 * exp(Double(x))) }
    }
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func rowsOfEveryLength(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for length in lengths {
      let (x, y) = (Noise.floats(length, in: -3...3, seed: 1), Noise.floats(length, in: -3...3, seed: 2))
      let source = GuardedBuffer(x, edge: edge)
      let target = GuardedBuffer(y, edge: edge)
      withExtendedLifetime((source, target)) {
        set.kernels.merge(target.base, 0.5, source.base, 0.25, length)
        for index in 0..<length {
          #expect(abs(Double(target.elements[index]) - (0.5 * Double(y[index]) + 0.25 * Double(x[index]))) < 1e-6)
        }
        #expect(set.kernels.finish_rows(source.base, 0, 1, [3], [2], target.base, 0, length))
        #expect(sameBits(target.values, x.map { 0.5 * $0 }))
        set.kernels.weights_row(source.base, 3, 0.5, target.base, length)
        for index in 0..<length {
          let expected = 0.5 * exp(Double(x[index]) - 3)
          #expect(abs(Double(target.elements[index]) - expected) < 2e-6 * expected)
        }
        let bytes = GuardedBuffer<UInt8>(repeating: 1, count: length, edge: edge == .start ? .start : .end)
        bytes.withBase { base in
          #expect(set.kernels.classify_bytes(base, length) == (length > 0 ? 1 : 0))
          for position in 0..<length {
            base[position] = 0
            #expect(set.kernels.classify_bytes(base, length) == (length > 1 ? 3 : 2))
            base[position] = 200
          }
        }
        #expect(source.surroundingsAreIntact && target.surroundingsAreIntact && bytes.surroundingsAreIntact)
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func finishedRowsHoldNoNegativeZero(set: KernelSet) {
    let x: [Float] = [-0.0, 0, -1, .nan, .infinity]
    var y = [Float](repeating: 9, count: x.count)
    #expect(!set.kernels.finish_rows(x, 0, 1, [0], [0.5], &y, 0, x.count))
    #expect(sameBits(y, [0, 0, -2, .nan, .infinity]))
    // An underflow from below.
    #expect(set.kernels.finish_rows([-1e-30], 0, 1, [0], [1e30], &y, 0, 1))
    #expect(y[0] == 0 && y[0].sign == .plus)
  }

  @Test(arguments: KernelSet.available)
  func rowsAreFinishedAtTheirStrides(set: KernelSet) {
    let (rows, width, from, to) = (5, 19, 32, 21)
    let x = Noise.floats(rows * from, in: -3...3, seed: 4)
    let sums: [Float] = [1, 2, 4, 0.5, 8]
    let references: [Float] = [0, 1, -2, 3, 4]
    var y = [Float](repeating: 9, count: rows * to)
    #expect(set.kernels.finish_rows(x, from, rows, references, sums, &y, to, width))
    for row in 0..<rows {
      for column in 0..<to {
        #expect(y[row * to + column] == (column < width ? x[row * from + column] / sums[row] : 9))
      }
    }
    // One element or reference that is not finite, wherever it is, is reported; one beside the rows is not.
    for row in 0..<rows {
      for column in 0..<from {
        var spoilt = x
        spoilt[row * from + column] = column.isMultiple(of: 2) ? .nan : -.infinity
        #expect(set.kernels.finish_rows(spoilt, from, rows, references, sums, &y, to, width) == (column >= width))
      }
      for bad in [Float.nan, .infinity, -.infinity] {
        var spoilt = references
        spoilt[row] = bad
        #expect(!set.kernels.finish_rows(x, from, rows, spoilt, sums, &y, to, width))
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func rowsAreScaledByTheirFactors(set: KernelSet) {
    let scores = Noise.floats(5 * 40, in: -3...3, seed: 8)
    var scaled = scores
    set.kernels.scale_rows(&scaled, 40, 5, 33, [1, 0.5, 0, 1, 2])
    for row in 0..<5 {
      for column in 0..<40 {
        let factor: Float = column < 33 ? [1, 0.5, 0, 1, 2][row] : 1
        #expect(scaled[row * 40 + column] == factor * scores[row * 40 + column])
      }
    }
  }
}
