import CAttentionKernels

/// The right side of products, `[inner, columns]`, laid out once as tiles read it fastest.
///
/// Where OpenBLAS has small-matrix kernels, in panels of 64 columns, zeros behind the last ones; elsewhere in rows, since
/// OpenBLAS copies what it multiplies into panels of its own.
package struct PackedMatrix: Sendable {
  /// The rows.
  package let inner: Int
  /// The columns, those of zeros not counted.
  package let columns: Int
  let layout: PanelLayout
  private let storage: TensorStorage

  /// Panels are as wide as what one small-matrix product takes.
  private static func layout(inner: Int, columns: Int) -> PanelLayout {
    guard ProductTiles.current.smallVolume != nil else {
      return PanelLayout(rowStride: max(1, columns), columns: columns, panelColumns: max(1, columns))
    }
    return PanelLayout(
      rows: inner, columns: ProductTiles.padded(columns), panelColumns: ProductTiles.current.panelColumns)
  }

  private init(inner: Int, columns: Int) {
    self.inner = inner
    self.columns = columns
    layout = PackedMatrix.layout(inner: inner, columns: columns)
    storage = TensorStorage(minimumCapacity: inner * layout.columns)
  }

  /// The first scalar, valid as long as a copy of this value lives.
  var base: UnsafePointer<Float> { UnsafePointer(storage.base) }

  /// The bytes of the panels.
  package var byteCount: Int { inner * layout.columns * MemoryLayout<Float>.stride }

  /// Packs a matrix `[inner, columns]`. O(inner · columns).
  package init(copying rows: MatrixView) {
    self.init(inner: rows.rows, columns: rows.columns)
    let (layout, target, source) = (layout, Unchecked(storage.base), Unchecked(rows.base))
    let perTask = max(1, (1 << 14) / max(1, columns))
    WorkerPool.shared.forEachWithoutProducts((inner + perTask - 1) / perTask, inline: inner * columns < 1 << 15) {
      task in
      for row in task * perTask..<min(rows.rows, (task + 1) * perTask) {
        layout.store(source.value + row * rows.rowStride, count: rows.columns, row: row, in: target.value)
      }
    }
  }

  /// Packs the transpose of a matrix `[columns, inner]`: a linear layer's weight. O(inner · columns).
  package init(transposing weight: MatrixView) {
    let panels = PackedMatrix(inner: weight.columns, columns: weight.rows)
    let source = Unchecked(weight.base)
    panels.forEachStrip { strip, target in
      panels.store(source.value + strip.lowerBound * weight.rowStride, rowStride: weight.rowStride, strip, target.value)
    }
    self = panels
  }

  /// Packs the transpose of a matrix `[columns, inner]` of which `read` writes some rows where it is told to: a weight that
  /// comes from a file. A few rows are held beside the panels, and several threads read. O(inner · columns).
  package init<Failure: Error>(
    inner: Int, columns: Int,
    readingColumns read: @Sendable (_ rows: Range<Int>, _ target: UnsafeMutablePointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    let panels = PackedMatrix(inner: inner, columns: columns)
    let failure = Guarded<Failure?>(nil)
    withoutActuallyEscaping(read) { read in
      panels.forEachStrip { strip, target in
        let filled = strip.clamped(to: 0..<columns)
        let rows = UnsafeMutablePointer<Float>.allocate(capacity: max(1, filled.count * inner))
        defer { rows.deallocate() }
        do throws(Failure) {
          if !filled.isEmpty { try read(filled, rows) }
          panels.store(rows, rowStride: inner, strip, target.value)
        } catch {
          failure.withLock { $0 = $0 ?? error }
        }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
    self = panels
  }

  /// Packs a matrix `[inner, columns]` of which `read` writes some rows where it is told to. O(inner · columns).
  package init<Failure: Error>(
    inner: Int, columns: Int,
    readingRows read: @Sendable (_ rows: Range<Int>, _ target: UnsafeMutablePointer<Float>) throws(Failure) -> Void
  ) throws(Failure) {
    self.init(inner: inner, columns: columns)
    let failure = Guarded<Failure?>(nil)
    let (layout, target) = (layout, Unchecked(storage.base))
    let perTask = max(1, (1 << 14) / max(1, columns))
    withoutActuallyEscaping(read) { read in
      WorkerPool.shared.forEachWithoutProducts((inner + perTask - 1) / perTask, inline: inner * columns < 1 << 15) {
        task in
        let part = task * perTask..<min(inner, (task + 1) * perTask)
        let rows = UnsafeMutablePointer<Float>.allocate(capacity: max(1, part.count * columns))
        defer { rows.deallocate() }
        do throws(Failure) {
          try read(part, rows)
          for row in part {
            layout.store(rows + (row - part.lowerBound) * columns, count: columns, row: row, in: target.value)
          }
        } catch {
          failure.withLock { $0 = $0 ?? error }
        }
      }
    }
    if let failure = failure.withLock({ $0 }) { throw failure }
  }

  /// Calls `body` on several threads with ranges of the panels' columns that are written together, and the panels.
  private func forEachStrip(
    _ body: @Sendable (_ strip: Range<Int>, _ panels: Unchecked<UnsafeMutablePointer<Float>>) -> Void
  ) {
    // By whole panels where there are some: the transpose writes rows of them.
    let (step, count) = (min(64, layout.panelColumns), layout.columns)
    let target = Unchecked(storage.base)
    WorkerPool.shared.forEachWithoutProducts((count + step - 1) / step, inline: inner * columns < 1 << 15) { task in
      body(task * step..<min(count, (task + 1) * step), target)
    }
  }

  /// Writes a strip's rows as columns, and zeros behind the last.
  private func store(
    _ rows: UnsafePointer<Float>, rowStride: Int, _ strip: Range<Int>, _ panels: UnsafeMutablePointer<Float>
  ) {
    layout.forEachPanel(of: strip) { part, first, stride in
      let filled = max(0, min(part.upperBound, columns) - part.lowerBound)
      KernelSet.kernels.pointee.transpose(
        rows + (part.lowerBound - strip.lowerBound) * rowStride, rowStride, panels + first, stride, filled, inner)
      guard filled < part.count else { return }
      for row in 0..<inner { (panels + first + row * stride + filled).update(repeating: 0, count: part.count - filled) }
    }
  }

  /// ``init(copying:)`` of a tensor `[inner, columns]`.
  package init(copying rows: Tensor) {
    self.init(copying: MatrixView(matrix: rows))
    withExtendedLifetime(rows) {}
  }

  /// ``init(transposing:)`` of a tensor `[columns, inner]`.
  package init(transposing weight: Tensor) {
    self.init(transposing: MatrixView(matrix: weight))
    withExtendedLifetime(weight) {}
  }

  /// `[inner, columns]`, copied out. O(inner · columns).
  package func unpacked() -> Tensor {
    Tensor(uninitialized: [inner, columns]) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      for row in 0..<inner { layout.load(base + row * columns, count: columns, row: row, from: self.base) }
    }
  }

  /// Some columns as rows, `[ids, inner]`, copied out: rows of the weight that was packed. O(ids · inner).
  ///
  /// - Precondition: each column is below ``columns``.
  package func gathered(columns ids: [Int]) -> Tensor {
    if let wrong = ids.first(where: { $0 < 0 || $0 >= columns }) {
      fatalError("gathered: there is no row \(wrong) in a table [\(columns), \(inner)]")
    }
    return Tensor(uninitialized: [ids.count, inner]) { buffer in
      guard !buffer.isEmpty else { return }
      let (target, source, layout) = (Unchecked(buffer.baseAddress!), Unchecked(base), layout)
      RowCut(shape: [ids.count, inner]).forEachTask { rows in
        for row in rows {
          let panel = layout.panel(at: ids[row])
          let first = source.value + panel.first + ids[row] - panel.columns.lowerBound
          for index in 0..<inner { target.value[row * inner + index] = first[index * panel.stride] }
        }
      }
    }
  }

  /// `[columns, inner]`, copied out. O(inner · columns).
  package func unpackedTransposed() -> Tensor { unpacked().transposed() }
}

extension MatrixView {
  /// - Precondition: the tensor has rank 2, and outlives the view.
  package init(matrix tensor: Tensor) {
    require(tensor.rank == 2, "MatrixView: \(tensor.shape) is no matrix")
    self.init(
      base: tensor.unsafeBase, rows: tensor.shape[0], columns: tensor.shape[1], rowStride: max(1, tensor.shape[1]))
  }
}
