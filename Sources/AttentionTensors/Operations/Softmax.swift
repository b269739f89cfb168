import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension Tensor {
  /// The softmax along one axis: exp(x − max) / Σ exp(x − max).
  ///
  ///     let probabilities = logits.softmax(along: -1)
  ///
  /// A slice whose elements are all −∞, or that holds NaN or +∞, gives NaN, as the formula does. O(count); along another
  /// axis than the last, the tensor is transposed and back.
  ///
  /// - Parameter axis: from 0, or from −1 backwards.
  /// - Precondition: the tensor has that axis.
  public func softmax(along axis: Int = -1) -> Tensor {
    alongRows(axis, "softmax") { rows in
      let result = rows.mappedRows { KernelSet.kernels.pointee.softmax($0, $1, $2, $3) }
      let kept = rows.isTracked ? result : nil
      return result.derived(from: rows) { upstream in
        kept.map { $0.combinedRows(with: upstream, KernelSet.kernels.pointee.softmax_gradient) }
      }
    }
  }

  /// The logarithm of the softmax along one axis: x − max − log Σ exp(x − max). Finite where the softmax itself underflows.
  ///
  /// A slice whose elements are all −∞, or that holds NaN or +∞, gives NaN. O(count), as for ``softmax(along:)``.
  ///
  /// - Parameter axis: from 0, or from −1 backwards.
  /// - Precondition: the tensor has that axis.
  public func logSoftmax(along axis: Int = -1) -> Tensor {
    alongRows(axis, "logSoftmax") { rows in
      let result = rows.mappedRows { source, result, count, length in
        for row in 0..<count { logSoftmaxRow(source + row * length, result + row * length, count: length) }
      }
      let kept = rows.isTracked ? result : nil
      return result.derived(from: rows) { upstream in
        kept.map { $0.combinedRows(with: upstream, KernelSet.kernels.pointee.log_softmax_gradient) }
      }
    }
  }

  /// Applies a function of a matrix's rows to slices along an axis.
  private func alongRows(_ axis: Int, _ name: String, _ function: (Tensor) -> Tensor) -> Tensor {
    let position = position(ofAxis: axis, name)
    let length = shape[position]
    let inner = shape[(position + 1)...].reduce(1, *)
    guard count > 0 else { return self }
    let rows = [count / length, length]
    guard inner > 1 else { return function(reshaped(to: rows)).reshaped(to: shape) }
    let slices = reshaped(to: [count / length / inner, length, inner]).transposed()
    return function(slices.reshaped(to: rows)).reshaped(to: slices.shape).transposed().reshaped(to: shape)
  }

  /// An untracked matrix of the same shape. `body` is called with some rows, where theirs go, their number and length.
  private func mappedRows(
    _ body: @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int, Int) -> Void
  ) -> Tensor {
    Tensor(uninitialized: shape) { buffer in
      let (source, result) = (Unchecked(unsafeBase), Unchecked(buffer.baseAddress!))
      let length = shape[1]
      SoftmaxTasks.forEachTask(of: shape) { rows in
        let first = rows.lowerBound * length
        body(source.value + first, result.value + first, rows.count, length)
      }
    }
  }

  /// An untracked matrix made of two of its shape, row by row.
  private func combinedRows(
    with other: Tensor,
    _ kernel:
      @escaping @convention(c) (
        UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
      ) -> Void
  ) -> Tensor {
    let second = Unchecked(other.unsafeBase)
    let length = shape[1]
    return Tensor(uninitialized: shape) { buffer in
      let (first, result) = (Unchecked(unsafeBase), Unchecked(buffer.baseAddress!))
      SoftmaxTasks.forEachRow(of: shape) { row in
        kernel(first.value + row * length, second.value + row * length, result.value + row * length, length)
      }
    }
  }
}

/// How a softmax is cut for the pool.
package enum SoftmaxTasks {
  /// The slices that one index of the pool covers: some microseconds of work, so that handing out short slices does not
  /// cost more than they do. It depends on the shape alone.
  package static func slicesPerTask(length: Int) -> Int { max(1, (1 << 13) / max(1, length)) }

  /// Calls `body` with each row of a matrix of this shape, on several threads where that is worth it.
  static func forEachRow(of shape: [Int], _ body: @Sendable (Int) -> Void) {
    forEachTask(of: shape) { rows in
      for row in rows { body(row) }
    }
  }

  /// Calls `body` with ranges that cover the rows of a matrix of this shape, on several threads where that is worth it.
  static func forEachTask(of shape: [Int], _ body: @Sendable (Range<Int>) -> Void) {
    let (rows, length) = (shape[0], shape[1])
    let perTask = slicesPerTask(length: length)
    WorkerPool.shared.forEachWithoutProducts((rows + perTask - 1) / perTask, inline: rows * length < 1 << 15) { task in
      body(task * perTask..<min(rows, (task + 1) * perTask))
    }
  }
}

/// The logarithm of the softmax of a row.
private func logSoftmaxRow(_ source: UnsafePointer<Float>, _ result: UnsafeMutablePointer<Float>, count: Int) {
  let kernels = KernelSet.kernels
  let maximum = kernels.pointee.max(source, count)
  guard maximum.isFinite else { return result.update(repeating: .nan, count: count) }
  // The largest one's share is 1: the sum is at least that.
  let sum = kernels.pointee.sum_of_exp(source, maximum, count)
  kernels.pointee.subtract_both(source, maximum, logf(sum), result, count)
}
