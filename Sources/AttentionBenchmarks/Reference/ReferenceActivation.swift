import Attention
import Foundation

extension Activation {
  /// Its value in float64, by its definition.
  package func reference(_ x: Double) -> Double {
    switch self {
    case .relu: x.isNaN ? x : max(x, 0)
    case .gelu: x * 0.5 * erfc(-x * 0.5.squareRoot())
    case .geluTanh: x * 0.5 * (1 + Foundation.tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .silu: x / (1 + exp(-x))
    case .tanh: Foundation.tanh(x)
    case .sigmoid: 1 / (1 + exp(-x))
    }
  }
}
