import Attention

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// dQ, dK and dV of one kv head, rows of dk, dk and dv values.
typealias UnitGradients = [[Double]]

/// Attention's gradients for one kv head of one sequence, in float64 from the definitions: blocks of queries one after
/// another, of each block first the probabilities and the slopes of its scores, then what they give to the keys.
struct UnitProblem: Sendable {
  private let input: BackwardInput
  /// The queries into which a gradient flows, numbered over all heads of the group.
  private let flowing: [Int]

  private typealias Rows = Unchecked<UnsafeMutablePointer<Double>>
  /// Queries of a block, and keys of a task.
  private static let (blockQueries, taskKeys) = (64, 64)

  init(_ input: BackwardInput, flowing: [Int]) {
    self.input = input
    self.flowing = flowing
  }

  func gradients(unit: Int) -> UnitGradients {
    let sizes = input.sizes
    let (keys, keyWidth, valueWidth) = (sizes.keyLength, sizes.keyWidth, sizes.valueWidth)
    let queries = sizes.heads / sizes.keyValueHeads * sizes.queryLength
    func part(_ tensor: Tensor, _ rows: Int) -> [Double] {
      let count = rows * tensor.shape[3]
      return tensor.withUnsafeBufferPointer { $0[unit * count..<(unit + 1) * count].map(Double.init) }
    }
    var operands = [
      part(input.input.query, queries), part(input.input.key, keys), part(input.input.value, keys),
      part(input.upstream, queries),
    ]
    var results = [queries * keyWidth, keys * keyWidth, keys * valueWidth].map { [Double](repeating: 0, count: $0) }
    var block = [Double](repeating: 0, count: 2 * Self.blockQueries * keys)
    Self.withRows(&operands) { operands in
      Self.withRows(&results) { results in
        block.withUnsafeMutableBufferPointer { buffer in
          let weights = Rows(buffer.baseAddress!)
          let slopes = Rows(weights.value + Self.blockQueries * keys)
          for first in stride(from: 0, to: flowing.count, by: Self.blockQueries) {
            let chosen = Array(flowing[first..<min(first + Self.blockQueries, flowing.count)])
            WorkerPool.shared.forEachWithoutProducts(chosen.count, inline: false) { index in
              row(
                chosen[index], operands, weights: weights.value + index * keys, slopes: slopes.value + index * keys,
                result: results[0].value + chosen[index] * keyWidth)
            }
            let tasks = (keys + Self.taskKeys - 1) / Self.taskKeys
            WorkerPool.shared.forEachWithoutProducts(tasks, inline: false) { task in
              let range = task * Self.taskKeys..<min((task + 1) * Self.taskKeys, keys)
              collect(chosen, range, operands, weights.value, slopes.value, results)
            }
          }
        }
      }
    }
    return results
  }

  /// The softmax of one query, what its scores' gradients are, and its own gradient.
  private func row(
    _ query: Int, _ operands: [Rows], weights: UnsafeMutablePointer<Double>, slopes: UnsafeMutablePointer<Double>,
    result: UnsafeMutablePointer<Double>
  ) {
    let sizes = input.sizes
    let (keyWidth, valueWidth) = (sizes.keyWidth, sizes.valueWidth)
    let visible = sizes.visibleKeys(ofQuery: query % sizes.queryLength)
    guard !visible.isEmpty else { return }
    let own = operands[0].value + query * keyWidth
    let upstream = operands[3].value + query * valueWidth
    let scale = 1 / Double(keyWidth).squareRoot()
    let cap = sizes.softcap.map(Double.init)
    var largest = -Double.infinity
    for key in visible {
      let score = scale * Self.dot(own, operands[1].value + key * keyWidth, keyWidth)
      weights[key] = cap.map { $0 * tanh(score / $0) } ?? score
      // Until the probabilities are known: what the cap makes of a slope.
      slopes[key] = cap.map { scale * (1 - weights[key] / $0 * (weights[key] / $0)) } ?? scale
      largest = max(largest, weights[key])
    }
    var sum = 0.0
    for key in visible {
      weights[key] = exp(weights[key] - largest)
      sum += weights[key]
    }
    // dP once to average it under P, and once more to use it: no third row to keep.
    var mean = 0.0
    for key in visible {
      weights[key] /= sum
      mean += weights[key] * Self.dot(upstream, operands[2].value + key * valueWidth, valueWidth)
    }
    for key in visible {
      let ofWeight = Self.dot(upstream, operands[2].value + key * valueWidth, valueWidth)
      slopes[key] *= weights[key] * (ofWeight - mean)
      Self.add(slopes[key], operands[1].value + key * keyWidth, to: result, keyWidth)
    }
  }

  /// What a block of queries gives to some keys and values.
  private func collect(
    _ queries: [Int], _ range: Range<Int>, _ operands: [Rows], _ weights: UnsafeMutablePointer<Double>,
    _ slopes: UnsafeMutablePointer<Double>, _ results: [Rows]
  ) {
    let sizes = input.sizes
    for (index, query) in queries.enumerated() {
      let start = index * sizes.keyLength
      for key in range.clamped(to: sizes.visibleKeys(ofQuery: query % sizes.queryLength)) {
        Self.add(
          slopes[start + key], operands[0].value + query * sizes.keyWidth,
          to: results[1].value + key * sizes.keyWidth, sizes.keyWidth)
        Self.add(
          weights[start + key], operands[3].value + query * sizes.valueWidth,
          to: results[2].value + key * sizes.valueWidth, sizes.valueWidth)
      }
    }
  }

  // MARK: Arithmetic

  /// Copies that tasks write to, put back at the end.
  private static func withRows(_ arrays: inout [[Double]], _ body: ([Rows]) -> Void) {
    let rows = arrays.map { array in
      let pointer = UnsafeMutablePointer<Double>.allocate(capacity: max(1, array.count))
      pointer.initialize(from: array, count: array.count)
      return Rows(pointer)
    }
    body(rows)
    for index in arrays.indices {
      arrays[index] = Array(UnsafeBufferPointer(start: rows[index].value, count: arrays[index].count))
      rows[index].value.deallocate()
    }
  }

  private static func dot(_ a: UnsafePointer<Double>, _ b: UnsafePointer<Double>, _ count: Int) -> Double {
    var (even, odd) = (SIMD4<Double>.zero, SIMD4<Double>.zero)
    var index = 0
    while index + 8 <= count {
      even += load(a + index) * load(b + index)
      odd += load(a + index + 4) * load(b + index + 4)
      index += 8
    }
    var sum = (even + odd).sum()
    while index < count {
      sum += a[index] * b[index]
      index += 1
    }
    return sum
  }

  private static func load(_ pointer: UnsafePointer<Double>) -> SIMD4<Double> {
    UnsafeRawPointer(pointer).loadUnaligned(as: SIMD4<Double>.self)
  }

  private static func add(
    _ factor: Double, _ source: UnsafePointer<Double>, to target: UnsafeMutablePointer<Double>, _ count: Int
  ) {
    for index in 0..<count { target[index] += factor * source[index] }
  }
}
