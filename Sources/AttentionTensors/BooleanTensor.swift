/// An array of truth values of any rank, one byte a cell, row-major: what an `allowed` mask is made of.
public struct BooleanTensor: Sendable, Equatable {
  /// The length of each axis, outermost first.
  public let shape: [Int]
  private let storage: BooleanStorage

  /// The cells in row-major order. O(count).
  public var cells: [Bool] { Array(storage.cells) }

  /// Creates a tensor from its cells in row-major order.
  ///
  /// - Precondition: `cells.count` is the product of `shape`.
  public init(_ cells: [Bool], shape: [Int]) {
    require(
      Tensor.scalarCount(of: shape) == cells.count,
      "BooleanTensor: \(cells.count) cells do not fill the shape \(shape)")
    self.shape = shape
    self.storage = BooleanStorage(cells)
  }

  /// Creates a `[rows, columns]` tensor from a closure, called once for each cell. No other memory is taken.
  package init(rows: Int, columns: Int, _ cell: (_ row: Int, _ column: Int) -> Bool) {
    shape = [rows, columns]
    storage = BooleanStorage(count: Tensor.scalarCount(of: shape)) { cells in
      for row in 0..<rows { for column in 0..<columns { cells[row * columns + column] = cell(row, column) } }
    }
  }

  /// The number of axes.
  public var rank: Int { shape.count }

  /// The cells as bytes, 0 or 1. The pointer is valid as long as this tensor or a copy of it lives.
  package var bytes: UnsafePointer<UInt8> {
    UnsafeRawPointer(storage.cells.baseAddress!).assumingMemoryBound(to: UInt8.self)
  }

  /// Whether shapes and cells are equal. O(count).
  public static func == (left: BooleanTensor, right: BooleanTensor) -> Bool {
    left.shape == right.shape && left.storage.cells.elementsEqual(right.storage.cells)
  }
}

/// Immutable cells at an address that does not change.
private final class BooleanStorage: @unchecked Sendable {
  // @unchecked: never written after init.
  let cells: UnsafeBufferPointer<Bool>

  convenience init(_ source: [Bool]) {
    self.init(count: source.count) { _ = $0.update(from: source) }
  }

  init(count: Int, fill: (UnsafeMutableBufferPointer<Bool>) -> Void) {
    let memory = UnsafeMutableBufferPointer<Bool>.allocate(capacity: max(1, count))
    fill(memory)
    cells = UnsafeBufferPointer(rebasing: memory[..<count])
  }

  deinit { UnsafeMutablePointer(mutating: cells.baseAddress!).deallocate() }
}
