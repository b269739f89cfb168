import AttentionTestSupport
import CAttentionKernels
import Foundation
import Testing

/// Activations and slopes against float64, on every set.
@Suite struct ActivationTests {
  struct Function: Sendable, CustomTestStringConvertible {
    let kind: UInt32
    let testDescription: String
    let value: @Sendable (Double) -> Double
    let slope: @Sendable (Double) -> Double

    static let all = [
      Function(ATTENTION_RELU, "relu") {
        max($0, 0)
      } slope: {
        $0 > 0 ? 1 : 0
      },
      Function(ATTENTION_GELU, "gelu") {
        $0 * 0.5 * erfc(-$0 * 0.5.squareRoot())
      } slope: {
        0.5 * erfc(-$0 * 0.5.squareRoot()) + $0 * exp(-$0 * $0 / 2) / (2 * Double.pi).squareRoot()
      },
      Function(ATTENTION_GELU_TANH, "gelu by tanh") { x in
        let u = 2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
        return x / (1 + exp(-u))
      } slope: { x in
        let u = 2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)
        let s = 1 / (1 + exp(-u))
        return s + x * s * (1 / (1 + exp(u))) * 2 * (2 / Double.pi).squareRoot() * (1 + 3 * 0.044715 * x * x)
      },
      Function(ATTENTION_SILU, "silu") {
        $0 / (1 + exp(-$0))
      } slope: { x in
        let s = 1 / (1 + exp(-x))
        return s * (1 + x / (1 + exp(x)))
      },
      Function(ATTENTION_TANH, "tanh") {
        tanh($0)
      } slope: {
        1 / (cosh($0) * cosh($0))
      },
      Function(ATTENTION_SIGMOID, "sigmoid") {
        1 / (1 + exp(-$0))
      } slope: {
        1 / (1 + exp(-$0)) / (1 + exp($0))
      },
    ]

    init(
      _ kind: attention_activation, _ name: String, _ value: @escaping @Sendable (Double) -> Double,
      slope: @escaping @Sendable (Double) -> Double
    ) {
      self.kind = kind.rawValue
      testDescription = name
      self.value = value
      self.slope = slope
    }

    var activation: attention_activation { attention_activation(rawValue: kind) }
  }

  /// Everywhere that float32 tells x from its neighbours: relative errors, tails included.
  @Test(arguments: KernelSet.available, Function.all)
  func valuesAndSlopes(_ set: KernelSet, _ function: Function) {
    let x = (-20_000...20_000).map { Float($0) * 0x1p-10 } + Noise.floats(4000, in: -90...90, seed: 1)
    var y = x
    let kernels = set.kernels
    kernels.activate(function.activation, x, nil, nil, &y, x.count)
    let upstream = Noise.floats(x.count, in: 0.5...2, seed: 2)
    var slopes = x
    kernels.activation_gradient(function.activation, x, upstream, &slopes, x.count)
    var (worst, worstSlope) = (0.0, 0.0)
    for index in x.indices {
      let exact = Double(x[index])
      // In the tail of the tanh form the argument's own rounding is all there is.
      if function.kind == ATTENTION_GELU_TANH.rawValue, exact < -3 {
        #expect(abs(Double(y[index]) - function.value(exact)) < 1e-8)
        continue
      }
      let wanted = function.value(exact)
      let unit = max(abs(wanted), 1e-37)
      worst = max(worst, abs(Double(y[index]) - wanted) / unit)
      // A slope goes through zero, where it has no relative precision to keep.
      let slope = function.slope(exact)
      worstSlope = max(worstSlope, abs(Double(slopes[index] / upstream[index]) - slope) / (abs(slope) + 0.1))
    }
    #expect(worst < 8e-7, "\(worst)")
    #expect(worstSlope < 1e-6, "\(worstSlope)")
  }

  @Test(arguments: KernelSet.available, Function.all)
  func limitsAndNaN(_ set: KernelSet, _ function: Function) {
    let x: [Float] = [.nan, .infinity, -.infinity, 0, 1e30, -1e30]
    var y = x
    set.kernels.activate(function.activation, x, nil, nil, &y, x.count)
    #expect(y[0].isNaN)
    let high: Float =
      function.kind == ATTENTION_TANH.rawValue || function.kind == ATTENTION_SIGMOID.rawValue ? 1 : .infinity
    #expect(y[1] == high)
    #expect(y[2] == (function.kind == ATTENTION_TANH.rawValue ? -1 : 0))
    #expect(y[5] == (function.kind == ATTENTION_TANH.rawValue ? -1 : 0))
    var slopes = x
    set.kernels.activation_gradient(function.activation, x, [Float](repeating: 1, count: x.count), &slopes, x.count)
    #expect(slopes[1] == (high == 1 ? 0 : 1) && slopes[2] == 0 && slopes[5] == 0)
  }

  /// An element's bits do not depend on its place, sums are x + bias, and nothing beyond the arrays is touched.
  @Test(arguments: KernelSet.available, Function.all)
  func placesAndBounds(_ set: KernelSet, _ function: Function) {
    for n in lengths {
      for edge in GuardedBuffer<Float>.Edge.allCases {
        let (values, biases) = (Noise.floats(n, in: -6...6, seed: n), Noise.floats(n, in: -1...1, seed: n + 1))
        let x = GuardedBuffer(values, edge: edge)
        let bias = GuardedBuffer(biases, edge: edge)
        let sums = GuardedBuffer(repeating: Float.nan, count: n, edge: edge)
        let y = GuardedBuffer(repeating: Float.nan, count: n, edge: edge)
        set.kernels.activate(function.activation, x.base, bias.base, sums.base, y.base, n)
        #expect(sameBits(sums.values, zip(values, biases).map { $0 + $1 }))
        for index in 0..<n {
          var single: Float = 0
          set.kernels.activate(function.activation, [sums.values[index]], nil, nil, &single, 1)
          #expect(sameBits(single, y.values[index]))
        }
        set.kernels.activation_gradient(function.activation, x.base, bias.base, y.base, n)
        for index in 0..<n {
          var single: Float = 0
          set.kernels.activation_gradient(function.activation, [values[index]], [biases[index]], &single, 1)
          #expect(sameBits(single, y.values[index]))
        }
        #expect(x.surroundingsAreIntact && sums.surroundingsAreIntact && y.surroundingsAreIntact)
      }
    }
  }

  @Test(arguments: KernelSet.available)
  func binaryOperations(_ set: KernelSet) {
    let kernels = set.kernels
    let operations:
      [(attention_kernels) -> (UnsafePointer<Float>, Bool, UnsafePointer<Float>, Bool, UnsafeMutablePointer<Float>, Int)
        -> Void] = [
          { $0.add }, { $0.subtract }, { $0.multiply }, { $0.divide },
        ]
    let exact: [(Float, Float) -> Float] = [(+), (-), (*), (/)]
    for n in lengths {
      let (a, b) = (Noise.floats(max(1, n), in: -3...3, seed: n), Noise.floats(max(1, n), in: 1...2, seed: n + 9))
      let (x, y) = (GuardedBuffer(a, edge: .end), GuardedBuffer(b, edge: .end))
      let z = GuardedBuffer(repeating: Float.nan, count: n, edge: .end)
      for (operation, function) in zip(operations, exact) {
        for (left, right) in [(false, false), (true, false), (false, true)] {
          operation(kernels)(x.base, left, y.base, right, z.base, n)
          let wanted = (0..<n).map { function(a[left ? 0 : $0], b[right ? 0 : $0]) }
          #expect(sameBits(z.values, wanted) && z.surroundingsAreIntact)
        }
      }
    }
  }
}
