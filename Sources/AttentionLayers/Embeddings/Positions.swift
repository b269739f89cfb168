import AttentionCore
import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

extension SequenceLayout {
  /// Each token's place in its own sequence, counted from the sequence's number in `offsets`, or from 0.
  public func positions(startingAt offsets: [Int]? = nil) -> [Int] {
    require(
      offsets.map { $0.count == sequenceCount } ?? true,
      "SequenceLayout: \(offsets?.count ?? 0) offsets for \(sequenceCount) sequences")
    var positions: [Int] = []
    positions.reserveCapacity(tokenCount)
    for (sequence, length) in lengths.enumerated() {
      let first = offsets?[sequence] ?? 0
      positions.append(contentsOf: first..<first + length)
    }
    return positions
  }
}

/// Position embeddings by sines and cosines (Vaswani et al., 1706.03762, §3.5): column 2i of position p is
/// sin(p / base^(2i/width)), and column 2i + 1 the cosine.
public struct SinusoidalPositions: Sendable {
  /// The columns.
  public let width: Int
  /// 10,000 in the paper.
  public let base: Double

  /// - Precondition: the width is not negative and the base positive.
  public init(width: Int, base: Double = 10_000) {
    require(width >= 0 && base > 0, "SinusoidalPositions: width \(width), base \(base)")
    self.width = width
    self.base = base
  }

  /// The rows of these positions, `[positions, width]`, computed in float64. O(positions · width).
  public func callAsFunction(_ positions: [Int]) -> Tensor {
    let rates = (0..<(width + 1) / 2).map { pow(base, -2 * Double($0) / Double(width)) }
    return Tensor(uninitialized: [positions.count, width]) { buffer in
      var index = 0
      for position in positions {
        for column in 0..<width {
          let angle = Double(position) * rates[column / 2]
          buffer[index] = Float(column.isMultiple(of: 2) ? sin(angle) : cos(angle))
          index += 1
        }
      }
    }
  }
}

/// Rotary position embedding (Su et al., 2104.09864, §3.2): pairs of columns of each query and key head are turned by an
/// angle that grows with the position, so that scores depend on distances.
public struct RotaryEmbedding: Sendable, Equatable {
  /// Which columns form a pair.
  public enum Pairing: String, Sendable, CaseIterable {
    /// Columns 2i and 2i + 1, as in the paper.
    case interleaved
    /// Columns i and i + width/2, as GPT-NeoX and LLaMA checkpoints have it.
    case halves
  }

  /// The leading columns of a head that are turned; the others stay.
  public let width: Int
  /// Which columns form a pair.
  public let pairing: Pairing
  /// 10,000 in the paper.
  public let base: Double

  /// - Precondition: the width is even and positive.
  public init(width: Int, pairing: Pairing = .interleaved, base: Double = 10_000) {
    require(
      width > 0 && width.isMultiple(of: 2) && base > 0,
      "RotaryEmbedding: a width of \(width), which has to be even and positive, and a base of \(base)")
    self.width = width
    self.pairing = pairing
    self.base = base
  }

  /// Turns the heads of each row: `[tokens, columns]`, of which the first `heads` times `headWidth` columns are heads and
  /// the others stay. Angles are computed in float64. O(tokens · columns).
  ///
  /// - Parameters:
  ///   - x: queries, keys, or both side by side.
  ///   - positions: each row's position.
  ///   - heads: how many heads are turned.
  ///   - headWidth: the columns of a head, at least ``width``.
  /// - Precondition: the shape has room for the heads, and there is a position for each row.
  public func callAsFunction(_ x: Tensor, positions: [Int], heads: Int, headWidth: Int) -> Tensor {
    require(
      x.rank == 2 && x.shape[0] == positions.count && heads * headWidth <= x.shape[1] && headWidth >= width,
      """
      RotaryEmbedding: \(x.shape) with \(positions.count) positions, \(heads) heads of \(headWidth) columns, of which \
      \(width) are turned
      """)
    let pairs = width / 2
    let rates = (0..<pairs).map { pow(base, -2 * Double($0) / Double(width)) }
    return turned(x, heads: heads, headWidth: headWidth, direction: 1) { row, turn in
      for pair in 0..<pairs {
        let angle = Double(positions[row]) * rates[pair]
        turn[pair] = Float(cos(angle))
        turn[pairs + pair] = Float(sin(angle))
      }
    }
  }

  /// Turns the heads of each row by angles of the caller's own, such as those of a scaled base. O(tokens · columns).
  ///
  /// - Parameters:
  ///   - x: `[tokens, columns]`: queries, keys, or both side by side.
  ///   - cosines: `[tokens, width / 2]`, a constant: no gradient flows into it.
  ///   - sines: likewise.
  ///   - heads: how many heads are turned.
  ///   - headWidth: the columns of a head, at least ``width``.
  /// - Precondition: the shape has room for the heads, and there is a row of each table for each row.
  public func callAsFunction(_ x: Tensor, cosines: Tensor, sines: Tensor, heads: Int, headWidth: Int) -> Tensor {
    let pairs = width / 2
    require(
      x.rank == 2 && cosines.shape == [x.shape[0], pairs] && sines.shape == cosines.shape
        && heads * headWidth <= x.shape[1] && headWidth >= width,
      """
      RotaryEmbedding: \(x.shape) with cosines \(cosines.shape) and sines \(sines.shape), \(heads) heads of \(headWidth) \
      columns, of which \(width) are turned
      """)
    let (cosines, sines) = (cosines.detached(), sines.detached())
    return turned(x, heads: heads, headWidth: headWidth, direction: 1) { row, turn in
      turn.update(from: cosines.unsafeBase + row * pairs, count: pairs)
      (turn + pairs).update(from: sines.unsafeBase + row * pairs, count: pairs)
    }
  }

  /// - Parameter fill: writes a row's cosines and behind them its sines.
  private func turned(
    _ x: Tensor, heads: Int, headWidth: Int, direction: Float,
    fill: @escaping @Sendable (_ row: Int, _ turn: UnsafeMutablePointer<Float>) -> Void
  ) -> Tensor {
    let pairs = width / 2
    let (first, second) = pairing == .interleaved ? (2, 1) : (1, pairs)
    let columns = x.shape[1]
    let result = Tensor(uninitialized: x.shape) { buffer in
      guard let target = buffer.baseAddress, !buffer.isEmpty else { return }
      let (from, into) = (Unchecked(x.unsafeBase), Unchecked(target))
      forEachChunk(of: x.shape[0] * columns, length: max(1, (1 << 14) / columns) * columns) { range in
        withUnsafeTemporaryAllocation(of: Float.self, capacity: 2 * pairs) { turn in
          for row in range.lowerBound / columns..<range.upperBound / columns {
            fill(row, turn.baseAddress!)
            if direction < 0 { for pair in 0..<pairs { turn[pairs + pair] = -turn[pairs + pair] } }
            let (source, result) = (from.value + row * columns, into.value + row * columns)
            result.update(from: source, count: columns)
            for head in 0..<heads {
              let (source, result) = (source + head * headWidth, result + head * headWidth)
              for pair in 0..<pairs {
                let (a, b) = (source[first * pair], source[first * pair + second])
                result[first * pair] = a * turn[pair] - b * turn[pairs + pair]
                result[first * pair + second] = a * turn[pairs + pair] + b * turn[pair]
              }
            }
          }
        }
      }
    }
    return result.derived(from: x) { upstream in
      // A rotation's transpose turns back.
      turned(upstream, heads: heads, headWidth: headWidth, direction: -direction, fill: fill)
    }
  }
}
