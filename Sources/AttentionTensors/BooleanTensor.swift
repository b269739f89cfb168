/// An array of truth values of any rank, one byte a cell, row-major: what an `allowed` mask is made of.
public struct BooleanTensor: Sendable, Equatable {
  /// The length of each axis, outermost first.
  public let shape: [Int]
  /// The cells in row-major order.
  public let cells: [Bool]

  /// Creates a tensor from its cells in row-major order.
  ///
  /// - Precondition: `cells.count` is the product of `shape`.
  public init(_ cells: [Bool], shape: [Int]) {
    precondition(
      Tensor.scalarCount(of: shape) == cells.count,
      "BooleanTensor: \(cells.count) cells do not fill the shape \(shape)")
    self.shape = shape
    self.cells = cells
  }

  /// The number of axes.
  public var rank: Int { shape.count }
}
