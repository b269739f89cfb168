import CAttentionKernels

extension Tensor {
  /// The softmax along one axis: exp(x − max) / Σ exp(x − max).
  ///
  ///     let probabilities = logits.softmax(along: -1)
  ///
  /// A slice whose elements are all −∞, or that holds NaN or +∞, gives NaN, as the formula does. O(count).
  ///
  /// - Parameter axis: from 0, or from −1 backwards.
  /// - Precondition: the tensor has that axis.
  public func softmax(along axis: Int = -1) -> Tensor {
    let position = axis < 0 ? axis + rank : axis
    require(position >= 0 && position < rank, "softmax: the shape \(shape) has no axis \(axis)")
    let length = shape[position]
    let stride = shape[(position + 1)...].reduce(1, *)
    guard count > 0 else { return self }
    return withUnsafeBufferPointer { source in
      Tensor(uninitialized: shape) { result in
        let slices = SoftmaxSlices(
          source: source.baseAddress!, result: result.baseAddress!, length: length, stride: stride)
        let sliceCount = count / length
        let perTask = SoftmaxTasks.slicesPerTask(length: length)
        WorkerPool.shared.forEachWithoutProducts((sliceCount + perTask - 1) / perTask, inline: count < 1 << 15) {
          task in
          slices.normalise(task * perTask..<min(sliceCount, (task + 1) * perTask))
        }
      }
    }
  }
}

/// How a softmax is cut for the pool.
package enum SoftmaxTasks {
  /// The slices that one index of the pool covers: some microseconds of work, so that handing out short slices does not
  /// cost more than they do. It depends on the shape alone.
  package static func slicesPerTask(length: Int) -> Int { max(1, (1 << 13) / length) }
}

/// Slices along an axis: `length` elements, `stride` apart.
private struct SoftmaxSlices: @unchecked Sendable {
  // @unchecked: each call writes a slice of its own.
  let source: UnsafePointer<Float>
  let result: UnsafeMutablePointer<Float>
  let length: Int
  let stride: Int

  func normalise(_ slices: Range<Int>) {
    guard stride > 1 else {
      for slice in slices { softmaxRow(source + slice * length, result + slice * length, count: length) }
      return
    }
    // The kernels take contiguous floats.
    let row = TensorStorage(minimumCapacity: length)
    for slice in slices {
      let (outer, inner) = slice.quotientAndRemainder(dividingBy: stride)
      let start = outer * length * stride + inner
      for index in 0..<length { row.base[index] = source[start + index * stride] }
      softmaxRow(row.base, row.base, count: length)
      for index in 0..<length { result[start + index * stride] = row.base[index] }
    }
    withExtendedLifetime(row) {}
  }
}

/// The softmax of contiguous floats; in place when both pointers are equal.
private func softmaxRow(_ source: UnsafePointer<Float>, _ result: UnsafeMutablePointer<Float>, count: Int) {
  let kernels = KernelSet.kernels
  let maximum = kernels.pointee.max(source, count)
  guard maximum.isFinite else { return result.update(repeating: .nan, count: count) }
  let sum = kernels.pointee.exp_sum(source, maximum, result, count)
  kernels.pointee.scale(result, 1 / sum, result, count)
}
