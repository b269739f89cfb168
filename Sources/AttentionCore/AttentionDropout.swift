import AttentionTensors

/// Weights that are dropped between the softmax and the product with the values, for training (Vaswani et al., 1706.03762,
/// §5.4): each is 0 with a probability, and else divided by what is left of 1.
///
/// Whether a weight stays depends on the seed, the numbers of its sequence and its head, and the positions of its query
/// and its key: not on lengths, paths or threads, so that the way back computes the mask again. Returned weights and the
/// log-sum-exp are those before the dropping.
public struct AttentionDropout: Sendable, Hashable {
  /// That a weight is dropped.
  public let probability: Float
  /// Equal seeds drop equal weights; pass another for every call.
  public let seed: UInt64

  /// - Precondition: the probability lies in 0..<1.
  public init(probability: Float, seed: UInt64) {
    require(
      probability >= 0 && probability < 1, "AttentionDropout: a probability of \(probability) does not lie in 0..<1")
    self.probability = probability
    self.seed = seed
  }

  /// Drops some weights of a row, of which the first belongs to `firstKey`.
  func apply(
    to weights: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>, count: Int, row: RowPlace,
    firstKey: Int
  ) {
    KernelSet.kernels.pointee.dropout(
      weights, result, count, seed, row.stream, UInt64(firstKey),
      UInt32((Double(probability) * 0x1p32).rounded()), 1 / (1 - probability))
  }

  /// A query in a call.
  struct RowPlace {
    let sequence: Int
    let heads: Int
    let head: Int
    let query: Int

    /// A number of its own for each row of a call of up to 2³² heads of 2³² queries.
    var stream: UInt64 {
      UInt64(truncatingIfNeeded: sequence &* heads &+ head) << 32 | UInt64(truncatingIfNeeded: query) & 0xFFFF_FFFF
    }
  }
}
