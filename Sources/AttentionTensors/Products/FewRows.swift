import CAttentionKernels

/// Products of a few rows with a large matrix that lies in rows: a step of generation.
///
/// OpenBLAS copies the matrix into panels of its own, which so few rows do not repay: it then reads a fifth to a quarter of
/// what memory gives. A kernel that lets the matrix stream past once reads most of it. On cores with small-matrix kernels,
/// which copy nothing, matrices lie in panels, and those are as fast.
enum FewRows {
  /// The rows up to which memory is what counts.
  static let limit = 12

  /// Whether a product of these extents is better done here than by OpenBLAS.
  static func serves(_ left: MatrixView, _ result: MutableMatrixView) -> Bool {
    left.rows <= limit && left.columns * result.columns >= 1 << 16
      && ProductTiles.current.smallVolume == nil
  }

  /// result = left · right, or left · right + result; `finish` is called with columns that are done, on several threads.
  ///
  /// A row's bits depend on the row and the matrix alone.
  static func multiply(
    _ left: MatrixView, _ right: MatrixView, _ result: MutableMatrixView, adding: Bool,
    finish: @Sendable (Range<Int>) -> Void
  ) {
    // Strips whose rows stay in the nearest cache, as many for each thread. No bit depends on it.
    let threads = Engine.threadCount.count
    let rounds = max(1, (right.columns + threads * 1024 - 1) / (threads * 1024))
    let width = ((right.columns + threads * rounds - 1) / (threads * rounds) + 15) / 16 * 16
    WorkerPool.shared.forEachWithoutProducts((right.columns + width - 1) / width, inline: false) { strip in
      let columns = strip * width..<min(right.columns, (strip + 1) * width)
      KernelSet.kernels.pointee.few_rows_product(
        left.base, left.rowStride, left.rows, right.rows, right.base + columns.lowerBound, right.rowStride,
        result.base + columns.lowerBound, result.rowStride, columns.count, adding)
      finish(columns)
    }
  }
}
