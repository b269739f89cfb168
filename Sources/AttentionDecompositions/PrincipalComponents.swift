import AttentionTensors

/// The principal components of a cloud of points (Pearson, 1901; Hotelling, 1933): the orthogonal directions in which it
/// varies most, by the singular value decomposition of the centred data.
///
///     let components = try PrincipalComponents(of: hiddenStates)
///     let plane = components.projected(hiddenStates, count: 2)
public struct PrincipalComponents: Sendable {
  /// `[d]`: the mean of the points.
  public let mean: Tensor
  /// `[k, d]` with k = min(n, d): orthonormal rows, the direction of the largest variance first. Of each, the entry of
  /// the largest absolute value is positive.
  public let components: Tensor
  /// k variances along the components, with the divisor n − 1.
  public let explainedVariances: [Float]

  /// Finds the components of n points `[n, d]`. O(n · d · min(n, d)).
  ///
  /// - Throws: ``DecompositionError`` as for ``SingularValueDecomposition/init(of:)``.
  /// - Precondition: the tensor is a matrix of two points at least.
  public init(of points: Tensor) throws(DecompositionError) {
    require(
      points.rank == 2 && points.shape[0] >= 2,
      "PrincipalComponents: a tensor of shape \(points.shape) is no matrix [points, d] of two points at least")
    try SingularValueDecomposition.check(points, for: .divideAndConquer)
    let (count, width) = (points.shape[0], points.shape[1])
    // In float64: points far from 0 lose no digits of their differences.
    var sums = [Double](repeating: 0, count: width)
    points.withUnsafeBufferPointer { source in
      for row in 0..<count { for column in 0..<width { sums[column] += Double(source[row * width + column]) } }
    }
    let means = sums.map { $0 / Double(count) }
    mean = Tensor(means.map { Float($0) }, shape: [width])
    let centred = Tensor(uninitialized: points.shape) { target in
      points.withUnsafeBufferPointer { source in
        for index in 0..<points.count { target[index] = Float(Double(source[index]) - means[index % width]) }
      }
    }
    let decomposition = try SingularValueDecomposition(of: centred)
    explainedVariances = decomposition.singularValues.values.map { $0 * $0 / Float(count - 1) }
    var directions = decomposition.rightVectorsTransposed
    directions.withUnsafeMutableBufferPointer { rows in
      for row in 0..<decomposition.singularValues.values.count {
        let range = row * width..<(row + 1) * width
        guard let largest = range.max(by: { abs(rows[$0]) < abs(rows[$1]) }), rows[largest] < 0 else { continue }
        for index in range { rows[index].negate() }
      }
    }
    components = directions
  }

  /// What share of the whole variance lies along each component; zeros if all points are equal.
  public var explainedVarianceRatios: [Float] {
    let whole = explainedVariances.reduce(0, +)
    return explainedVariances.map { whole > 0 ? $0 / whole : 0 }
  }

  /// Points `[n, d]` in the coordinates of the first components: `[n, count]`. O(n · d · count).
  ///
  /// - Precondition: the points are d wide, and there are as many components.
  public func projected(_ points: Tensor, count: Int) -> Tensor {
    let width = mean.count
    require(
      points.rank == 2 && points.shape[1] == width && count >= 0 && count <= explainedVariances.count,
      "PrincipalComponents: cannot project \(points.shape) on \(count) of the components \(components.shape)")
    return Tensor(uninitialized: [points.shape[0], count]) { target in
      points.withUnsafeBufferPointer { source in
        for row in 0..<points.shape[0] {
          for component in 0..<count {
            var sum = 0.0
            for column in 0..<width {
              let difference = Double(source[row * width + column]) - Double(mean.unsafeBase[column])
              sum += difference * Double(components.unsafeBase[component * width + column])
            }
            target[row * count + component] = Float(sum)
          }
        }
      }
    }
  }
}
