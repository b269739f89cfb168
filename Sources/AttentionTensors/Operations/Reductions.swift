import CAttentionKernels

extension Tensor {
  /// The sum of all elements, as a tensor of rank 0. Parts are added up in float64.
  public func sum() -> Tensor {
    let shape = shape
    return Tensor([Float(total)], shape: []).derived(from: self) { Tensor(repeating: $0.scalars[0], shape: shape) }
  }

  /// The mean of all elements, as a tensor of rank 0; NaN of none.
  public func mean() -> Tensor {
    let (shape, count) = (shape, Float(count))
    return Tensor([Float(total / Double(count))], shape: []).derived(from: self) {
      Tensor(repeating: $0.scalars[0] / count, shape: shape)
    }
  }

  /// The sum of the squares of all elements, in float64. Its bits do not depend on the number of threads. O(count).
  package var sumOfSquares: Double {
    chunkSums { KernelSet.kernels.pointee.sum_of_squares($0, $1) }
  }

  /// The sum along one axis, which is left out of the result unless `keepingAxis`. O(count).
  ///
  /// - Parameters:
  ///   - axis: from 0, or from −1 backwards.
  ///   - keepingAxis: whether the axis stays, with length 1.
  /// - Precondition: the tensor has that axis.
  public func sum(along axis: Int, keepingAxis: Bool = false) -> Tensor {
    let axis = position(ofAxis: axis, "sum")
    let (shape, length) = (shape, shape[axis])
    var reduced = shape
    reduced[axis] = 1
    let kept = reduced
    if !keepingAxis { reduced.remove(at: axis) }
    return axisSum(axis).reshaped(to: reduced).derived(from: self) { upstream in
      upstream.reshaped(to: kept).repeated(length, along: axis)
    }
  }

  /// The mean along one axis, which is left out of the result unless `keepingAxis`; NaN where the axis is empty. O(count).
  ///
  /// - Parameters:
  ///   - axis: from 0, or from −1 backwards.
  ///   - keepingAxis: whether the axis stays, with length 1.
  /// - Precondition: the tensor has that axis.
  public func mean(along axis: Int, keepingAxis: Bool = false) -> Tensor {
    sum(along: axis, keepingAxis: keepingAxis) / Float(shape[position(ofAxis: axis, "mean")])
  }

  /// An axis counted from 0.
  package func position(ofAxis axis: Int, _ operation: String) -> Int {
    let position = axis < 0 ? axis + rank : axis
    require(position >= 0 && position < rank, "\(operation): the shape \(shape) has no axis \(axis)")
    return position
  }

  /// The sum of all elements.
  private var total: Double {
    chunkSums { Double(KernelSet.kernels.pointee.sum($0, $1)) }
  }

  /// Chunks are summed by `body`, and these sums in float64, in order.
  private func chunkSums(_ body: @Sendable (UnsafePointer<Float>, Int) -> Double) -> Double {
    guard count > 0 else { return 0 }
    let length = 1 << 14
    let chunks = (count + length - 1) / length
    let source = Unchecked(unsafeBase)
    let sums = [Double](unsafeUninitializedCapacity: chunks) { buffer, initialized in
      let target = Unchecked(buffer.baseAddress!)
      forEachChunk(of: count, length: length) { range in
        target.value[range.lowerBound / length] = body(source.value + range.lowerBound, range.count)
      }
      initialized = chunks
    }
    return sums.reduce(0, +)
  }

  /// The sum along an axis of `[outer, length, inner]`, as `[outer, inner]`.
  private func axisSum(_ axis: Int) -> Tensor {
    let length = shape[axis]
    let inner = shape[(axis + 1)...].reduce(1, *)
    let outer = shape[..<axis].reduce(1, *)
    guard length > 0 else { return Tensor(zeros: [outer, inner]) }
    return Tensor(uninitialized: [outer, inner]) { buffer in
      guard !buffer.isEmpty else { return }
      let (source, result) = (Unchecked(unsafeBase), Unchecked(buffer.baseAddress!))
      if inner == 1 {
        let perTask = max(1, (1 << 14) / length)
        WorkerPool.shared.forEachWithoutProducts((outer + perTask - 1) / perTask, inline: count < 1 << 15) { task in
          for row in task * perTask..<min(outer, (task + 1) * perTask) {
            result.value[row] = KernelSet.kernels.pointee.sum(source.value + row * length, length)
          }
        }
        return
      }
      let parts = ColumnParts(outer: outer, length: length, inner: inner)
      let scratch = [Double](unsafeUninitializedCapacity: parts.scratch) { sums, initialized in
        let sums = Unchecked(sums.baseAddress!)
        WorkerPool.shared.forEachWithoutProducts(parts.count, inline: count < 1 << 15) { part in
          let (place, rows, columns, target) = parts[part]
          let into = sums.value + target
          into.update(repeating: 0, count: columns.count)
          for row in rows {
            let from = source.value + (place * length + row) * inner + columns.lowerBound
            for column in 0..<columns.count { into[column] += Double(from[column]) }
          }
        }
        initialized = parts.scratch
      }
      for place in 0..<outer {
        for column in 0..<inner {
          var sum = 0.0
          for block in 0..<parts.blocks { sum += scratch[(place * parts.blocks + block) * inner + column] }
          result.value[place * inner + column] = Float(sum)
        }
      }
    }
  }

  /// Copies along an axis of length 1.
  func repeated(_ count: Int, along axis: Int) -> Tensor {
    var target = shape
    target[axis] = count
    return self + Tensor(zeros: target)
  }
}

/// Columns of `[outer, length, inner]` summed in float64, cut by the shape alone: thousands of rows lose no digits.
private struct ColumnParts: Sendable {
  static let rowsPerBlock = 2048
  static let columnsPerPart = 512
  let outer: Int
  let length: Int
  let inner: Int
  let blocks: Int
  let strips: Int

  init(outer: Int, length: Int, inner: Int) {
    (self.outer, self.length, self.inner) = (outer, length, inner)
    blocks = (length + Self.rowsPerBlock - 1) / Self.rowsPerBlock
    strips = (inner + Self.columnsPerPart - 1) / Self.columnsPerPart
  }

  var count: Int { outer * blocks * strips }
  var scratch: Int { outer * blocks * inner }

  subscript(part: Int) -> (place: Int, rows: Range<Int>, columns: Range<Int>, target: Int) {
    let (block, strip) = part.quotientAndRemainder(dividingBy: strips)
    let (place, index) = block.quotientAndRemainder(dividingBy: blocks)
    let rows = index * Self.rowsPerBlock..<min(length, (index + 1) * Self.rowsPerBlock)
    let columns = strip * Self.columnsPerPart..<min(inner, (strip + 1) * Self.columnsPerPart)
    return (place, rows, columns, block * inner + columns.lowerBound)
  }
}
