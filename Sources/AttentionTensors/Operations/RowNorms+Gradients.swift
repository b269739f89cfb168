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

  /// Sums over the rows, by columns: each block of rows adds its shares up in float32, and the blocks are added in order,
  /// in float64. So thousands of rows lose no digits, and the order depends on the shape alone.
  ///
  /// - Parameters:
  ///   - sums: how many are wanted at once.
  ///   - body: called with the rows of a block and where its sums are, `sums · width` floats of 0.
  /// - Returns: the sums, of `width` floats each.
  package func sums(
    _ sums: Int, _ body: @escaping @Sendable (Range<Int>, UnsafeMutablePointer<Float>) -> Void
  ) -> [Tensor] {
    let length = sums * width
    let blocks = (count + RowCut.blockRows - 1) / RowCut.blockRows
    let scratch = TensorStorage(minimumCapacity: blocks * length)
    let parts = Unchecked(scratch.base)
    let perTask = max(1, perTask / RowCut.blockRows)
    WorkerPool.shared.forEachWithoutProducts((blocks + perTask - 1) / perTask, inline: isSmall) { task in
      for block in task * perTask..<min(blocks, (task + 1) * perTask) {
        let part = parts.value + block * length
        part.update(repeating: 0, count: length)
        body(block * RowCut.blockRows..<min(count, (block + 1) * RowCut.blockRows), part)
      }
    }
    guard length > 0 else { return (0..<sums).map { _ in Tensor(zeros: [width]) } }
    let total = TensorStorage(minimumCapacity: length)
    let result = Unchecked(total.base)
    let strip = 512
    WorkerPool.shared.forEachWithoutProducts((length + strip - 1) / strip, inline: blocks * length < 1 << 15) { index in
      let columns = index * strip..<min(length, (index + 1) * strip)
      withUnsafeTemporaryAllocation(of: Double.self, capacity: strip) { sum in
        sum.update(repeating: 0)
        for block in 0..<blocks {
          KernelSet.kernels.pointee.add_to_doubles(
            parts.value + block * length + columns.lowerBound, sum.baseAddress!, columns.count)
        }
        for column in 0..<columns.count { result.value[columns.lowerBound + column] = Float(sum[column]) }
      }
    }
    defer { withExtendedLifetime((scratch, total)) {} }
    return (0..<sums).map { index in
      Tensor(uninitialized: [width]) { $0.baseAddress!.update(from: total.base + index * width, count: width) }
    }
  }

  /// The rows whose shares are added up in float32.
  private static let blockRows = 32
}

/// The way back through a norm over rows, and what it keeps.
struct RowNormGradient: Sendable {
  let kernel: @convention(c) (UnsafePointer<attention_norm_gradient>) -> Void
  let rows: RowCut
  let statistics: Tensor
  let perRow: Int
  /// What was normalised, where the gradients of rows or weight can be wanted.
  let source: Tensor?
  /// Where the gradient of the rows can be wanted.
  let weight: Tensor?

  /// - Parameters:
  ///   - upstream: the gradient of the normalised rows; nil for zeros.
  ///   - ofSum: the gradient of what was normalised, from elsewhere.
  func gradients(
    _ upstream: Tensor?, ofSum: Tensor?, ofRows: Bool, ofWeight: Bool, ofBias: Bool
  ) -> (rows: Tensor?, weight: Tensor?, bias: Tensor?) {
    guard let upstream else { return (ofSum, nil, nil) }
    let result = ofRows ? Tensor(uninitialized: upstream.shape) { _ in } : nil
    guard upstream.count > 0 else {
      let zeros = Tensor(zeros: [rows.width])
      return (result, ofWeight ? zeros : nil, ofBias ? zeros : nil)
    }
    let pointers = Unchecked(
      (
        upstream: upstream.unsafeBase, x: source?.unsafeBase, statistics: statistics.unsafeBase,
        weight: weight?.unsafeBase, added: ofSum?.unsafeBase, ofX: result?.storage.base
      ))
    let needsSource = ofRows || ofWeight
    @Sendable func run(
      _ range: Range<Int>, _ weightSums: UnsafeMutablePointer<Float>?, _ biasSums: UnsafeMutablePointer<Float>?
    ) {
      let (value, first) = (pointers.value, range.lowerBound * rows.width)
      var norm = attention_norm_gradient(
        upstream: value.upstream + first, x: needsSource ? value.x.map { $0 + first } : nil,
        statistics: value.statistics + range.lowerBound * perRow, weight: value.weight,
        added: value.added.map { $0 + first }, of_x: value.ofX.map { $0 + first }, of_weight: weightSums,
        of_bias: biasSums, rows: range.count, n: rows.width)
      kernel(&norm)
    }
    defer { withExtendedLifetime((upstream, source, statistics, weight, ofSum, result)) {} }
    guard ofWeight || ofBias else {
      rows.forEachTask { run($0, nil, nil) }
      return (result, nil, nil)
    }
    let width = rows.width
    let sums = rows.sums((ofWeight ? 1 : 0) + (ofBias ? 1 : 0)) { range, sums in
      run(range, ofWeight ? sums : nil, ofBias ? sums + (ofWeight ? width : 0) : nil)
    }
    return (result, ofWeight ? sums[0] : nil, ofBias ? sums[sums.count - 1] : nil)
  }
}
