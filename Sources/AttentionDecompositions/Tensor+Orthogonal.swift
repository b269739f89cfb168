import AttentionTensors

extension Tensor {
  /// A random orthogonal matrix times the gain (Saxe et al., 1312.6120): Q of a QR decomposition of normal variates, with
  /// signs turned so that it is uniform over the orthogonal matrices.
  ///
  /// As `[outputs, inputs · …]`, its rows are orthonormal where there are at most as many as columns, else its columns.
  /// O(outputs · inputs · min(outputs, inputs)).
  ///
  /// - Precondition: the shape has two axes at least, and the gain is finite and not negative.
  public init(orthogonal shape: [Int], gain: Float = 1, using generator: inout some RandomNumberGenerator) {
    require(
      shape.count >= 2 && gain.isFinite && gain >= 0, "orthogonal: a weight \(shape) with a gain of \(gain)")
    let rows = shape[0]
    let columns = shape.dropFirst().reduce(1, *)
    let (long, short) = (max(rows, columns), min(rows, columns))
    let q: Tensor
    do {
      q = try QRDecomposition(of: Tensor(randomNormal: [long, short], using: &generator)).q
    } catch {
      // Normal variates are finite: the shape is too large.
      fatalError("orthogonal: \(error)")
    }
    self.init(uninitialized: shape) { target in
      q.withUnsafeBufferPointer { source in
        for row in 0..<rows {
          for column in 0..<columns {
            target[row * columns + column] =
              gain * (rows >= columns ? source[row * columns + column] : source[column * rows + row])
          }
        }
      }
    }
  }
}
