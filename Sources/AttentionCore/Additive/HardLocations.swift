import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The cells of an alignment: for each query the probability of each location in its source.
///
/// What hard attention (Xu et al., 1502.03044, §4) does with them: it draws a location, and asks for the logarithm of its
/// probability, for the entropy, and for the value that stands there.
package struct AlignmentCells {
  /// All cells in one axis: the `[Lq, Lk]` of each sequence one after the other.
  package let weights: Tensor
  package let layout: SequenceLayout
  package let keyLayout: SequenceLayout
  /// Where each query's row of cells begins, and after the last one their number.
  package let rows: [Int]
  /// Which row of the values is the first of each query's source.
  package let sources: [Int]

  /// - Precondition: as many weights as cells.
  package init(weights: Tensor, layout: SequenceLayout, keyLayout: SequenceLayout) {
    self.weights = weights.reshaped(to: [weights.count])
    self.layout = layout
    self.keyLayout = keyLayout
    var rows = [0]
    var sources: [Int] = []
    for (sequence, queries) in layout.lengths.enumerated() {
      for _ in 0..<queries {
        rows.append(rows[rows.count - 1] + keyLayout.lengths[sequence])
        sources.append(keyLayout.offsets[sequence])
      }
    }
    self.rows = rows
    self.sources = sources
    require(
      rows[rows.count - 1] == weights.count,
      "AlignmentCells: \(weights.shape) for queries \(layout.lengths) and keys \(keyLayout.lengths)")
  }

  package var queryCount: Int { sources.count }

  /// Draws a location for each query; nil where nothing is in sight.
  ///
  /// One number is drawn for every query, so that what one of them draws does not depend on what others see.
  package func sampledLocations(using generator: inout some RandomNumberGenerator) -> [Int?] {
    var units = [Double]()
    units.reserveCapacity(queryCount)
    for _ in 0..<queryCount { units.append(Double.random(in: 0..<1, using: &generator)) }
    return weights.withUnsafeBufferPointer { cells in
      (0..<queryCount).map { query in location(units[query], of: cells[rows[query]..<rows[query + 1]]) }
    }
  }

  /// The first location at which the sum of probabilities exceeds a share of all of them.
  private func location(_ unit: Double, of cells: Slice<UnsafeBufferPointer<Float>>) -> Int? {
    let total = cells.reduce(0) { $0 + Double($1) }
    // A location whose probability is NaN, so that what comes of it is NaN too.
    if total.isNaN { return cells.firstIndex(where: \.isNaN).map { $0 - cells.startIndex } }
    var sum = 0.0
    var last: Int?
    for (location, share) in cells.enumerated() where share > 0 {
      sum += Double(share)
      last = location
      if sum > unit * total { return location }
    }
    return last
  }

  /// A location, for those queries that give it a probability.
  package func visible(_ location: Int) -> [Int?] {
    (0..<queryCount).map { query in
      let position = rows[query] + location
      return position < rows[query + 1] && weights.unsafeBase[position] != 0 ? location : nil
    }
  }

  /// The probability of a location of each query, `[queries]`; 0 where it is nil.
  package func probabilities(at locations: [Int?]) -> Tensor {
    picked(locations) {
      $0
    } slope: { _ in
      1
    }
  }

  /// The logarithm of the probability of a location of each query, `[queries]`; 0 where it is nil.
  package func logProbabilities(at locations: [Int?]) -> Tensor {
    picked(locations) {
      logf($0)
    } slope: {
      1 / $0
    }
  }

  private func picked(
    _ locations: [Int?], _ function: (Float) -> Float, slope: @escaping @Sendable (Float) -> Float
  ) -> Tensor {
    let cells = weights.detached()
    let positions = zip(rows, locations).map { row, location in location.map { row + $0 } }
    return Tensor(
      positions.map { position in position.map { function(cells.unsafeBase[$0]) } ?? 0 }, shape: [queryCount]
    ).derived(from: weights) { upstream in
      var gradient = Tensor(zeros: cells.shape)
      gradient.withUnsafeMutableBufferPointer { gradient in
        for (query, position) in positions.enumerated() {
          if let position { gradient[position] = upstream.unsafeBase[query] * slope(cells.unsafeBase[position]) }
        }
      }
      return gradient
    }
  }

  /// The entropy of each query's distribution, `[queries]`: −Σ p · ln p; 0 where nothing is in sight.
  package func entropies() -> Tensor {
    let cells = weights.detached()
    let rows = rows
    return Tensor(
      (0..<queryCount).map { query in
        let sum = (rows[query]..<rows[query + 1]).reduce(0.0) { sum, position in
          let share = Double(cells.unsafeBase[position])
          return share == 0 ? sum : sum - share * log(share)
        }
        return Float(sum)
      }, shape: [queryCount]
    ).derived(from: weights) { upstream in
      var gradient = Tensor(zeros: cells.shape)
      gradient.withUnsafeMutableBufferPointer { gradient in
        for query in 0..<rows.count - 1 {
          for position in rows[query]..<rows[query + 1] where cells.unsafeBase[position] != 0 {
            gradient[position] = -upstream.unsafeBase[query] * (logf(cells.unsafeBase[position]) + 1)
          }
        }
      }
      return gradient
    }
  }

  /// The value at a location of each query, `[queries, dv]` of `[tokens, dv]`; zeros where it is nil.
  package func values(at locations: [Int?], of value: Tensor) -> Tensor {
    let width = value.shape[1]
    let shape = value.shape
    let taken = zip(sources, locations).map { first, location in location.map { first + $0 } }
    var result = Tensor(zeros: [queryCount, width])
    result.withUnsafeMutableBufferPointer { result in
      for (query, row) in taken.enumerated() {
        if let row { (result.baseAddress! + query * width).update(from: value.unsafeBase + row * width, count: width) }
      }
    }
    return result.derived(from: value) { upstream in
      var gradient = Tensor(zeros: shape)
      gradient.withUnsafeMutableBufferPointer { gradient in
        // In order: values that several queries took add up the same way every time.
        for (query, row) in taken.enumerated() {
          guard let row else { continue }
          for column in 0..<width { gradient[row * width + column] += upstream.unsafeBase[query * width + column] }
        }
      }
      return gradient
    }
  }
}
