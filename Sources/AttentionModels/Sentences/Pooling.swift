import AttentionCore
import AttentionTensors

/// How the rows of a sequence's tokens become one row.
public enum Pooling: String, Sendable, CaseIterable {
  /// The mean of all tokens' rows, those of the template among them.
  case mean
  /// The first token's row: [CLS].
  case firstToken
  /// The largest value of each column.
  case maximum
}

extension Pooling {
  /// The pooled rows, `[sequences, width]`, of rows `[tokens, width]`; zeros for an empty sequence.
  ///
  /// A sequence's result depends on its own rows alone, bit for bit. No gradients. O(tokens · width).
  ///
  /// - Precondition: there are as many rows as the layout has tokens.
  public func callAsFunction(_ rows: Tensor, layout: SequenceLayout) -> Tensor {
    precondition(
      rows.rank == 2 && rows.shape[0] == layout.tokenCount,
      "Pooling: rows \(rows.shape) for \(layout.tokenCount) tokens")
    let width = rows.shape[1]
    return Tensor(uninitialized: [layout.sequenceCount, width]) { buffer in
      buffer.initialize(repeating: 0)
      rows.withUnsafeBufferPointer { source in
        guard let source = source.baseAddress, let target = buffer.baseAddress else { return }
        for sequence in 0..<layout.sequenceCount where layout.lengths[sequence] > 0 {
          pool(source, layout.range(of: sequence), into: target + sequence * width, width: width)
        }
      }
    }
  }

  private func pool(
    _ source: UnsafePointer<Float>, _ range: Range<Int>, into target: UnsafeMutablePointer<Float>, width: Int
  ) {
    target.update(from: source + range.lowerBound * width, count: width)
    guard self != .firstToken else { return }
    for token in range.dropFirst() {
      let row = source + token * width
      if self == .mean {
        for column in 0..<width { target[column] += row[column] }
      } else {
        // A NaN wins: nothing is swallowed.
        for column in 0..<width where !(row[column] <= target[column]) && !target[column].isNaN {
          target[column] = row[column]
        }
      }
    }
    guard self == .mean else { return }
    let count = Float(range.count)
    for column in 0..<width { target[column] /= count }
  }
}

extension Tensor {
  /// Rows of length 1, by their Euclidean norm; a row shorter than 10⁻¹² is divided by that, as PyTorch's `normalize` does.
  ///
  /// No gradients.
  func withUnitRows() -> Tensor {
    var result = detached()
    guard let width = shape.last, width > 0 else { return result }
    result.withUnsafeMutableBufferPointer { buffer in
      for row in 0..<buffer.count / width {
        let part = UnsafeMutableBufferPointer(rebasing: buffer[row * width..<(row + 1) * width])
        var sum = 0.0
        for value in part { sum += Double(value) * Double(value) }
        let length = max(sum.squareRoot(), 1e-12)
        for column in 0..<width { part[column] = Float(Double(part[column]) / length) }
      }
    }
    return result
  }
}
