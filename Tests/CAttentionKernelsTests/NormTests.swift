import AttentionTestSupport
import CAttentionKernels
import Testing

/// Norms of rows against float64, in guarded memory, on every set.
@Suite struct NormTests {
  enum Kind: CaseIterable, Sendable {
    case layer
    case rootMeanSquare
  }

  /// The arrays of one call, each flush against a page that nobody may touch.
  final class Arrays {
    let kind: Kind
    let (rows, n): (Int, Int)
    let epsilon: Float = 1e-5
    let x, residual, sum, weight, bias, y, statistics, upstream, added, ofX, ofWeight, ofBias: GuardedBuffer<Float>

    init(_ kind: Kind, rows: Int, n: Int, mean: Float = 0, edge: GuardedBuffer<Float>.Edge) {
      (self.kind, self.rows, self.n) = (kind, rows, n)
      func noise(_ count: Int, _ seed: Int, shift: Float = 0) -> GuardedBuffer<Float> {
        GuardedBuffer(Noise.floats(count, in: -2...2, seed: seed).map { $0 + shift }, edge: edge)
      }
      func empty(_ count: Int, _ value: Float = .nan) -> GuardedBuffer<Float> {
        GuardedBuffer(repeating: value, count: count, edge: edge)
      }
      (x, residual) = (noise(rows * n, n, shift: mean), noise(rows * n, n + 1))
      (weight, bias) = (noise(n, n + 2, shift: 3), noise(n, n + 3))
      (upstream, added) = (noise(rows * n, n + 4), noise(rows * n, n + 5))
      (sum, y, ofX) = (empty(rows * n), empty(rows * n), empty(rows * n))
      statistics = empty(rows * (kind == .layer ? Int(ATTENTION_LAYER_NORM_STATISTICS) : 1))
      (ofWeight, ofBias) = (empty(n, 0.5), empty(n, -0.25))
    }

    var all: [GuardedBuffer<Float>] {
      [x, residual, sum, weight, bias, y, statistics, upstream, added, ofX, ofWeight, ofBias]
    }

    var areIntact: Bool { all.allSatisfy(\.surroundingsAreIntact) }

    func run(_ set: KernelSet, residual hasResidual: Bool, weight hasWeight: Bool, bias hasBias: Bool) {
      var norm = attention_norm(
        x: x.base, residual: hasResidual ? UnsafePointer(residual.base) : nil, sum: hasResidual ? sum.base : nil,
        weight: hasWeight ? UnsafePointer(weight.base) : nil, bias: hasBias ? UnsafePointer(bias.base) : nil,
        epsilon: epsilon, y: y.base, statistics: statistics.base, rows: rows, n: n)
      kind == .layer ? set.kernels.layer_norm(&norm) : set.kernels.rms_norm(&norm)
    }

    func runBack(_ set: KernelSet, of source: GuardedBuffer<Float>, weight hasWeight: Bool, added hasAdded: Bool) {
      var norm = attention_norm_gradient(
        upstream: upstream.base, x: source.base, statistics: statistics.base,
        weight: hasWeight ? UnsafePointer(weight.base) : nil, added: hasAdded ? UnsafePointer(added.base) : nil,
        of_x: ofX.base, of_weight: ofWeight.base, of_bias: ofBias.base, rows: rows, n: n)
      kind == .layer ? set.kernels.layer_norm_gradient(&norm) : set.kernels.rms_norm_gradient(&norm)
    }

    /// The normalised rows in float64, and the reciprocal of each one's spread.
    func units(of source: [Float]) -> (units: [Double], factors: [Double]) {
      var (units, factors): ([Double], [Double]) = ([], [])
      for row in 0..<rows {
        let values = source[row * n..<(row + 1) * n].map(Double.init)
        let mean = kind == .layer ? values.reduce(0, +) / Double(n) : 0
        let square = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(n)
        factors.append(1 / (square + Double(epsilon)).squareRoot())
        units += values.map { ($0 - mean) * factors[row] }
      }
      return (units, factors)
    }
  }

  static let widths = Array(1...67) + [127, 128, 129, 384, 1536, 4099]

