import AttentionTestSupport
import CAttentionKernels
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Ways back through a tile and through gates, and arithmetic of two rows: flush against pages that nobody may touch.
@Suite struct BackwardKernelTests {
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func scoreGradientsAreCloseToDoubleAndMasked(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    let rows = 3
    for n in Array(lengths) + [127, 256] where n > 0 {
      let stride = n + 1
      let count = (rows - 1) * stride + n
      var weights = Noise.floats(count, in: 0...1, seed: n)
      var upstream = Noise.floats(count, in: -2...2, seed: n + 1)
      let means = Noise.floats(rows, in: -1...1, seed: n + 2)
      // A masked cell: its gradient may be anything.
      weights[stride + n / 2] = 0
      upstream[stride + n / 2] = .nan
      let (w, m) = (GuardedBuffer(weights, edge: edge), GuardedBuffer(means, edge: edge))
      let g = GuardedBuffer(upstream, edge: edge)
      set.kernels.score_gradients(w.base, g.base, stride, rows, n, m.base)
      let result = g.values
      for row in 0..<rows {
        for place in row * stride..<row * stride + n where (row, place) != (1, stride + n / 2) {
          let expected = Double(weights[place]) * (Double(upstream[place]) - Double(means[row]))
          #expect(abs(Double(result[place]) - expected) <= 0x1p-21, "\(n)")
        }
        // What lies between two rows stays.
        if row < rows - 1 { #expect(sameBits(result[row * stride + n], upstream[row * stride + n])) }
      }
      #expect(result[stride + n / 2] == 0)
      for buffer in [w, m, g] { #expect(buffer.surroundingsAreIntact) }
    }
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func softcapGradientsKeepTheirDigitsNearTheCap(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    let cap: Float = 20
    for n in Array(lengths) + [127, 256] where n > 0 {
      // At the cap itself the slope is 0, and an ulp before it still positive.
      let capped = [cap, -cap, cap.nextDown, 0] + Noise.floats(n, in: -cap...cap, seed: n)
      var upstream = Noise.floats(n + 4, in: -2...2, seed: n + 1)
      upstream[3] = 0
      let (c, g) = (GuardedBuffer(capped, edge: edge), GuardedBuffer(upstream, edge: edge))
      set.kernels.softcap_gradients(c.base, cap, g.base, n + 4)
      for (place, value) in g.values.enumerated() {
        let share = Double(capped[place]) / Double(cap)
        let expected = Double(upstream[place]) * (1 - share) * (1 + share)
        // A share is rounded: half an ulp of 1 in a difference from 1.
        #expect(abs(Double(value) - expected) <= 0x1p-22 * abs(expected) + 0x1p-22 * abs(Double(upstream[place])))
      }
      #expect(g.values[0] == 0 && g.values[1] == 0 && g.values[3] == 0)
      #expect(g.values[2] != 0)
      #expect(c.surroundingsAreIntact && g.surroundingsAreIntact)
    }
    // Nothing flows to a cell that is masked, whatever its score was.
    var nothing: Float = 0
    set.kernels.softcap_gradients([.nan], cap, &nothing, 1)
    #expect(nothing == 0)
  }

  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func arithmeticIsThatOfFloats(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    typealias Kernel =
      @convention(c) (
        UnsafePointer<Float>, Bool, UnsafePointer<Float>, Bool, UnsafeMutablePointer<Float>, Int
      ) -> Void
    let operations: [(Kernel, (Float, Float) -> Float)] = [
      (set.kernels.add, { $0 + $1 }), (set.kernels.subtract, { $0 - $1 }), (set.kernels.multiply, { $0 * $1 }),
      (set.kernels.divide, { $0 / $1 }),
    ]
    for n in lengths where n > 0 {
      let x = (Noise.floats(n, in: -2...2, seed: n) + specials).suffix(n)
      let y = (Noise.floats(n, in: -2...2, seed: n + 1) + specials.reversed()).suffix(n)
      for (xIsOne, yIsOne) in [(false, false), (true, false), (false, true)] {
        let a = GuardedBuffer(xIsOne ? x.prefix(1) : x, edge: edge)
        let b = GuardedBuffer(yIsOne ? y.prefix(1) : y, edge: edge)
        for (kernel, operation) in operations {
          let z = GuardedBuffer(repeating: Float.nan, count: n, edge: edge)
          kernel(a.base, xIsOne, b.base, yIsOne, z.base, n)
          let expected = (0..<n).map { operation(a.values[xIsOne ? 0 : $0], b.values[yIsOne ? 0 : $0]) }
          #expect(sameBits(z.values, expected), "\(n)")
          #expect(a.surroundingsAreIntact && b.surroundingsAreIntact && z.surroundingsAreIntact)
        }
      }
    }
  }

  /// A GRU's step and its way back, the reset gate on the state's product; and Elman's steps.
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func gruIsCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for n in 1...35 {
      func noise(_ count: Int, _ seed: Int) -> GuardedBuffer<Float> {
        GuardedBuffer(Noise.floats(count, in: -3...3, seed: n * 20 + seed), edge: edge)
      }
      func room(_ count: Int) -> GuardedBuffer<Float> { GuardedBuffer(repeating: .nan, count: count, edge: edge) }
      let rows = 2
      let (inputs, products, before) = (noise(rows * 3 * n, 1), noise(rows * 3 * n, 2), noise(rows * n, 3))
      let bias = noise(3 * n, 4)
      let (h, gates) = (room(rows * n), room(rows * 4 * n))
      var step = attention_gates(
        cell: ATTENTION_GRU, rows: rows, n: n, inputs: inputs.base, input_stride: 3 * n, input_gate_stride: n,
        products: products.base, product_stride: 3 * n, product_gate_stride: n, bias: bias.base,
        h_previous: before.base, h: h.base, c_previous: nil, c: nil, state_stride: n, gates: gates.base,
        gate_row_stride: 4 * n, gate_stride: n)
      set.kernels.gates(&step)

      let (upstream, ofState) = (noise(rows * n, 5), noise(rows * n, 6))
      let stateBefore = ofState.values
      let (ofInputs, ofProducts) = (room(rows * 3 * n), room(rows * 3 * n))
      var back = attention_gate_gradients(
        cell: ATTENTION_GRU, rows: rows, n: n, upstream: upstream.base, h_gradient: ofState.base, c_gradient: nil,
        h: h.base, h_previous: before.base, c: nil, c_previous: nil, reset_gradient: nil, reset_stride: 0,
        state_stride: n, gates: gates.base, gate_row_stride: 4 * n, gate_stride: n, of_inputs: ofInputs.base,
        of_products: ofProducts.base, gradient_stride: 3 * n)
      set.kernels.gate_gradients(&back)

      for row in 0..<rows {
        for j in 0..<n {
          func input(_ gate: Int) -> Double { Double(inputs.values[row * 3 * n + gate * n + j]) }
          func product(_ gate: Int) -> Double {
            Double(products.values[row * 3 * n + gate * n + j]) + Double(bias.values[gate * n + j])
          }
          func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
          let (r, z) = (sigmoid(input(0) + product(0)), sigmoid(input(1) + product(1)))
          let candidate = tanh(input(2) + r * product(2))
          let previous = Double(before.values[row * n + j])
          let place = row * n + j
          #expect(abs(Double(h.values[place]) - ((1 - z) * candidate + z * previous)) < 4e-6)

          let slope = Double(upstream.values[place]) + Double(stateBefore[place])
          let ofCandidate = slope * (1 - z) * (1 - candidate * candidate)
          let ofReset = ofCandidate * product(2) * r * (1 - r)
          let ofUpdate = slope * (previous - candidate) * z * (1 - z)
          for (gate, expected) in [ofReset, ofUpdate, ofCandidate].enumerated() {
            #expect(abs(Double(ofInputs.values[row * 3 * n + gate * n + j]) - expected) < 3e-5)
          }
          for (gate, expected) in [ofReset, ofUpdate, ofCandidate * r].enumerated() {
            #expect(abs(Double(ofProducts.values[row * 3 * n + gate * n + j]) - expected) < 3e-5)
          }
          #expect(abs(Double(ofState.values[place]) - slope * z) < 1e-5)
        }
      }
      for buffer in [h, gates, ofState, ofInputs, ofProducts] { #expect(buffer.surroundingsAreIntact) }

      for cell in [ATTENTION_ELMAN_TANH, ATTENTION_ELMAN_RELU] {
        let (h, ofState, ofInputs) = (room(rows * n), noise(rows * n, 6), room(rows * n))
        var step = attention_gates(
          cell: cell, rows: rows, n: n, inputs: inputs.base, input_stride: n, input_gate_stride: n,
          products: products.base, product_stride: n, product_gate_stride: n, bias: bias.base,
          h_previous: before.base, h: h.base, c_previous: nil, c: nil, state_stride: n, gates: nil,
          gate_row_stride: 0, gate_stride: 0)
        set.kernels.gates(&step)
        var back = attention_gate_gradients(
          cell: cell, rows: rows, n: n, upstream: upstream.base, h_gradient: ofState.base, c_gradient: nil,
          h: h.base, h_previous: before.base, c: nil, c_previous: nil, reset_gradient: nil, reset_stride: 0,
          state_stride: n, gates: nil, gate_row_stride: 0, gate_stride: 0, of_inputs: ofInputs.base,
          of_products: nil, gradient_stride: n)
        set.kernels.gate_gradients(&back)
        for place in 0..<rows * n {
          let sum = Double(inputs.values[place]) + Double(products.values[place]) + Double(bias.values[place % n])
          let state = cell == ATTENTION_ELMAN_TANH ? tanh(sum) : max(0, sum)
          #expect(abs(Double(h.values[place]) - state) < 2e-6)
          let slope = cell == ATTENTION_ELMAN_TANH ? 1 - state * state : sum > 0 ? 1 : 0
          let upstreamSum = Double(upstream.values[place]) + Double(stateBefore[place])
          #expect(abs(Double(ofInputs.values[place]) - upstreamSum * slope) < 1e-5)
          #expect(ofState.values[place] == 0)
        }
        for buffer in [h, ofState, ofInputs] { #expect(buffer.surroundingsAreIntact) }
      }
    }
  }
}
