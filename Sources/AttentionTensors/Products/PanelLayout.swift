/// Where the right side of a product lies: a matrix cut into panels of neighbouring columns, each of which holds its rows
/// one after another, so that a product streams through memory in order. Or plain rows, as one such panel.
///
/// A product with few rows on the left reads panels of 64 columns at nearly the speed of memory; of rows twice as long,
/// half at a time, it reads at half of that.
package struct PanelLayout: Sendable {
  /// The columns of all panels.
  package let columns: Int
  /// The columns of a panel; the last one may have fewer.
  package let panelColumns: Int
  /// What a column moves a panel's start by.
  private let step: Int
  /// From row to row where that is not the panel's width.
  private let rowStride: Int?

  /// Panels one after another, `[columns / panelColumns][rows][panelColumns]`.
  package init(rows: Int, columns: Int, panelColumns: Int) {
    self.columns = columns
    self.panelColumns = max(1, panelColumns)
    step = rows
    rowStride = nil
  }

  /// Rows as they are, of which one product takes `panelColumns` at a time.
  package init(rowStride: Int, columns: Int, panelColumns: Int) {
    self.columns = columns
    self.panelColumns = max(1, panelColumns)
    step = 1
    self.rowStride = rowStride
  }

  /// The panel that holds a column: its columns, where its first row begins, and how far its rows lie apart.
  @inline(__always)
  package func panel(at column: Int) -> (columns: Range<Int>, first: Int, stride: Int) {
    let start = column / panelColumns * panelColumns
    let width = min(panelColumns, columns - start)
    return (start..<start + width, start * step, rowStride ?? width)
  }

  /// Where an element lies.
  package func position(row: Int, column: Int) -> Int {
    let panel = panel(at: column)
    return panel.first + row * panel.stride + column - panel.columns.lowerBound
  }

  /// Copies the first `count` numbers of a row to their places, and zeros behind them.
  package func store(
    _ source: UnsafePointer<Float>, count: Int, row: Int, in panels: UnsafeMutablePointer<Float>
  ) {
    forEachPanel(of: 0..<columns) { part, first, stride in
      let target = panels + first + row * stride
      let copied = max(0, min(part.upperBound, count) - part.lowerBound)
      target.update(from: source + part.lowerBound, count: copied)
      (target + copied).update(repeating: 0, count: part.count - copied)
    }
  }

  /// Copies the first `count` numbers of a row from their places.
  package func load(
    _ target: UnsafeMutablePointer<Float>, count: Int, row: Int, from panels: UnsafePointer<Float>
  ) {
    forEachPanel(of: 0..<count) { part, first, stride in
      (target + part.lowerBound).update(from: panels + first + row * stride, count: part.count)
    }
  }

  /// Calls `body` for each panel that holds some of the columns, with those and its place.
  @inline(__always)
  package func forEachPanel(
    of columns: Range<Int>, _ body: (_ columns: Range<Int>, _ first: Int, _ stride: Int) -> Void
  ) {
    var column = columns.lowerBound
    while column < columns.upperBound {
      let panel = panel(at: column)
      let part = column..<min(columns.upperBound, panel.columns.upperBound)
      body(part, panel.first + column - panel.columns.lowerBound, panel.stride)
      column = part.upperBound
    }
  }
}

extension MatrixProduct {
  /// result = factor · left · right[inner, columns] + (adding ? result : 0), for tiles whose extents were checked before.
  ///
  /// - Parameters:
  ///   - columns: the columns of the right side; the first of them goes to the result's first.
  ///   - inner: the rows of the right side, `chunk` of which one product takes at a time.
  /// - Precondition: every number fits 32 bits, and none is 0; as for ``multiply(_:_:transposingRight:factor:into:)``.
  @inline(__always)
  package static func multiplyTile(
    rows: Int, columns: Range<Int>, inner: Range<Int>, chunk: Int = .max, factor: Float = 1,
    _ left: UnsafePointer<Float>, leftStride: Int, _ right: UnsafePointer<Float>, _ layout: PanelLayout,
    into result: UnsafeMutablePointer<Float>, resultStride: Int, adding: Bool = false
  ) {
    layout.forEachPanel(of: columns) { part, first, stride in
      var start = inner.lowerBound
      while start < inner.upperBound {
        let count = min(chunk, inner.upperBound - start)
        multiplyTile(
          rows: rows, columns: part.count, inner: count, factor: factor, left + start - inner.lowerBound,
          leftStride: leftStride, right + first + start * stride, rightStride: stride,
          into: result + part.lowerBound - columns.lowerBound, resultStride: resultStride,
          adding: adding || start > inner.lowerBound)
        start += count
      }
    }
  }
}
