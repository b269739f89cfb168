import CAttentionKernels

/// Rows of the last axis, cut for the pool by their shape alone.
package struct RowCut: Sendable {
  /// The rows, and the floats of one.
  package let count: Int
  package let width: Int

  /// - Precondition: the shape has an axis.
  package init(shape: [Int]) {
    width = shape[shape.count - 1]
    count = shape.dropLast().reduce(1, *)
  }

  private var perTask: Int { max(1, (1 << 14) / max(1, width)) }
  private var isSmall: Bool { count * width < 1 << 15 }

  /// Calls `body` with ranges that cover the rows.
  package func forEachTask(_ body: @Sendable (Range<Int>) -> Void) {
    let perTask = perTask
    WorkerPool.shared.forEachWithoutProducts((count + perTask - 1) / perTask, inline: isSmall) { task in
      body(task * perTask..<min(count, (task + 1) * perTask))
    }
  }

  /// The rows whose shares of sums over the columns are added up in float32; what blocks come to is added in order, in
  /// float64. So thousands of rows lose no digits, and the order depends on the shape alone.
  static let blockRows = 32
  var blocks: Int { (count + RowCut.blockRows - 1) / RowCut.blockRows }
  func rows(ofBlock block: Int) -> Range<Int> {
    block * RowCut.blockRows..<min(count, (block + 1) * RowCut.blockRows)
  }

  /// Calls `body` with the rows of each block, and where its share is: `sums · width` floats of 0.
  ///
  /// - Returns: the shares, block after block.
  func blockShares(
    _ sums: Int, _ body: @Sendable (Range<Int>, UnsafeMutablePointer<Float>) -> Void
  ) -> TensorStorage {
    let length = sums * width
    let shares = TensorStorage(minimumCapacity: blocks * length)
    let base = Unchecked(shares.base)
    let perTask = max(1, perTask / RowCut.blockRows)
    WorkerPool.shared.forEachWithoutProducts((blocks + perTask - 1) / perTask, inline: isSmall) { task in
      for block in task * perTask..<min(blocks, (task + 1) * perTask) {
        let share = base.value + block * length
        share.update(repeating: 0, count: length)
        body(rows(ofBlock: block), share)
      }
    }
    return shares
  }

  /// Calls `body` with ranges that cover `length` columns, to add up the blocks' shares of them.
  func forEachStrip(of length: Int, _ body: @Sendable (Range<Int>) -> Void) {
    let strip = 256
    WorkerPool.shared.forEachWithoutProducts((length + strip - 1) / strip, inline: blocks * length < 1 << 15) { index in
      body(index * strip..<min(length, (index + 1) * strip))
    }
  }

  /// Sums over the rows, by columns.
  ///
  /// - Parameters:
  ///   - sums: how many are wanted at once.
  ///   - body: called with the rows of a block and where to add its share, `sums · width` floats.
  /// - Returns: the sums, of `width` floats each.
  func sums(_ sums: Int, _ body: @Sendable (Range<Int>, UnsafeMutablePointer<Float>) -> Void) -> [Tensor] {
    let shares = blockShares(sums, body)
    let length = sums * width
    return Tensor(uninitialized: [sums, width]) { buffer in
      guard !buffer.isEmpty else { return }
      let (base, result) = (Unchecked(shares.base), Unchecked(buffer.baseAddress!))
      forEachStrip(of: length) { columns in
        withUnsafeTemporaryAllocation(of: Double.self, capacity: columns.count) { totals in
          totals.initialize(repeating: 0)
          for block in 0..<blocks {
            KernelSet.kernels.pointee.add_to_doubles(
              base.value + block * length + columns.lowerBound, totals.baseAddress!, columns.count)
          }
          for column in columns { result.value[column] = Float(totals[column - columns.lowerBound]) }
        }
      }
      withExtendedLifetime(shares) {}
    }.rows
  }
}

extension Tensor {
  /// The rows of a matrix.
  fileprivate var rows: [Tensor] {
    shape[0] == 1 ? [reshaped(to: [shape[1]])] : (0..<shape[0]).map { sliced($0..<$0 + 1).reshaped(to: [shape[1]]) }
  }
}
