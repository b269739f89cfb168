import CAttentionKernels

/// Products with the left side transposed, leftᵀ·right: the gradients of weights, summed over all rows of a batch.
package enum TransposedProduct {
  /// result `[left columns, right columns]` = leftᵀ · right (+ result).
  ///
  /// Its bits depend on the shapes and the scalars alone. O(rows · left columns · right columns).
  ///
  /// - Precondition: both sides have as many rows, the result fits, and every extent and stride is below 2³¹.
  package static func multiply(
    _ left: MatrixView, _ right: MatrixView, into result: MutableMatrixView, adding: Bool = false
  ) {
    require(
      left.rows == right.rows && result.rows == left.columns && result.columns == right.columns,
      """
      TransposedProduct: [\(left.rows), \(left.columns)] transposed times [\(right.rows), \(right.columns)] into \
      [\(result.rows), \(result.columns)]
      """)
    require(
      [left.rows, left.rowStride, right.rowStride, result.rows, result.rowStride].allSatisfy { $0 < 1 << 31 },
      "TransposedProduct: [\(left.rows), \(left.columns)] and [\(right.rows), \(right.columns)] pass 32-bit integers")
    guard result.rows > 0, result.columns > 0 else { return }
    guard left.rows > 0 else {
      guard !adding else { return }
      for row in 0..<result.rows { (result.base + row * result.rowStride).update(repeating: 0, count: result.columns) }
      return
    }
    let grid = Grid(result)
    let parts = grid.parts(rows: left.rows)
    guard parts.count > 1 else {
      return WorkerPool.shared.forEach(grid.count, inline: left.rows * grid.area < 1 << 16) { task in
        grid.tile(task).multiply(left, right, rows: parts[0], into: result, adding: adding)
      }
    }
    // A small result of many rows: each part has a sum of its own, and they are added in order.
    let sums = TensorStorage(minimumCapacity: parts.count * grid.area)
    let base = Unchecked(sums.base)
    let columns = result.columns
    WorkerPool.shared.forEach(parts.count * grid.count) { task in
      let (part, tile) = task.quotientAndRemainder(dividingBy: grid.count)
      let into = MutableMatrixView(
        base: base.value + part * grid.area, rows: result.rows, columns: columns, rowStride: columns)
      grid.tile(tile).multiply(left, right, rows: parts[part], into: into, adding: false)
    }
    for row in 0..<result.rows {
      let target = result.base + row * result.rowStride
      for part in parts.indices {
        let source = base.value + part * grid.area + row * columns
        if part == 0, !adding {
          target.update(from: source, count: columns)
        } else {
          KernelSet.kernels.pointee.axpy(1, source, target, columns)
        }
      }
    }
    withExtendedLifetime(sums) {}
  }

  /// How a result is cut into tasks, by its shape alone.
  private struct Grid: Sendable {
    let rows: Int
    let columns: Int
    let tileRows: Int
    let tileColumns: Int

    init(_ result: MutableMatrixView) {
      rows = result.rows
      columns = result.columns
      let isSmall = ProductTiles.current.smallVolume != nil
      // Large tiles copy little, but there should be work for several threads.
      var (height, width) = isSmall ? (4 * Tile.smallRows, 6 * Tile.smallColumns) : (512, 512)
      while width > 128, Grid.count(rows, height) * Grid.count(columns, width) < 8 {
        if height >= width, height > 96 { height /= 2 } else { width /= 2 }
      }
      (tileRows, tileColumns) = (height, width)
    }

    private static func count(_ extent: Int, _ step: Int) -> Int { (extent + step - 1) / step }

    var count: Int { Grid.count(rows, tileRows) * Grid.count(columns, tileColumns) }
    var area: Int { rows * columns }

    /// Where the result has few tiles, long sums are cut into parts.
    func parts(rows: Int) -> [Range<Int>] {
      let count = self.count >= 4 ? 1 : max(1, min(8, rows / 1024))
      let length = (rows + count - 1) / count
      return stride(from: 0, to: rows, by: length).map { $0..<min(rows, $0 + length) }
    }

    func tile(_ task: Int) -> Tile {
      let (row, column) = task.quotientAndRemainder(dividingBy: Grid.count(columns, tileColumns))
      return Tile(
        rows: row * tileRows..<min(rows, (row + 1) * tileRows),
        columns: column * tileColumns..<min(columns, (column + 1) * tileColumns))
    }
  }

  /// Some rows and columns of the result: columns of the left side and of the right one.
  private struct Tile {
    let rows: Range<Int>
    let columns: Range<Int>

    /// What a small-matrix product takes: 96 · 64 · 128 multiply-adds.
    static let smallRows = 96
    static let smallColumns = 64
    static let smallInner = 128

    func multiply(
      _ left: MatrixView, _ right: MatrixView, rows inner: Range<Int>, into result: MutableMatrixView, adding: Bool
    ) {
      let target = result.base + rows.lowerBound * result.rowStride + columns.lowerBound
      guard ProductTiles.current.smallVolume != nil else {
        return MatrixProduct.multiplyTile(
          rows: rows.count, columns: columns.count, inner: inner.count,
          left.base + inner.lowerBound * left.rowStride + rows.lowerBound, leftStride: left.rowStride,
          transposingLeft: true, right.base + inner.lowerBound * right.rowStride + columns.lowerBound,
          rightStride: right.rowStride, into: target, resultStride: result.rowStride, adding: adding)
      }
      multiplySmall(left, right, rows: inner, into: target, resultStride: result.rowStride, adding: adding)
    }

    /// By small-matrix kernels over copies of both sides, in which a product's rows lie close together.
    private func multiplySmall(
      _ left: MatrixView, _ right: MatrixView, rows inner: Range<Int>, into target: UnsafeMutablePointer<Float>,
      resultStride: Int, adding: Bool
    ) {
      let (height, width) = (rows.count, ProductTiles.padded(columns.count))
      let storage = TensorStorage(minimumCapacity: Tile.smallInner * (height + width))
      let (a, b) = (storage.base, storage.base + Tile.smallInner * height)
      for start in stride(from: inner.lowerBound, to: inner.upperBound, by: Tile.smallInner) {
        let count = min(Tile.smallInner, inner.upperBound - start)
        copy(left, start..<start + count, rows, step: Tile.smallRows, into: a)
        copy(right, start..<start + count, columns, step: Tile.smallColumns, into: b)
        for i in stride(from: 0, to: height, by: Tile.smallRows) {
          let m = min(Tile.smallRows, height - i)
          for j in stride(from: 0, to: columns.count, by: Tile.smallColumns) {
            let n = min(Tile.smallColumns, columns.count - j)
            MatrixProduct.multiplyTile(
              rows: m, columns: n, inner: count, a + i * count, leftStride: m, transposingLeft: true, b + j * count,
              rightStride: n, into: target + i * resultStride + j, resultStride: resultStride,
              adding: adding || start > inner.lowerBound)
          }
        }
      }
      withExtendedLifetime(storage) {}
    }

    /// Columns of some rows in strips of `step` columns, each strip's rows one after another.
    private func copy(
      _ source: MatrixView, _ rows: Range<Int>, _ columns: Range<Int>, step: Int,
      into target: UnsafeMutablePointer<Float>
    ) {
      for (index, row) in rows.enumerated() {
        let from = source.base + row * source.rowStride + columns.lowerBound
        for first in stride(from: 0, to: columns.count, by: step) {
          let width = min(step, columns.count - first)
          (target + first * rows.count + index * width).update(from: from + first, count: width)
        }
      }
    }
  }
}