  @Test(arguments: KernelSet.available, Kind.allCases)
  func agreesWithFloat64InGuardedMemory(set: KernelSet, kind: Kind) {
    for n in Self.widths {
      for (index, edge) in GuardedBuffer<Float>.Edge.allCases.enumerated() {
        let arrays = Arrays(kind, rows: 3, n: n, edge: edge)
        let (hasResidual, hasWeight, hasBias) = ((n + index) % 2 == 0, n % 4 < 2, n % 3 == 0)
        let before = arrays.x.values
        arrays.run(set, residual: hasResidual, weight: hasWeight, bias: hasBias)
        #expect(sameBits(arrays.x.values, before))
        let source = hasResidual ? arrays.sum.values : before
        if hasResidual { #expect(sameBits(source, zip(before, arrays.residual.values).map { $0 + $1 })) }
        let units = arrays.units(of: source).units
        for (place, value) in arrays.y.values.enumerated() {
          let expected =
            units[place] * (hasWeight ? Double(arrays.weight.elements[place % n]) : 1)
            + (hasBias ? Double(arrays.bias.elements[place % n]) : 0)
          // One element is its own mean: 0 whatever the rounding.
          #expect(abs(Double(value) - expected) < 4e-6, "\(value) for \(expected) at \(place) of rows of \(n)")
        }
        #expect(arrays.areIntact)
      }
    }
  }

  /// A spread of a ten-thousandth of the mean keeps the precision that its floats have.
  @Test(arguments: KernelSet.available, [Float(1e4), -3e5, 1e-20])
  func isAccurateFarFromZero(set: KernelSet, mean: Float) {
    for n in [2, 17, 768, 4099] {
      let arrays = Arrays(.layer, rows: 2, n: n, mean: mean, edge: .end)
      arrays.run(set, residual: false, weight: false, bias: false)
      let (units, factors) = arrays.units(of: arrays.x.values)
      let worst = zip(arrays.y.values, units).reduce(0) { max($0, abs(Double($1.0) - $1.1)) }
      #expect(worst < 2e-6, "\(worst) at rows of \(n)")
      for row in 0..<2 { #expect(abs(Double(arrays.statistics.elements[row * 3 + 2]) / factors[row] - 1) < 2e-6) }
    }
  }

  @Test(arguments: KernelSet.available, Kind.allCases)
  func gradientAgreesWithFloat64InGuardedMemory(set: KernelSet, kind: Kind) {
    for n in Self.widths {
      for (index, edge) in GuardedBuffer<Float>.Edge.allCases.enumerated() {
        let arrays = Arrays(kind, rows: 3, n: n, mean: n % 5 == 0 ? 1e3 : 0, edge: edge)
        let (hasWeight, hasAdded) = ((n + index) % 2 == 0, n % 3 == 0)
        arrays.run(set, residual: false, weight: false, bias: false)
        arrays.runBack(set, of: arrays.x, weight: hasWeight, added: hasAdded)
        let (units, factors) = arrays.units(of: arrays.x.values)
        let upstream = arrays.upstream.values.map(Double.init)
        var ofWeight = [Double](repeating: 0.5, count: n)
        var ofBias = [Double](repeating: -0.25, count: n)
        for row in 0..<3 {
          let places = row * n..<(row + 1) * n
          let g = places.map { upstream[$0] * (hasWeight ? Double(arrays.weight.elements[$0 % n]) : 1) }
          let mean = kind == .layer ? g.reduce(0, +) / Double(n) : 0
          let slope = zip(g, places).reduce(0) { $0 + $1.0 * units[$1.1] } / Double(n)
          for (column, place) in places.enumerated() {
            ofWeight[column] += upstream[place] * units[place]
            ofBias[column] += upstream[place]
            let own = factors[row] * (g[column] - mean - units[place] * slope)
            let expected = own + (hasAdded ? Double(arrays.added.elements[place]) : 0)
            let size = factors[row] * (1 + abs(g[column]) + abs(mean) + abs(units[place] * slope)) + 1
            #expect(abs(Double(arrays.ofX.elements[place]) - expected) < 2e-6 * size, "\(place) of rows of \(n)")
          }
        }
        for column in 0..<n {
          #expect(abs(Double(arrays.ofWeight.elements[column]) - ofWeight[column]) < 2e-5, "weight, \(n)")
          #expect(abs(Double(arrays.ofBias.elements[column]) - ofBias[column]) < 2e-6, "bias, \(n)")
        }
        #expect(arrays.areIntact)
      }
    }
  }

  /// A row's bits do not depend on where it lies, nor on its neighbours: a NaN stays in its row.
  @Test(arguments: KernelSet.available, Kind.allCases)
  func rowsAreAlone(set: KernelSet, kind: Kind) {
    for n in [1, 7, 16, 33, 100] {
      let arrays = Arrays(kind, rows: 5, n: n, edge: .end)
      arrays.run(set, residual: true, weight: true, bias: true)
      let expected = arrays.y.values
      for row in 0..<5 {
        for offset in 0..<9 {
          let alone = Arrays(kind, rows: 1, n: n, edge: .end)
          let room = GuardedBuffer(repeating: Float(0), count: n + offset, edge: .start)
          for column in 0..<n {
            room.elements[offset + column] = arrays.sum.elements[row * n + column]
            alone.weight.elements[column] = arrays.weight.elements[column]
            alone.bias.elements[column] = arrays.bias.elements[column]
          }
          var norm = attention_norm(
            x: room.base + offset, residual: nil, sum: nil, weight: alone.weight.base, bias: alone.bias.base,
            epsilon: alone.epsilon, y: alone.y.base, statistics: nil, rows: 1, n: n)
          kind == .layer ? set.kernels.layer_norm(&norm) : set.kernels.rms_norm(&norm)
          #expect(sameBits(alone.y.values, Array(expected[row * n..<(row + 1) * n])))
          withExtendedLifetime(room) {}
        }
      }
      for bad: Float in [.nan, .infinity] {
        arrays.x.elements[2 * n + n / 2] = bad
        arrays.run(set, residual: true, weight: true, bias: true)
        for (place, value) in arrays.y.values.enumerated() where place / n != 2 {
          #expect(sameBits(value, expected[place]))
        }
        #expect(arrays.y.elements[2 * n + n / 2].isNaN)
        let areNaN = arrays.y.values[2 * n..<3 * n].allSatisfy(\.isNaN)
        #expect(areNaN || kind == .rootMeanSquare)
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func addsToDoubles(set: KernelSet) {
    for count in lengths {
      let x = GuardedBuffer(Noise.floats(count, in: -1...1, seed: count), edge: .end)
      let sums = GuardedBuffer(repeating: 1e9, count: count, edge: .end)
      set.kernels.add_to_doubles(x.base, sums.base, count)
      #expect(sums.values == x.values.map { 1e9 + Double($0) })
      #expect(x.surroundingsAreIntact && sums.surroundingsAreIntact)
    }
  }
}
