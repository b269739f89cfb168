import CAttentionKernels
import Synchronization

extension Tensor {
  /// Whether every element is finite: neither NaN nor an infinity. O(count).
  public var isFinite: Bool {
    guard count > 0 else { return true }
    let source = Unchecked(unsafeBase)
    let found = Atomic<Bool>(true)
    forEachChunk(of: count) { range in
      if !KernelSet.kernels.pointee.all_finite(source.value + range.lowerBound, range.count) {
        found.store(false, ordering: .relaxed)
      }
    }
    return found.load(ordering: .relaxed)
  }
}
