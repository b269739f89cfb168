import Attention
import Foundation

/// Layers in float64, by their definitions; slow and plain. Parameters by the names of PyTorch's modules.
struct ReferenceLayers {
  let parameters: [String: [Double]]

  private func parameter(_ name: String) -> [Double] { parameters[name] ?? [] }

  /// x·Wᵀ + b for rows side by side.
  private func linear(_ x: [Double], inputs: Int, _ name: String) -> [Double] {
    Self.product(x, parameter("\(name).weight"), inputs: inputs, bias: parameter("\(name).bias"))
  }

  static func product(_ x: [Double], _ weight: [Double], inputs: Int, bias: [Double]) -> [Double] {
    let (rows, outputs) = (x.count / inputs, weight.count / inputs)
    var result = [Double](repeating: 0, count: rows * outputs)
    x.withUnsafeBufferPointer { x in
      weight.withUnsafeBufferPointer { weight in
        for row in 0..<rows {
          for output in 0..<outputs {
            let (a, b) = (x.baseAddress! + row * inputs, weight.baseAddress! + output * inputs)
            // Eight sums side by side: the order is of no matter here.
            var sums = SIMD8<Double>.zero
            var index = 0
            while index + 8 <= inputs {
              let left = UnsafeRawPointer(a + index).loadUnaligned(as: SIMD8<Double>.self)
              sums += left * UnsafeRawPointer(b + index).loadUnaligned(as: SIMD8<Double>.self)
              index += 8
            }
            var sum = sums.sum()
            while index < inputs {
              sum += a[index] * b[index]
              index += 1
            }
            result[row * outputs + output] = sum + (bias.isEmpty ? 0 : bias[output])
          }
        }
      }
    }
    return result
  }

  static func layerNorm(_ x: [Double], width: Int, weight: [Double], bias: [Double], epsilon: Double = 1e-5) -> [Double]
  {
    var result = x
    for start in stride(from: 0, to: x.count, by: width) {
      let row = x[start..<start + width]
      let mean = row.reduce(0, +) / Double(width)
      let variance = row.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width)
      for column in 0..<width {
        result[start + column] =
          (x[start + column] - mean) / (variance + epsilon).squareRoot() * weight[column] + bias[column]
      }
    }
    return result
  }

  // MARK: Encoder block

  /// One sequence through an encoder block (Vaswani et al., 1706.03762, §3.1; with its norms first, Xiong et al.,
  /// 2002.04745).
  func block(
    _ x: [Double], width: Int, heads: Int, feedForward: Int, isPre: Bool, activation: Activation = .gelu,
    epsilon: Double = 1e-5
  ) -> [Double] {
    func norm(_ x: [Double], _ name: String) -> [Double] {
      Self.layerNorm(
        x, width: width, weight: parameter("\(name).weight"), bias: parameter("\(name).bias"), epsilon: epsilon)
    }
    func inner(_ x: [Double]) -> [Double] {
      let wide = linear(x, inputs: width, "linear1").map { activation.reference($0) }
      return linear(wide, inputs: feedForward, "linear2")
    }
    func plus(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map(+) }
    if isPre {
      let first = plus(x, attention(norm(x, "norm1"), width: width, heads: heads))
      return plus(first, inner(norm(first, "norm2")))
    }
    let first = norm(plus(x, attention(x, width: width, heads: heads)), "norm1")
    return norm(plus(first, inner(first)), "norm2")
  }

  private func attention(_ x: [Double], width: Int, heads: Int) -> [Double] {
    let projected = Self.product(
      x, parameter("self_attn.in_proj_weight"), inputs: width, bias: parameter("self_attn.in_proj_bias"))
    let (length, d) = (x.count / width, width / heads)
    var joined = [Double](repeating: 0, count: x.count)
    for head in 0..<heads {
      func part(_ token: Int, _ third: Int) -> ArraySlice<Double> {
        let start = token * 3 * width + third * width + head * d
        return projected[start..<start + d]
      }
      for query in 0..<length {
        let scores = (0..<length).map { key in
          zip(part(query, 0), part(key, 1)).reduce(0) { $0 + $1.0 * $1.1 } / Double(d).squareRoot()
        }
        let largest = scores.max() ?? 0
        let weights = scores.map { exp($0 - largest) }
        let sum = weights.reduce(0, +)
        for key in 0..<length {
          for (column, value) in part(key, 2).enumerated() {
            joined[query * width + head * d + column] += weights[key] / sum * value
          }
        }
      }
    }
    return linear(joined, inputs: width, "self_attn.out_proj")
  }

  // MARK: Recurrent layers

  /// One sequence through a recurrent layer from a state of zeros, as PyTorch defines it: LSTM gates i, f, g, o; GRU gates
  /// r, z, n with the reset inside.
  func recurrent(_ kind: LayerCase.Kind, _ x: [Double], inputs: Int, hidden: Int) -> [Double] {
    let fromInput = Self.product(x, parameter("weight_ih_l0"), inputs: inputs, bias: parameter("bias_ih_l0"))
    let gates = fromInput.count / (x.count / inputs)
    var (state, cell) = ([Double](repeating: 0, count: hidden), [Double](repeating: 0, count: hidden))
    var result: [Double] = []
    for step in 0..<x.count / inputs {
      let a = Array(fromInput[step * gates..<(step + 1) * gates])
      let b = Self.product(state, parameter("weight_hh_l0"), inputs: hidden, bias: parameter("bias_hh_l0"))
      func sum(_ gate: Int, _ unit: Int) -> Double { a[gate * hidden + unit] + b[gate * hidden + unit] }
      func sigmoid(_ x: Double) -> Double { 1 / (1 + exp(-x)) }
      for unit in 0..<hidden {
        switch kind {
        case .lstm:
          cell[unit] = sigmoid(sum(1, unit)) * cell[unit] + sigmoid(sum(0, unit)) * tanh(sum(2, unit))
          state[unit] = sigmoid(sum(3, unit)) * tanh(cell[unit])
        case .gru:
          let (reset, update) = (sigmoid(sum(0, unit)), sigmoid(sum(1, unit)))
          let new = tanh(a[2 * hidden + unit] + reset * b[2 * hidden + unit])
          state[unit] = (1 - update) * new + update * state[unit]
        default: state[unit] = tanh(sum(0, unit))
        }
      }
      result += state
    }
    return result
  }
}
