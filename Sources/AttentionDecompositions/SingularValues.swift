import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The singular values of a matrix, and what they tell about its rank.
///
///     let rank = try SingularValues(of: attentionWeights).effectiveRank
public struct SingularValues: Sendable, Equatable {
  /// min(m, n) values, none negative, the largest first.
  public let values: [Float]
  /// The shape `[m, n]` of the matrix.
  public let shape: [Int]

  package init(values: [Float], shape: [Int]) {
    self.values = values
    self.shape = shape
  }

  /// Computes the singular values of a matrix `[m, n]` without its vectors. O(m · n · min(m, n)).
  ///
  /// - Throws: ``DecompositionError`` as for ``SingularValueDecomposition/init(of:)``.
  /// - Precondition: the tensor is a matrix.
  public init(of matrix: Tensor) throws(DecompositionError) {
    self = try SingularValueDecomposition.singularValues(of: matrix)
  }

  /// How many dimensions a matrix fills, evenly or not: e to the entropy of its singular values divided by their sum
  /// (Roy and Vetterli, 2007, "The effective rank: a measure of effective dimensionality").
  ///
  /// From 1, of a matrix of rank 1, to min(m, n), where all singular values are equal; 0 of a matrix of zeros, and of an
  /// empty one.
  public var effectiveRank: Double {
    let sum = values.reduce(0) { $0 + Double($1) }
    guard sum > 0 else { return 0 }
    let entropy = values.reduce(0) { entropy, value in
      let share = Double(value) / sum
      return share > 0 ? entropy - share * log(share) : entropy
    }
    return exp(entropy)
  }

  /// The number of singular values above a tolerance.
  ///
  /// - Parameter tolerance: what counts as 0; unless given, max(m, n) · 2⁻²³ times the largest value, which is about what
  ///   rounding makes of a 0.
  public func rank(tolerance: Float? = nil) -> Int {
    let bound = tolerance ?? (values.first ?? 0) * Float(shape.max() ?? 0) * Float.ulpOfOne
    return values.count { $0 > bound }
  }
}
