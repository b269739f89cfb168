import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension Tensor {
  /// e^x for each element x, within 2 ulp.
  public func exp() -> Tensor {
    let result = mapped { KernelSet.kernels.pointee.exp($0, $1, $2) }
    let kept = isTracked ? result : nil
    return result.derived(from: self) { upstream in kept.map { upstream * $0 } }
  }

  /// The natural logarithm of each element: −∞ of 0, NaN of what is negative.
  public func log() -> Tensor {
    let kept = isTracked ? detached() : nil
    return mapped { source, result, count in
      for index in 0..<count { result[index] = logf(source[index]) }
    }.derived(from: self) { upstream in kept.map { upstream / $0 } }
  }

  /// The square root of each element: NaN of what is negative.
  public func squareRoot() -> Tensor {
    let result = mapped { source, result, count in
      for index in 0..<count { result[index] = source[index].squareRoot() }
    }
    let kept = isTracked ? result : nil
    return result.derived(from: self) { upstream in kept.map { upstream / ($0 * 2) } }
  }

  /// The square of each element.
  public func squared() -> Tensor {
    let kept = isTracked ? detached() : nil
    return mapped { source, result, count in
      KernelSet.kernels.pointee.multiply(source, false, source, false, result, count)
    }.derived(from: self) { upstream in kept.map { upstream * ($0 * 2) } }
  }

  /// An untracked tensor of the same shape, chunk by chunk.
  ///
  /// - Parameter body: called with the source, the place for the result, and the count; not in place.
  package func mapped(
    _ body: @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
  ) -> Tensor {
    Tensor(uninitialized: shape) { buffer in
      guard !buffer.isEmpty else { return }
      let (source, result) = (Unchecked(unsafeBase), Unchecked(buffer.baseAddress!))
      forEachChunk(of: count) { body(source.value + $0.lowerBound, result.value + $0.lowerBound, $0.count) }
    }
  }
}
