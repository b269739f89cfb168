import AttentionTestSupport
import CAttentionKernels
import Foundation
import Testing

/// Products with a narrow right side, and the attention of a head that is made of them.
@Suite struct NarrowProductTests {
  /// Every height that a pass may have, and every width of a slice, between pages that nobody may touch: with what memory
  /// is asked for beyond them, too.
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func isCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for (rows, inner, columns) in [
      (1, 1, 16), (2, 3, 32), (3, 7, 48), (4, 33, 64), (5, 2, 80), (6, 5, 112), (7, 64, 128), (8, 9, 48), (9, 4, 16),
      (10, 6, 32), (11, 8, 16), (12, 31, 64), (13, 3, 32), (18, 70, 64), (19, 5, 64), (25, 17, 176), (49, 12, 64),
    ] {
      for (adding, factor, hasBias) in [(false, Float(1), false), (true, 1, true), (false, -0.3, true)] {
        let (leftStride, resultStride) = (inner + 2, columns + 3)
        let left = Noise.floats((rows - 1) * leftStride + inner, in: -1...1, seed: rows)
        let before = Noise.floats((rows - 1) * resultStride + columns, in: -1...1, seed: rows + 2)
        let bias = Noise.floats(columns, in: -1...1, seed: rows + 3)
        let (a, d) = (GuardedBuffer(left, edge: edge), GuardedBuffer(bias, edge: edge))
        for rightStride in [columns, columns + 5] {
          let right = Noise.floats((inner - 1) * rightStride + columns, in: -1...1, seed: rows + 1)
          let b = GuardedBuffer(right, edge: edge)
          func product(row: Int, rows: Int, into c: UnsafeMutablePointer<Float>, fetching: Bool) {
            set.kernels.narrow_product(
              a.base + row * leftStride, leftStride, rows, inner, b.base, rightStride, columns, factor,
              hasBias ? UnsafePointer(d.base) : nil, c, resultStride, adding, fetching)
          }
          let c = GuardedBuffer(before, edge: edge)
          product(row: 0, rows: rows, into: c.base, fetching: rightStride == columns)
          for row in 0..<rows {
            for column in 0..<columns {
              let place = row * resultStride + column
              let sum = (0..<inner).reduce(0) {
                $0 + Double(left[row * leftStride + $1]) * Double(right[$1 * rightStride + column])
              }
              let expected =
                Double(factor) * sum + (adding ? Double(before[place]) : 0) + (hasBias ? Double(bias[column]) : 0)
              #expect(abs(Double(c.values[place]) - expected) <= Double(inner + 3) * 0x1p-23)
            }
            if row > 0 {
              let gap = row * resultStride - 3..<row * resultStride
              #expect(c.values[gap].elementsEqual(before[gap]))
            }
            let alone = GuardedBuffer(before[row * resultStride..<row * resultStride + columns], edge: edge)
            product(row: row, rows: 1, into: alone.base, fetching: false)
            #expect(sameBits(alone.values, Array(c.values[row * resultStride..<row * resultStride + columns])))
          }
          #expect(c.surroundingsAreIntact)
        }
      }
    }
  }

  /// One sum after the other from 0 on, each rounded once: what another kernel that promises the same comes to.
  @Test(arguments: KernelSet.available.filter { $0.testDescription != "portable" })
  func sumsRunInOrder(set: KernelSet) {
    let (rows, inner, columns) = (23, 41, 112)
    let left = Noise.floats(rows * inner, in: -1...1, seed: 1)
    let right = Noise.floats(inner * columns, in: -1...1, seed: 2)
    var result = [Float](repeating: .nan, count: rows * columns)
    set.kernels.narrow_product(
      left, inner, rows, inner, right, columns, columns, 0.7, nil, &result, columns, false, false)
    for row in 0..<rows {
      for column in 0..<columns {
        let sum = (0..<inner).reduce(Float(0)) {
          $0.addingProduct(left[row * inner + $1], right[$1 * columns + column])
        }
        #expect(result[row * columns + column] == 0.7 * sum)
      }
    }
  }

  /// A head, its rows apart from each other.
  struct Head {
    let queries: Int
    let keys: Int
    let keyWidth = 20
    let valueWidth = 32
    let scale: Float = 0.3
    let query: [Float]
    let key: [Float]
    var value: [Float]

    init(queries: Int, keys: Int) {
      (self.queries, self.keys) = (queries, keys)
      query = Noise.floats((queries - 1) * 23 + keyWidth, in: -2...2, seed: queries)
      key = Noise.floats((keys - 1) * 25 + keyWidth, in: -2...2, seed: keys)
      value = Noise.floats((keys - 1) * 35 + valueWidth, in: -2...2, seed: keys + 1)
    }

    /// The output, its rows 37 floats apart, and whether it is finite.
    func run(_ set: KernelSet, tileRows: Int, edge: GuardedBuffer<Float>.Edge) -> (output: [Float], isFinite: Bool) {
      let columns = (keys + 15) / 16 * 16
      func room(_ count: Int) -> GuardedBuffer<Float> {
        GuardedBuffer([Float](repeating: .nan, count: count), edge: edge)
      }
      let (q, k, v) = (
        GuardedBuffer(query, edge: edge), GuardedBuffer(key, edge: edge), GuardedBuffer(value, edge: edge)
      )
      let output = room((queries - 1) * 37 + valueWidth)
      let (panel, scores) = (room(keyWidth * columns), room(tileRows * columns))
      let (values, rows) = (room(tileRows * valueWidth), (room(tileRows), room(tileRows), room(tileRows)))
      var head = attention_head(
        query: q.base, key: k.base, value: v.base, output: output.base, query_stride: 23, key_stride: 25,
        value_stride: 35, output_stride: 37, queries: queries, keys: keys, key_width: keyWidth,
        value_width: valueWidth, scale: scale, tile_rows: tileRows, panel: panel.base, scores: scores.base,
        values: values.base, references: rows.0.base, sums: rows.1.base, factors: rows.2.base)
      let isFinite = set.kernels.head_attention(&head)
      #expect(
        [q, k, v, output, panel, scores, values, rows.0, rows.1, rows.2].allSatisfy { $0.surroundingsAreIntact })
      return (output.values, isFinite)
    }

    func expected(row: Int) -> [Double] {
      let scores = (0..<keys).map { key in
        (0..<keyWidth).reduce(0.0) {
          $0 + Double(query[row * 23 + $1]) * Double(self.key[key * 25 + $1])
        } * Double(scale)
      }
      let largest = scores.max()!
      let weights = scores.map { exp($0 - largest) }
      let sum = weights.reduce(0, +)
      return (0..<valueWidth).map { column in
        (0..<keys).reduce(0.0) { $0 + weights[$1] * Double(value[$1 * 35 + column]) } / sum
      }
    }
  }

  @Test(arguments: KernelSet.available, [(1, 1), (3, 16), (7, 17), (12, 31), (33, 48), (64, 65), (20, 128)])
  func aHeadAgreesWithDouble(set: KernelSet, extents: (Int, Int)) {
    let head = Head(queries: extents.0, keys: extents.1)
    let (output, isFinite) = head.run(set, tileRows: 24, edge: .end)
    #expect(isFinite)
    for row in 0..<head.queries {
      for (column, expected) in head.expected(row: row).enumerated() {
        #expect(abs(Double(output[row * 37 + column]) - expected) < 3e-6)
      }
    }
    // Tiles of another height, at the other edge.
    #expect(sameBits(head.run(set, tileRows: 5, edge: .start).output, output))
  }

  /// Whoever asked has to look closer.
  @Test(arguments: KernelSet.available, [Float.nan, .infinity])
  func aValueThatIsNotFiniteIsTold(set: KernelSet, poison: Float) {
    var head = Head(queries: 9, keys: 21)
    head.value[20 * 35 + 31] = poison
    #expect(!head.run(set, tileRows: 24, edge: .end).isFinite)
  }
}
