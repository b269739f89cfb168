import AttentionTestSupport
import CAttentionKernels
import Testing

/// The pieces of batch norm against float64, in guarded memory, on every set.
@Suite struct ColumnTests {
  static let widths = Array(1...67) + [129, 384]

  @Test(arguments: KernelSet.available, [1, 2, 5, 32])
  func momentsAgreeWithFloat64(set: KernelSet, rows: Int) {
    for n in Self.widths {
      let edge: GuardedBuffer<Float>.Edge = n % 2 == 0 ? .start : .end
      let shift: Float = n % 3 == 0 ? 1e4 : 0
      let x = GuardedBuffer(Noise.floats(rows * n, in: -2...2, seed: n).map { $0 + shift }, edge: edge)
      let sums = GuardedBuffer(repeating: Float(0), count: n, edge: edge)
      let squares = GuardedBuffer(repeating: Float(0), count: n, edge: edge)
      let means = GuardedBuffer(repeating: 0.0, count: n, edge: .end)
      let totals = GuardedBuffer(repeating: 0.0, count: n, edge: .end)
      set.kernels.column_moments(x.base, rows, n, sums.base, squares.base)
      set.kernels.add_moments(x.base, sums.base, rows, means.base, n)
      for column in 0..<n { means.elements[column] /= Double(rows) }
      set.kernels.add_squares(x.base, sums.base, squares.base, rows, means.base, totals.base, n)
      for column in 0..<n {
        let values = (0..<rows).map { Double(x.elements[$0 * n + column]) }
        let mean = values.reduce(0, +) / Double(rows)
        let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        #expect(abs(means.elements[column] - mean) < 1e-6, "mean of \(rows) rows of \(n)")
        // What is added up in float32, at most 32 times.
        let added = square + Double(rows) * (values[0] - mean) * (values[0] - mean)
        let error = abs(totals.elements[column] - square)
        #expect(error < 1e-6 + 32 * 0x1p-24 * added, "\(totals.elements[column]) for \(square)")
      }
      #expect(x.surroundingsAreIntact && sums.surroundingsAreIntact && squares.surroundingsAreIntact)
      #expect(means.surroundingsAreIntact && totals.surroundingsAreIntact)
    }
  }

  /// Every element by its own arithmetic: the same bits whatever its place and its set's vectors.
  @Test(arguments: KernelSet.available)
  func elementsAreComputedAlone(set: KernelSet) {
    let rows = 3
    for n in Self.widths {
      for edge in GuardedBuffer<Float>.Edge.allCases {
        func noise(_ count: Int, _ seed: Int, shift: Float = 0) -> GuardedBuffer<Float> {
          GuardedBuffer(Noise.floats(count, in: -2...2, seed: n + 1000 * seed).map { $0 + shift }, edge: edge)
        }
        let (x, upstream, y) = (noise(rows * n, 1), noise(rows * n, 2), noise(rows * n, 3))
        let (mean, rest, factor) = (noise(n, 4), noise(n, 5), noise(n, 6, shift: 3))
        let (weight, bias) = (noise(n, 7), noise(n, 8))
        let (ofWeight, ofBias) = (noise(n, 9), noise(n, 10))
        let before = (ofWeight.values, ofBias.values)
        let hasRest = n % 2 == 0
        var columns = attention_columns(
          x: x.base, mean: mean.base, rest: hasRest ? UnsafePointer(rest.base) : nil, factor: factor.base, rows: rows,
          n: n)
        func unit(_ place: Int) -> Float {
          let centred = x.elements[place] - mean.elements[place % n]
          return (hasRest ? centred - rest.elements[place % n] : centred) * factor.elements[place % n]
        }

        set.kernels.normalise_columns(&columns, nil, nil, y.base)
        #expect(sameBits(y.values, (0..<rows * n).map(unit)))
        set.kernels.normalise_columns(&columns, weight.base, bias.base, y.base)
        for place in 0..<rows * n {
          let expected = Double(unit(place)) * Double(weight.elements[place % n]) + Double(bias.elements[place % n])
          #expect(abs(Double(y.elements[place]) - expected) < 1e-5)
        }

        set.kernels.column_gradient(&columns, upstream.base, weight.base, bias.base, rest.base, y.base)
        let expected = (0..<rows * n).map { place in
          let column = place % n
          let g = upstream.elements[place] - weight.elements[column]
          return (g - unit(place) * bias.elements[column]) * rest.elements[column]
        }
        #expect(sameBits(y.values, expected))

        set.kernels.column_gradient_sums(&columns, upstream.base, ofWeight.base, ofBias.base)
        for column in 0..<n {
          let places = (0..<rows).map { $0 * n + column }
          let weightSum = places.reduce(Double(before.0[column])) {
            $0 + Double(upstream.elements[$1]) * Double(unit($1))
          }
          let biasSum = places.reduce(before.1[column]) { $0 + upstream.elements[$1] }
          #expect(abs(Double(ofWeight.elements[column]) - weightSum) < 2e-5)
          #expect(ofBias.elements[column] == biasSum)
        }
        for buffer in [x, upstream, y, mean, rest, factor, weight, bias, ofWeight, ofBias] {
          #expect(buffer.surroundingsAreIntact)
        }
      }
    }
  }
}
