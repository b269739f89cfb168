import AttentionTestSupport
import CAttentionKernels
import Testing

/// Steps of optimizers and sums of squares against float64, in guarded memory, on every set.
@Suite struct OptimizerTests {
  static let counts = Array(lengths) + [127, 128, 129, 1000, 4099]

  static let adamSteps = [
    attention_adam_step(
      gradient_factor: 1, gradient_decay: 0, keep: 1, mean_share: 0.1, square_keep: 0.999, square_share: 0.001,
      correction: 0.03, epsilon: 1e-8, rate: 0.01),
    attention_adam_step(
      gradient_factor: 0.25, gradient_decay: 0.05, keep: 1, mean_share: 0.7, square_keep: 0.9, square_share: 0.1,
      correction: 0.3, epsilon: 1e-3, rate: 0.5),
    attention_adam_step(
      gradient_factor: 3, gradient_decay: 0, keep: 0.875, mean_share: 0.5, square_keep: 0.5, square_share: 0.5,
      correction: 1, epsilon: 0.5, rate: 1),
    attention_adam_step(
      gradient_factor: 1, gradient_decay: 0.01, keep: 0.99, mean_share: 1, square_keep: 0, square_share: 1,
      correction: 1, epsilon: 0.1, rate: 0.25),
  ]

  static let sgdSteps = [(false, false), (true, false), (false, true), (true, true)].map { isFirst, isNesterov in
    attention_sgd_step(
      gradient_factor: 0.5, gradient_decay: 0.01, momentum: 0.9, gradient_share: 0.75, rate: 0.125, is_first: isFirst,
      is_nesterov: isNesterov)
  }

  /// Arrays of one step, each flush against a page that nobody may touch.
  struct Arrays {
    let gradient, from, to, first, second: GuardedBuffer<Float>

    init(_ count: Int, edge: GuardedBuffer<Float>.Edge) {
      gradient = GuardedBuffer(Noise.floats(count, in: -2...2, seed: count), edge: edge)
      from = GuardedBuffer(Noise.floats(count, in: -3...3, seed: count + 1), edge: edge)
      to = GuardedBuffer(repeating: .nan, count: count, edge: edge)
      first = GuardedBuffer(Noise.floats(count, in: -1...1, seed: count + 2), edge: edge)
      second = GuardedBuffer(Noise.floats(count, in: 0...1, seed: count + 3), edge: edge)
    }

    var areIntact: Bool { [gradient, from, to, first, second].allSatisfy { $0.surroundingsAreIntact } }
  }

