/// The matrix product over the last two axes: `[…, m, k]` times `[…, k, n]` is `[…, m, n]`.
///
/// Leading axes broadcast as for sums. A right side of rank 2 is shared by all, and costs one product. O(m · k · n) for
/// each pair of matrices.
///
/// - Precondition: both have two axes at least, the inner lengths agree, and leading axes broadcast.
public func matmul(_ left: Tensor, _ right: Tensor) -> Tensor {
  require(
    left.rank >= 2 && right.rank >= 2 && left.shape[left.rank - 1] == right.shape[right.rank - 2],
    "matmul: \(left.shape) times \(right.shape)")
  if right.rank == 2, left.rank > 2 {
    let rows = left.shape.dropLast()
    let flat = left.reshaped(to: [rows.reduce(1, *), left.shape[left.rank - 1]])
    return matmul(flat, right).reshaped(to: rows + [right.shape[1]])
  }
  let keptLeft = right.isTracked ? left.detached() : nil
  let keptRight = left.isTracked ? right.detached() : nil
  let (a, b) = (left.shape, right.shape)
  return products(left, right).derived(from: [left, right]) { upstream, wanted in
    [
      wanted[0] ? keptRight.map { products(upstream, $0, transposingRight: true).summed(to: a) } : nil,
      wanted[1] ? keptLeft.map { products($0.transposed(), upstream).summed(to: b) } : nil,
    ]
  }
}

/// The plain product, or that with the transposes of the right matrices.
private func products(_ left: Tensor, _ right: Tensor, transposingRight: Bool = false) -> Tensor {
  let (rows, inner) = (left.shape[left.rank - 2], left.shape[left.rank - 1])
  let columns = right.shape[right.rank - (transposingRight ? 2 : 1)]
  let broadcast = Broadcast(
    Array(left.shape.dropLast(2)), Array(right.shape.dropLast(2)), operation: "matmul")
  return Tensor(uninitialized: broadcast.shape + [rows, columns]) { buffer in
    guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
    let (left, right, result) = (Unchecked(left.unsafeBase), Unchecked(right.unsafeBase), Unchecked(base))
    let matrices = buffer.count / (rows * columns)
    let step = rowsPerTask(rows: rows, columns: columns, inner: inner)
    let parts = (rows + step - 1) / step
    let rightRows = transposingRight ? columns : inner
    WorkerPool.shared.forEach(matrices * parts, inline: matrices * rows * columns * max(1, inner) < 1 << 16) { task in
      let (matrix, part) = task.quotientAndRemainder(dividingBy: parts)
      let place = broadcast.matrix(matrix)
      let first = part * step
      let count = min(step, rows - first)
      MatrixProduct.multiply(
        MatrixView(
          base: left.value + (place.left * rows + first) * inner, rows: count, columns: inner, rowStride: max(1, inner)),
        MatrixView(
          base: right.value + place.right * inner * columns, rows: rightRows,
          columns: transposingRight ? inner : columns,
          rowStride: max(1, transposingRight ? inner : columns)),
        transposingRight: transposingRight,
        into: MutableMatrixView(
          base: result.value + (matrix * rows + first) * columns, rows: count, columns: columns, rowStride: columns))
    }
  }
}

/// As many rows as make a product worth its packing of the right side; a function of the shapes alone.
private func rowsPerTask(rows: Int, columns: Int, inner: Int) -> Int {
  let worthwhile = max(32, (1 << 22) / max(1, columns * inner))
  return min(max(1, rows), max(worthwhile, (rows + 15) / 16))
}

extension Broadcast {
  /// The matrices of either side that the leading axes pair up.
  fileprivate func matrix(_ index: Int) -> (left: Int, right: Int) {
    let length = extents.last ?? 1
    let (run, position) = index.quotientAndRemainder(dividingBy: length)
    let place = places(ofRun: run)
    return (place.left + position * (left.last ?? 0), place.right + position * (right.last ?? 0))
  }
}
