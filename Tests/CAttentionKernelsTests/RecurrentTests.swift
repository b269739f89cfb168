import AttentionTestSupport
import CAttentionKernels
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

@Suite struct RecurrentTests {
  /// Every number of rows and columns, flush against a page that nobody may touch; each row's bits are its own.
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func panelProductIsCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    let width = 2 * set.kernels.lanes
    for rows in 1...26 {
      for (inner, columns) in [(1, width), (7, width - 1), (33, 1), (20, width / 2), (5, width / 2 + 1)] {
        let leftStride = inner + 3
        let left = Noise.floats((rows - 1) * leftStride + inner, in: -1...1, seed: rows)
        let panel = Noise.floats(inner * width, in: -1...1, seed: rows + 1)
        let before = Noise.floats(rows * columns, in: -1...1, seed: rows + 2)
        let (a, b) = (GuardedBuffer(left, edge: edge), GuardedBuffer(panel, edge: edge))
        for adding in [false, true] {
          let c = GuardedBuffer(before, edge: edge)
          set.kernels.panel_product(a.base, leftStride, rows, inner, b.base, c.base, columns, columns, adding)
          for row in 0..<rows {
            for column in 0..<columns {
              let expected = (0..<inner).reduce(adding ? Double(before[row * columns + column]) : 0) {
                $0 + Double(left[row * leftStride + $1]) * Double(panel[$1 * width + column])
              }
              #expect(abs(Double(c.values[row * columns + column]) - expected) <= Double(inner + 1) * 0x1p-23)
            }
            let alone = GuardedBuffer(before[row * columns..<(row + 1) * columns], edge: edge)
            set.kernels.panel_product(
              a.base + row * leftStride, leftStride, 1, inner, b.base, alone.base, columns, columns, adding)
            #expect(sameBits(alone.values, Array(c.values[row * columns..<(row + 1) * columns])))
          }
          #expect(c.surroundingsAreIntact)
        }
      }
    }
  }

  /// An LSTM's step and its way back, whatever the number of columns.
  @Test(arguments: KernelSet.available, GuardedBuffer<Float>.Edge.allCases)
  func lstmIsCloseToDouble(set: KernelSet, edge: GuardedBuffer<Float>.Edge) {
    for n in 1...35 {
      func noise(_ count: Int, _ seed: Int) -> GuardedBuffer<Float> {
        GuardedBuffer(Noise.floats(count, in: -3...3, seed: n * 20 + seed), edge: edge)
      }
      func room(_ count: Int) -> GuardedBuffer<Float> { GuardedBuffer(repeating: .nan, count: count, edge: edge) }
      let rows = 2
      let (inputs, products, before) = (noise(rows * 4 * n, 1), noise(rows * 4 * n, 2), noise(rows * n, 3))
      let (h, c, gates) = (room(rows * n), room(rows * n), room(rows * 4 * n))
      var step = attention_gates(
        cell: ATTENTION_LSTM, rows: rows, n: n, inputs: inputs.base, input_stride: 4 * n, input_gate_stride: n,
        products: products.base, product_stride: 4 * n, product_gate_stride: n, bias: nil, h_previous: before.base,
        h: h.base, c_previous: before.base, c: c.base, state_stride: n, gates: gates.base, gate_row_stride: 4 * n,
        gate_stride: n)
      set.kernels.gates(&step)

      let upstream = noise(rows * n, 4)
      let (ofState, ofCell) = (noise(rows * n, 5), noise(rows * n, 6))
      let (stateBefore, cellBefore) = (ofState.values, ofCell.values)
      let ofGates = room(rows * 4 * n)
      var back = attention_gate_gradients(
        cell: ATTENTION_LSTM, rows: rows, n: n, upstream: upstream.base, h_gradient: ofState.base,
        c_gradient: ofCell.base, h: h.base, h_previous: before.base, c: c.base, c_previous: before.base,
        reset_gradient: nil, reset_stride: 0, state_stride: n, gates: gates.base, gate_row_stride: 4 * n,
        gate_stride: n, of_inputs: ofGates.base, of_products: nil, gradient_stride: 4 * n)
      set.kernels.gate_gradients(&back)

      for row in 0..<rows {
        for j in 0..<n {
          func sum(_ gate: Int) -> Double {
            let place = row * 4 * n + gate * n + j
            return Double(inputs.values[place]) + Double(products.values[place])
          }
          func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
          let (i, f, g, o) = (sigmoid(sum(0)), sigmoid(sum(1)), tanh(sum(2)), sigmoid(sum(3)))
          let place = row * n + j
          let previous = Double(before.values[place])
          let cell = f * previous + i * g
          #expect(abs(Double(c.values[place]) - cell) < 2e-6)
          #expect(abs(Double(h.values[place]) - o * tanh(cell)) < 2e-6)
          let slope = Double(upstream.values[place]) + Double(stateBefore[place])
          let ofC = Double(cellBefore[place]) + slope * o * (1 - tanh(cell) * tanh(cell))
          let expected = [
            ofC * g * i * (1 - i), ofC * previous * f * (1 - f), ofC * i * (1 - g * g),
            slope * tanh(cell) * o * (1 - o),
          ]
          for gate in 0..<4 {
            #expect(abs(Double(ofGates.values[row * 4 * n + gate * n + j]) - expected[gate]) < 1e-5)
          }
          #expect(abs(Double(ofCell.values[place]) - ofC * f) < 1e-5)
          #expect(ofState.values[place] == 0)
        }
      }
      for buffer in [h, c, gates, ofGates, ofState, ofCell] { #expect(buffer.surroundingsAreIntact) }
    }
  }
}