  /// A float's rounding errors, of numbers up to this size.
  static func isNear(_ value: Float, _ expected: Double, size: Double) -> Bool {
    abs(Double(value) - expected) <= 0x1p-21 * max(abs(expected), size)
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func adamIsTheFormula(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for count in Self.counts {
      for var s in Self.adamSteps {
        let arrays = Arrays(count, edge: edge)
        let (means, squares) = (arrays.first.values, arrays.second.values)
        set.kernels.adam(
          &s, arrays.gradient.base, arrays.from.base, arrays.to.base, arrays.first.base, arrays.second.base, count)
        for index in 0..<count {
          let p = Double(arrays.from.values[index])
          let g = Double(s.gradient_factor) * Double(arrays.gradient.values[index]) + Double(s.gradient_decay) * p
          let mean = Double(means[index]) + Double(s.mean_share) * (g - Double(means[index]))
          let square = Double(s.square_keep) * Double(squares[index]) + Double(s.square_share) * g * g
          let move = Double(s.rate) * mean / (square.squareRoot() / Double(s.correction) + Double(s.epsilon))
          #expect(Self.isNear(arrays.first.values[index], mean, size: max(abs(g), 1)), "\(count)")
          #expect(Self.isNear(arrays.second.values[index], square, size: 1e-3), "\(count)")
          #expect(Self.isNear(arrays.to.values[index], Double(s.keep) * p - move, size: 3), "\(count)")
        }
        #expect(arrays.areIntact)
      }
    }
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func gradientDescentIsTheFormula(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for count in Self.counts {
      for (var s, hasMomentum) in Self.sgdSteps.flatMap({ [($0, true), ($0, false)] }) {
        let arrays = Arrays(count, edge: edge)
        let before = arrays.first.values
        set.kernels.sgd(
          &s, arrays.gradient.base, arrays.from.base, arrays.to.base, hasMomentum ? arrays.first.base : nil, count)
        for index in 0..<count {
          let p = Double(arrays.from.values[index])
          let g = Double(s.gradient_factor) * Double(arrays.gradient.values[index]) + Double(s.gradient_decay) * p
          let m = s.is_first ? g : Double(s.momentum) * Double(before[index]) + Double(s.gradient_share) * g
          let direction = !hasMomentum ? g : s.is_nesterov ? g + Double(s.momentum) * m : m
          #expect(Self.isNear(arrays.to.values[index], p - Double(s.rate) * direction, size: 3), "\(count)")
          if hasMomentum { #expect(Self.isNear(arrays.first.values[index], m, size: 1), "\(count)") }
        }
        if !hasMomentum { #expect(sameBits(arrays.first.values, before)) }
        #expect(arrays.areIntact)
      }
    }
  }

  /// Where an array is cut changes no bit, nor whether the result goes to where the parameter was.
  @Test(arguments: KernelSet.available)
  func bitsDependOnNeitherCutNorPlace(set: KernelSet) {
    let count = 203
    for var s in Self.adamSteps {
      let (whole, parts) = (Arrays(count, edge: .end), Arrays(count, edge: .end))
      set.kernels.adam(
        &s, whole.gradient.base, whole.from.base, whole.to.base, whole.first.base, whole.second.base, count)
      var start = 0
      for length in [1, 63, 16, 5, 70, 48] {
        set.kernels.adam(
          &s, parts.gradient.base + start, parts.from.base + start, parts.from.base + start, parts.first.base + start,
          parts.second.base + start, length)
        start += length
      }
      #expect(start == count)
      #expect(sameBits(whole.to.values, parts.from.values))
      #expect(sameBits(whole.first.values, parts.first.values) && sameBits(whole.second.values, parts.second.values))
    }
    for var s in Self.sgdSteps {
      let (whole, parts) = (Arrays(count, edge: .end), Arrays(count, edge: .end))
      set.kernels.sgd(&s, whole.gradient.base, whole.from.base, whole.to.base, whole.first.base, count)
      for start in stride(from: 0, to: count, by: 29) {
        set.kernels.sgd(
          &s, parts.gradient.base + start, parts.from.base + start, parts.from.base + start, parts.first.base + start,
          min(29, count - start))
      }
      #expect(sameBits(whole.to.values, parts.from.values) && sameBits(whole.first.values, parts.first.values))
    }
  }

  /// A gradient that is not finite spoils its own scalar alone; one of 0 before any other moves nothing.
  @Test(arguments: KernelSet.available)
  func specialGradientsStayWhereTheyAre(set: KernelSet) {
    let count = 40
    for (place, value) in [(7, Float.nan), (16, .infinity), (39, -.infinity)] {
      let (plain, special) = (Arrays(count, edge: .end), Arrays(count, edge: .end))
      special.gradient.elements[place] = value
      var s = Self.adamSteps[0]
      for arrays in [plain, special] {
        set.kernels.adam(
          &s, arrays.gradient.base, arrays.from.base, arrays.to.base, arrays.first.base, arrays.second.base, count)
      }
      #expect(special.to.values[place].isNaN && !special.second.values[place].isFinite)
      for index in 0..<count where index != place { #expect(special.to.values[index] == plain.to.values[index]) }
    }
    var s = Self.adamSteps[0]
    let (zeros, from) = ([Float](repeating: 0, count: count), Noise.floats(count, in: -3...3, seed: 1))
    var (to, mean, square) = (zeros, zeros, zeros)
    set.kernels.adam(&s, zeros, from, &to, &mean, &square, count)
    #expect(to == from && mean == zeros && square == zeros)
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func sumsOfSquaresAreThoseOfFloat64(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for count in Self.counts {
      for scale: Float in [1, 0x1p-130, 0x1p120] {
        let x = GuardedBuffer(Noise.floats(count, in: -2...2, seed: count).map { $0 * scale }, edge: edge)
        let expected = x.values.reduce(0) { $0 + Double($1) * Double($1) }
        #expect(abs(set.kernels.sum_of_squares(x.base, count) - expected) <= 1e-13 * expected, "\(count)")
        #expect(x.surroundingsAreIntact)
      }
    }
    #expect(set.kernels.sum_of_squares([], 0) == 0)
    #expect(set.kernels.sum_of_squares([1, .nan, 2], 3).isNaN)
    #expect(set.kernels.sum_of_squares([1, -.infinity, 2], 3) == .infinity)
    #expect(set.kernels.sum_of_squares([.leastNonzeroMagnitude], 1) == 0x1p-298)
    let largest = Double(Float.greatestFiniteMagnitude)
    #expect(set.kernels.sum_of_squares([.greatestFiniteMagnitude], 1) == largest * largest)
  }
}
