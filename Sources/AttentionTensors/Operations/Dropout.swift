import CAttentionKernels

extension Tensor {
  /// Each element 0 with a probability, and else divided by what is left of 1 (inverted dropout, Srivastava et al., 2014).
  ///
  /// Whether an element stays depends on the seed and its place alone, by Philox 4x32-10 (Salmon et al., 2011): the mask
  /// is the same on every machine, and is never stored; the way back computes it again. A dropped NaN is 0. O(count).
  ///
  /// - Parameters:
  ///   - probability: that an element is dropped; 0 changes nothing.
  ///   - seed: equal seeds drop equal places of tensors; pass another for every call.
  /// - Precondition: the probability lies in 0..<1.
  public func dropped(probability: Float, seed: UInt64) -> Tensor {
    require(
      probability >= 0 && probability < 1, "dropped: a probability of \(probability) does not lie in 0..<1")
    guard probability > 0 else { return self }
    // Of 2³² words, those below are dropped; a float's largest below 1 leaves 256.
    let threshold = UInt32((Double(probability) * 0x1p32).rounded())
    let factor = 1 / (1 - probability)
    @Sendable func kept(_ tensor: Tensor) -> Tensor {
      Tensor(uninitialized: tensor.shape) { buffer in
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
        let (source, result) = (Unchecked(tensor.unsafeBase), Unchecked(base))
        forEachChunk(of: tensor.count) { range in
          KernelSet.kernels.pointee.dropout(
            source.value + range.lowerBound, result.value + range.lowerBound, range.count, seed, 0,
            UInt64(range.lowerBound), threshold, factor)
        }
      }
    }
    return kept(self).derived(from: self) { kept($0) }
  }
}

/// ``Tensor/dropped(probability:seed:)`` as a function.
public func dropout(_ x: Tensor, probability: Float, seed: UInt64) -> Tensor {
  x.dropped(probability: probability, seed: seed)
}
