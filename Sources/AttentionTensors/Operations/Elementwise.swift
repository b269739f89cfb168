import CAttentionKernels

extension Tensor {
  /// Adds the scalars of a tensor of the same shape, in place where nobody shares the storage.
  package mutating func add(_ other: Tensor) {
    require(shape == other.shape, "add: \(other.shape) to \(shape)")
    guard count > 0 else { return }
    let count = count
    other.withUnsafeBufferPointer { from in
      withUnsafeMutableBufferPointer { into in
        let (from, into) = (Unchecked(from.baseAddress!), Unchecked(into.baseAddress!))
        forEachChunk(of: count) { range in
          KernelSet.kernels.pointee.axpy(
            1, from.value + range.lowerBound, into.value + range.lowerBound, range.count)
        }
      }
    }
  }
}

extension Tensor {
  /// Writes every scalar anew.
  ///
  /// - Parameter body: told where the old ones are and where the new ones go: one place if nobody shares the storage, and
  ///   else two that do not overlap. So nothing is copied first.
  package mutating func rewrite(
    _ body: (_ old: UnsafePointer<Float>, _ new: UnsafeMutablePointer<Float>) throws -> Void
  ) rethrows {
    // What is written to is no longer what was computed.
    source = nil
    let target = isKnownUniquelyReferenced(&storage) ? storage : TensorStorage(minimumCapacity: count)
    try body(UnsafePointer(storage.base), target.base)
    storage = target
  }
}

/// A pointer that several threads may use, each at places of its own.
package struct Unchecked<Value>: @unchecked Sendable {
  // @unchecked: the one who makes it answers for who writes where.
  package let value: Value
  package init(_ value: Value) { self.value = value }
}

/// Calls `body` with ranges that cover `0..<count`, on several threads where that is worth it. The cut depends on the
/// count alone.
package func forEachChunk(of count: Int, length: Int = 1 << 14, _ body: @Sendable (Range<Int>) -> Void) {
  let chunks = (count + length - 1) / length
  WorkerPool.shared.forEachWithoutProducts(chunks, inline: count < 1 << 15) { chunk in
    body(chunk * length..<min(count, (chunk + 1) * length))
  }
}
