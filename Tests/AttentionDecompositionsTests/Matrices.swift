import Attention
import AttentionDecompositions

/// Matrices of all the shapes that a decomposition treats apart, and products in float64.
enum Matrices {
  static let shapes = [
    [1, 1], [1, 7], [7, 1], [3, 3], [5, 3], [3, 5], [64, 64], [33, 65], [130, 70], [70, 130], [200, 9],
  ]

  static func normal(_ shape: [Int], seed: UInt64 = 1) -> Tensor {
    var generator = SeededGenerator(seed: seed)
    return Tensor(randomNormal: shape, using: &generator)
  }

  /// 1 / (i + j + 1): symmetric, and nearly singular from order 6 on in float32.
  static func hilbert(_ order: Int) -> Tensor {
    Tensor((0..<order * order).map { 1 / Float($0 / order + $0 % order + 1) }, shape: [order, order])
  }

  static func diagonal(_ values: [Float]) -> Tensor {
    var matrix = Tensor(zeros: [values.count, values.count])
    for (index, value) in values.enumerated() { matrix[index, index] = value }
    return matrix
  }

  static func transposed(_ a: Tensor) -> Tensor {
    let (rows, columns) = (a.shape[0], a.shape[1])
    return Tensor((0..<a.count).map { a.scalars[$0 % rows * columns + $0 / rows] }, shape: [columns, rows])
  }

  static func product(_ a: Tensor, _ b: Tensor) -> Tensor {
    let (rows, inner, columns) = (a.shape[0], a.shape[1], b.shape[1])
    let (left, right) = (a.scalars, b.scalars)
    return Tensor(
      (0..<rows * columns).map { index in
        let (row, column) = index.quotientAndRemainder(dividingBy: max(1, columns))
        return Float(
          (0..<inner).reduce(0.0) { $0 + Double(left[row * inner + $1]) * Double(right[$1 * columns + column]) })
      }, shape: [rows, columns])
  }

  /// The largest absolute difference.
  static func distance(_ a: Tensor, _ b: Tensor) -> Float {
    guard a.shape == b.shape else { return .infinity }
    return zip(a.scalars, b.scalars).reduce(0) { max($0, ($1.0 - $1.1).isNaN ? .infinity : abs($1.0 - $1.1)) }
  }

  /// By how much columns miss being orthonormal.
  static func orthonormalityError(ofColumnsOf a: Tensor) -> Float {
    distance(product(transposed(a), a), diagonal([Float](repeating: 1, count: a.shape[1])))
  }
}
