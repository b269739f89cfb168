import Attention
import AttentionTestSupport

/// A matrix against a guard page, whose rows may lie further apart than they are long, for products to read and write.
final class FloatMatrix {
  let rows: Int
  let columns: Int
  let rowStride: Int
  private let buffer: GuardedBuffer<Float>

  /// What stands between the rows.
  private static let gap: Float = 12345

  init(_ values: [Float], rows: Int, columns: Int, gap: Int = 0, edge: GuardedBuffer<Float>.Edge = .end) {
    self.rows = rows
    self.columns = columns
    rowStride = max(1, columns + gap)
    let stride = rowStride
    // Nothing follows the last row.
    let count = rows == 0 ? 0 : (rows - 1) * stride + columns
    buffer = GuardedBuffer(
      (0..<count).map { index in
        let (row, column) = index.quotientAndRemainder(dividingBy: stride)
        return column < columns ? values[row * columns + column] : FloatMatrix.gap
      }, edge: edge)
  }

  convenience init(
    random rows: Int, _ columns: Int, seed: UInt64, gap: Int = 0, edge: GuardedBuffer<Float>.Edge = .end
  ) {
    var generator = SeededGenerator(seed: seed)
    let values = (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &generator) }
    self.init(values, rows: rows, columns: columns, gap: gap, edge: edge)
  }

  /// For as long as this object lives.
  var view: MatrixView { MatrixView(base: buffer.base, rows: rows, columns: columns, rowStride: rowStride) }
  var mutableView: MutableMatrixView {
    MutableMatrixView(base: buffer.base, rows: rows, columns: columns, rowStride: rowStride)
  }
  var base: UnsafeMutablePointer<Float> { buffer.base }

  subscript(row: Int, column: Int) -> Float { buffer.elements[row * rowStride + column] }

  /// The elements without what stands between the rows.
  var values: [Float] {
    (0..<rows).flatMap { Array(UnsafeBufferPointer(start: base + $0 * rowStride, count: columns)) }
  }

  var bits: [UInt32] { values.map(\.bitPattern) }

  var transposed: [Float] { (0..<columns).flatMap { column in (0..<rows).map { self[$0, column] } } }

  /// Whether nobody wrote between or around the rows.
  var surroundingsAreIntact: Bool {
    buffer.surroundingsAreIntact
      && (0..<max(0, rows - 1)).allSatisfy { row in
        (columns..<rowStride).allSatisfy { self[row, $0] == FloatMatrix.gap }
      }
  }

  /// self · other in float64.
  func product(_ other: FloatMatrix) -> [Double] {
    var sums = [Double](repeating: 0, count: rows * other.columns)
    sums.withUnsafeMutableBufferPointer { sums in
      for row in 0..<rows {
        for position in 0..<columns {
          let factor = Double(self[row, position])
          let source = other.base + position * other.rowStride
          // Many millions of steps, without optimisation.
          var column = 0
          while column < other.columns {
            sums[row * other.columns + column] += factor * Double(source[column])
            column &+= 1
          }
        }
      }
    }
    return sums
  }
}

/// The largest distance of numbers from float64's; infinite where there are not as many.
func largestError(_ found: [Float], _ expected: [Double]) -> Double {
  guard found.count == expected.count else { return .infinity }
  return zip(found, expected).reduce(0) { known, pair in
    let error = abs(Double(pair.0) - pair.1)
    return error.isNaN ? .infinity : max(known, error)
  }
}
