/// A strided view of float32 rows in somebody else's memory: element (i, j) is `base[i * rowStride + j]`.
///
/// Splitting a `[tokens, heads · d]` matrix into heads is such a view, so nothing is copied.
package struct MatrixView: @unchecked Sendable {
  // @unchecked: whoever makes it answers for who writes there meanwhile.
  package let base: UnsafePointer<Float>
  package let rows: Int
  package let columns: Int
  package let rowStride: Int

  package init(base: UnsafePointer<Float>, rows: Int, columns: Int, rowStride: Int) {
    self.base = base
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride
  }
}

/// A ``MatrixView`` that can be written to.
package struct MutableMatrixView: @unchecked Sendable {
  // @unchecked: several threads may write to rows or columns of their own.
  package let base: UnsafeMutablePointer<Float>
  package let rows: Int
  package let columns: Int
  package let rowStride: Int

  package init(base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, rowStride: Int) {
    self.base = base
    self.rows = rows
    self.columns = columns
    self.rowStride = rowStride
  }
}

/// Products by `cblas_sgemm`, with every dimension checked to fit its 32-bit integers.
package enum MatrixProduct {
  /// result = factor · left · right, or factor · left · rightᵀ. What `result` held before is not read.
  ///
  /// An empty inner dimension gives zeros. O(rows · columns · inner).
  ///
  /// - Precondition: the shapes fit; every dimension and stride is below 2³¹; the calling thread computes for the
  ///   ``WorkerPool`` (OpenBLAS is at one thread there).
  package static func multiply(
    _ left: MatrixView, _ right: MatrixView, transposingRight: Bool = false, factor: Float = 1,
    into result: MutableMatrixView
  ) {
    let inner = transposingRight ? right.columns : right.rows
    let columns = transposingRight ? right.rows : right.columns
    require(
      left.columns == inner && result.rows == left.rows && result.columns == columns,
      """
      MatrixProduct: [\(left.rows), \(left.columns)] times [\(right.rows), \(right.columns)]\
      \(transposingRight ? " transposed" : "") does not give [\(result.rows), \(result.columns)]
      """)
    guard result.rows > 0, columns > 0 else { return }
    guard inner > 0 else {
      for row in 0..<result.rows { (result.base + row * result.rowStride).update(repeating: 0, count: columns) }
      return
    }
    let extents = [left.rows, columns, inner, left.rowStride, right.rowStride, result.rowStride]
    require(
      extents.allSatisfy { $0 < 1 << 31 },
      "MatrixProduct: of rows, columns, inner extent and strides \(extents) one does not fit OpenBLAS's 32-bit integers"
    )
    multiplyTile(
      rows: left.rows, columns: columns, inner: inner, factor: factor, left.base, leftStride: left.rowStride,
      right.base,
      rightStride: right.rowStride, transposingRight: transposingRight, into: result.base,
      resultStride: result.rowStride)
  }

  /// result = left · right, by as many rows at a time as OpenBLAS's small-matrix kernels take, where it has them.
  ///
  /// Those kernels (on the AVX-512 cores) pack nothing and run a fifth faster, up to a million multiply-adds a call.
  ///
  /// - Precondition: as for ``multiply(_:_:transposingRight:factor:into:)``.
  package static func multiplyByTiles(
    _ left: MatrixView, _ right: MatrixView, factor: Float = 1, into result: MutableMatrixView
  ) {
    let rows = (ProductTiles.current.smallVolume ?? 0) / max(1, right.rows * right.columns)
    guard rows >= 16, rows < left.rows else { return multiply(left, right, factor: factor, into: result) }
    // Tiles of nearly equal height: a few rows alone would not fill the kernel.
    let tiles = (left.rows + rows - 1) / rows
    let height = min(rows, ((left.rows + tiles - 1) / tiles + 7) / 8 * 8)
    for first in stride(from: 0, to: left.rows, by: height) {
      let count = min(height, left.rows - first)
      multiply(
        MatrixView(
          base: left.base + first * left.rowStride, rows: count, columns: left.columns, rowStride: left.rowStride),
        right, factor: factor,
        into: MutableMatrixView(
          base: result.base + first * result.rowStride, rows: count, columns: result.columns,
          rowStride: result.rowStride))
    }
  }

  private static func panelColumns(inner: Int) -> Int {
    ProductTiles.current.smallVolume == nil || inner == 0
      ? 0 : ProductTiles.current.panelColumns(inner: inner, limit: 128)
  }

  /// The room that ``multiplyByPanels(_:transposing:factor:panel:into:)`` needs for a panel.
  package static func panelScalars(inner: Int) -> Int { inner * panelColumns(inner: inner) }

  /// result = factor · left · rightᵀ, by tiles over transposed panels of `right`, where OpenBLAS has kernels for them.
  ///
  /// A product with a transposed right side packs both sides; transposing a panel once for all rows costs less.
  ///
  /// - Parameter panel: room for ``panelScalars(inner:)``.
  /// - Precondition: as for ``multiply(_:_:transposingRight:factor:into:)``.
  package static func multiplyByPanels(
    _ left: MatrixView, transposing right: MatrixView, factor: Float, panel: UnsafeMutablePointer<Float>,
    into result: MutableMatrixView
  ) {
    let inner = right.columns
    let width = panelColumns(inner: inner)
    guard width > 0, left.rows >= 16 else {
      return multiply(left, right, transposingRight: true, factor: factor, into: result)
    }
    require(
      left.columns == inner && result.rows == left.rows && result.columns == right.rows,
      """
      MatrixProduct: [\(left.rows), \(left.columns)] times [\(right.rows), \(right.columns)] transposed does not give \
      [\(result.rows), \(result.columns)]
      """)
    for first in stride(from: 0, to: right.rows, by: width) {
      let count = min(width, right.rows - first)
      KernelSet.kernels.pointee.transpose(
        right.base + first * right.rowStride, right.rowStride, panel, width, count, inner)
      multiplyByTiles(
        left, MatrixView(base: panel, rows: inner, columns: count, rowStride: width), factor: factor,
        into: MutableMatrixView(
          base: result.base + first, rows: result.rows, columns: count, rowStride: result.rowStride))
    }
  }
}

extension MatrixView {
  /// The same rows, for reading.
  package init(_ view: MutableMatrixView) {
    self.init(base: UnsafePointer(view.base), rows: view.rows, columns: view.columns, rowStride: view.rowStride)
  }
}
