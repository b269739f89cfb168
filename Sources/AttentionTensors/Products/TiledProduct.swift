import CAttentionKernels

/// Products by tiles on all threads, with what follows a product done to each tile while it is in the nearest cache.
package enum TiledProduct {
  /// What stands on the right.
  package enum Right: Sendable {
    /// `[inner, columns]`, packed before.
    case packed(PackedMatrix)
    /// `[inner, columns]`.
    case rows(MatrixView)
    /// The transpose of a matrix `[columns, inner]`.
    case transposed(MatrixView)

    fileprivate var extents: (inner: Int, columns: Int) {
      switch self {
      case .packed(let matrix): (matrix.inner, matrix.columns)
      case .rows(let view): (view.rows, view.columns)
      case .transposed(let view): (view.columns, view.rows)
      }
    }
  }

  /// What is done to a product.
  package struct Epilogue: @unchecked Sendable {
    // @unchecked: pointers that the caller keeps alive; each task writes rows of its own.
    /// One for each column.
    var bias: UnsafePointer<Float>?
    var activation: Activation?
    /// Where product and bias go before the activation, `[rows, columns]`.
    var sums: UnsafeMutablePointer<Float>?

    package init(
      bias: UnsafePointer<Float>? = nil, activation: Activation? = nil, sums: UnsafeMutablePointer<Float>? = nil
    ) {
      self.bias = bias
      self.activation = activation
      self.sums = sums
    }

    fileprivate var isEmpty: Bool { bias == nil && activation == nil && sums == nil }
  }

  /// result = activation(left · right + bias), or with `adding` left · right + result.
  ///
  /// A row's bits depend on the row and the right side alone where OpenBLAS has small-matrix kernels; elsewhere, on its
  /// place among the rows too. Never on threads or callers. O(rows · inner · columns).
  ///
  /// - Precondition: the shapes fit, and every extent and stride is below 2³¹.
  package static func multiply(
    _ left: MatrixView, _ right: Right, into result: MutableMatrixView, epilogue: Epilogue = Epilogue(),
    adding: Bool = false
  ) {
    let (inner, columns) = right.extents
    require(
      left.columns == inner && result.rows == left.rows && result.columns == columns,
      "TiledProduct: [\(left.rows), \(left.columns)] times [\(inner), \(columns)] into [\(result.rows), \(result.columns)]"
    )
    require(
      [left.rows, left.rowStride, inner, columns, result.rowStride].allSatisfy { $0 < 1 << 31 },
      "TiledProduct: [\(left.rows), \(inner)] times [\(inner), \(columns)] passes OpenBLAS's 32-bit integers")
    guard result.rows > 0, columns > 0 else { return }
    guard inner > 0 else { return finishEmpty(result, epilogue, adding: adding) }
    let isSmall = ProductTiles.current.smallVolume != nil
    // Every way gives the same bits: small-matrix kernels read panels alone.
    switch right {
    case .packed(let matrix): run(left, .panels(matrix), result, epilogue, adding)
    case .rows(let view) where isSmall: run(left, .panels(PackedMatrix(copying: view)), result, epilogue, adding)
    case .transposed(let view) where isSmall:
      run(left, .panels(PackedMatrix(transposing: view)), result, epilogue, adding)
    case .rows(let view): run(left, .rows(view, isTransposed: false), result, epilogue, adding)
    case .transposed(let view): run(left, .rows(view, isTransposed: true), result, epilogue, adding)
    }
  }

  /// The right side as tiles read it.
  private enum Source: Sendable {
    case panels(PackedMatrix)
    case rows(MatrixView, isTransposed: Bool)

    /// The matrix as rows, if that is how it lies.
    var plainRows: MatrixView? {
      switch self {
      case .panels(let matrix):
        ProductTiles.current.smallVolume != nil
          ? nil
          : MatrixView(
            base: matrix.base, rows: matrix.inner, columns: matrix.columns, rowStride: max(1, matrix.columns))
      case .rows(let view, isTransposed: false): view
      case .rows: nil
      }
    }
  }

  private static func run(
    _ left: MatrixView, _ source: Source, _ result: MutableMatrixView, _ epilogue: Epilogue, _ adding: Bool
  ) {
    if FewRows.serves(left, result), let view = source.plainRows {
      FewRows.multiply(left, view, result, adding: adding) { columns in
        Tile(left: left, result: result, rows: 0..<left.rows, columns: columns, adding: adding)
          .finish(columns, epilogue)
      }
      return withExtendedLifetime(source) {}
    }
    let grid = Grid(rows: left.rows, inner: left.columns, columns: result.columns)
    let work = Double(left.rows) * Double(left.columns) * Double(result.columns)
    WorkerPool.shared.forEach(grid.taskCount, inline: work < 65536) { task in
      let (rows, columns) = grid.tile(task)
      let tile = Tile(left: left, result: result, rows: rows, columns: columns, adding: adding)
      switch source {
      case .panels(let matrix) where ProductTiles.current.smallVolume != nil:
        tile.multiplyByPanels(matrix, chunk: grid.chunk, epilogue)
      case .panels(let matrix):
        tile.multiply(matrix.base, rowStride: max(1, matrix.columns), isTransposed: false)
        tile.finish(columns, epilogue)
      case .rows(let view, let isTransposed):
        tile.multiply(view.base, rowStride: view.rowStride, isTransposed: isTransposed)
        tile.finish(columns, epilogue)
      }
    }
    if case .panels(let matrix) = source { withExtendedLifetime(matrix) {} }
  }

  /// An inner extent of 0: zeros, or what was there.
  private static func finishEmpty(_ result: MutableMatrixView, _ epilogue: Epilogue, adding: Bool) {
    let tile = Tile(
      left: MatrixView(result), result: result, rows: 0..<result.rows, columns: 0..<result.columns, adding: adding)
    if !adding {
      for row in 0..<result.rows { (result.base + row * result.rowStride).update(repeating: 0, count: result.columns) }
    }
    tile.finish(tile.columns, epilogue)
  }

  /// How a result is cut into tasks: by its shape and the kind of OpenBLAS's core. Where a cut changes bits, threads have
  /// no part in it.
  private struct Grid: Sendable {
    let rows: Int
    let columns: Int
    let tileRows: Int
    let taskColumns: Int
    /// The inner extent of one small-matrix product.
    let chunk: Int

    /// At the most: with 64 columns and 384 inner numbers just what a small-matrix product may have.
    private static let smallRows = 40
    private static let smallChunk = 384
    /// Our own kernel has no such limit, and takes six rows at a time.
    private static let narrowRows = 48
    /// So many rows, and so many of their scalars, stay in a core's own cache while panels go by, each read once.
    private static let heldRows = 256
    private static let heldScalars = 1 << 18

    init(rows: Int, inner: Int, columns: Int) {
      self.rows = rows
      self.columns = columns
      guard ProductTiles.current.smallVolume != nil else {
        // OpenBLAS copies both sides of each call: tall and wide ones, but enough for several threads.
        chunk = inner
        tileRows = rows <= 64 ? rows : min(256, (rows + 3) / 4)
        taskColumns = rows <= 64 ? 192 : rows < 256 ? 256 : 512
        return
      }
      let chunks = (inner + Self.smallChunk - 1) / Self.smallChunk
      chunk = (inner + chunks - 1) / chunks
      let isNarrow = ProductTiles.current.hasNarrowProducts
      let panel = ProductTiles.current.panelColumns
      let panels = (columns + panel - 1) / panel
      let threads = Engine.threadCount.count
      let isHeld = rows <= Self.heldRows && rows * inner <= Self.heldScalars && panels >= 2 * threads
      if isNarrow, rows <= Self.narrowRows || isHeld {
        // Neighbouring panels to a thread, in whose course memory is asked for the next one.
        tileRows = rows
        taskColumns = panel * ((panels + threads - 1) / threads)
        return
      }
      let (limit, step) = isNarrow ? (Self.narrowRows, 6) : (Self.smallRows, 8)
      let tiles = (rows + limit - 1) / limit
      tileRows = min(limit, ((rows + tiles - 1) / tiles + step - 1) / step * step)
      // As many panels as a core's own cache keeps for the next rows; fewer where there would be too few tasks for all
      // threads. No bit depends on it.
      let wanted = 8 * threads
      let groups = max(1, (wanted + tiles - 1) / tiles)
      taskColumns = panel * max(1, min((1 << 17) / (max(1, inner) * panel), (panels + groups - 1) / groups))
    }

    private var rowTiles: Int { (rows + tileRows - 1) / tileRows }
    var taskCount: Int { rowTiles * ((columns + taskColumns - 1) / taskColumns) }

    /// The tiles of some columns one after the other: they share the right side.
    func tile(_ task: Int) -> (rows: Range<Int>, columns: Range<Int>) {
      let (strip, tile) = task.quotientAndRemainder(dividingBy: rowTiles)
      return (
        tile * tileRows..<min(rows, (tile + 1) * tileRows),
        strip * taskColumns..<min(columns, (strip + 1) * taskColumns)
      )
    }
  }

  /// Some rows and columns of a result.
  private struct Tile {
    let left: MatrixView
    let result: MutableMatrixView
    let rows: Range<Int>
    let columns: Range<Int>
    let adding: Bool

    private var target: UnsafeMutablePointer<Float> {
      result.base + rows.lowerBound * result.rowStride + columns.lowerBound
    }

    func multiply(_ right: UnsafePointer<Float>, rowStride: Int, isTransposed: Bool) {
      MatrixProduct.multiplyTile(
        rows: rows.count, columns: columns.count, inner: left.columns, left.base + rows.lowerBound * left.rowStride,
        leftStride: left.rowStride, right + columns.lowerBound * (isTransposed ? rowStride : 1), rightStride: rowStride,
        transposingRight: isTransposed, into: target, resultStride: result.rowStride, adding: adding)
    }

    /// Panel by panel, with what follows a product.
    func multiplyByPanels(_ matrix: PackedMatrix, chunk: Int, _ epilogue: Epilogue) {
      let source = left.base + rows.lowerBound * left.rowStride
      let whole =
        columns.lowerBound..<(columns.upperBound == matrix.columns ? matrix.layout.columns : columns.upperBound)
      matrix.layout.forEachPanel(of: whole) { part, first, stride in
        let target = result.base + rows.lowerBound * result.rowStride + part.lowerBound
        let width = min(part.upperBound, matrix.columns) - part.lowerBound
        let isLast = part.upperBound == matrix.layout.columns
        let finished = part.lowerBound..<part.lowerBound + width
        guard width < part.count else {
          var rest = epilogue
          var bias: UnsafePointer<Float>?
          // Where nobody wants the sums, the bias is added on the way out of the registers.
          if ProductTiles.current.hasNarrowProducts, epilogue.sums == nil { swap(&bias, &rest.bias) }
          multiplyPanel(
            source, matrix.base + first, stride, part.count, chunk: chunk, isLast: isLast,
            bias: bias.map { $0 + part.lowerBound }, into: target, resultStride: result.rowStride, adding: adding)
          return finish(finished, rest)
        }
        // The columns of zeros go nowhere.
        withUnsafeTemporaryAllocation(of: Float.self, capacity: rows.count * part.count) { scratch in
          let scratch = scratch.baseAddress!
          if adding {
            for row in 0..<rows.count {
              (scratch + row * part.count).update(from: target + row * result.rowStride, count: width)
              (scratch + row * part.count + width).update(repeating: 0, count: part.count - width)
            }
          }
          multiplyPanel(
            source, matrix.base + first, stride, part.count, chunk: chunk, isLast: isLast, into: scratch,
            resultStride: part.count, adding: adding)
          for row in 0..<rows.count {
            (target + row * result.rowStride).update(from: scratch + row * part.count, count: width)
          }
        }
        finish(finished, epilogue)
      }
    }

    /// - Parameters:
    ///   - isLast: whether no other panel lies behind this one.
    ///   - bias: what our own kernel adds to each column.
    private func multiplyPanel(
      _ source: UnsafePointer<Float>, _ panel: UnsafePointer<Float>, _ stride: Int, _ columns: Int, chunk: Int,
      isLast: Bool, bias: UnsafePointer<Float>? = nil, into target: UnsafeMutablePointer<Float>, resultStride: Int,
      adding: Bool
    ) {
      var start = 0
      while start < left.columns {
        let inner = min(chunk, left.columns - start)
        let isEnd = start + inner == left.columns
        if ProductTiles.current.hasNarrowProducts {
          KernelSet.kernels.pointee.narrow_product(
            source + start, left.rowStride, rows.count, inner, panel + start * stride, stride, columns, 1,
            isEnd ? bias : nil, target, resultStride, adding || start > 0, !(isLast && isEnd))
        } else {
          MatrixProduct.multiplyTile(
            rows: rows.count, columns: columns, inner: inner, source + start, leftStride: left.rowStride,
            panel + start * stride, rightStride: stride, into: target, resultStride: resultStride,
            adding: adding || start > 0)
        }
        start += inner
      }
    }

    /// Does what follows the product to some of the columns.
    func finish(_ columns: Range<Int>, _ epilogue: Epilogue) {
      guard !epilogue.isEmpty else { return }
      let first = rows.lowerBound * result.rowStride + columns.lowerBound
      KernelSet.kernels.pointee.activate_rows(
        epilogue.activation?.kernel ?? ATTENTION_IDENTITY, result.base + first, result.rowStride,
        epilogue.bias.map { $0 + columns.lowerBound },
        epilogue.sums.map { $0 + rows.lowerBound * result.columns + columns.lowerBound }, result.columns, rows.count,
        columns.count)
    }
  }
}
