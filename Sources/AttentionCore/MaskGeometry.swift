import AttentionTensors
import CAttentionKernels

/// A mask resolved against the lengths of a call: for each query an interval of keys, and what is left to test or add
/// cell by cell inside it.
struct MaskGeometry: @unchecked Sendable {
  // @unchecked: pointers into tensors that `owners` keeps alive, read only.

  /// Cells that broadcast over axes of stride 0.
  struct Dense<Element>: @unchecked Sendable {
    // @unchecked: the cells are read only.
    let base: UnsafePointer<Element>
    let sequenceStride: Int
    let headStride: Int
    let queryStride: Int
    let keyStride: Int

    func row(sequence: Int, head: Int, query: Int) -> UnsafePointer<Element> {
      base + sequence * sequenceStride + head * headStride + query * queryStride
    }

    func cell(sequence: Int, head: Int, query: Int, key: Int) -> Element {
      row(sequence: sequence, head: head, query: query)[key * keyStride]
    }
  }

  struct Band {
    let left: Int?
    let right: Int?
    let alignment: AttentionMask.Alignment
  }

  struct LinearBias {
    let slopes: [Float]
    let alignment: AttentionMask.Alignment
  }

  let queryLengths: [Int]
  let keyLengths: [Int]
  let heads: Int
  /// How many keys of each sequence exist: its length, or less by a padding mask.
  private(set) var existingKeys: [Int]
  /// The first key of each sequence that is there, where a cache has forgotten some or a call holds later ones only;
  /// empty if all are.
  var firstKeys: [Int] = []
  private(set) var bands: [Band] = []
  private(set) var documents: [DocumentGeometry] = []
  private(set) var allowed: [Dense<UInt8>] = []
  private(set) var biases: [Dense<Float>] = []
  private(set) var linearBiases: [LinearBias] = []
  /// The memory that the cells of predicates take.
  private(set) var predicateBytes = 0
  private var owners: [any Sendable] = []

  /// - Precondition: every condition of the mask fits the lengths and heads.
  init(_ mask: AttentionMask, queryLengths: [Int], keyLengths: [Int], heads: Int, isRagged: Bool) {
    self.queryLengths = queryLengths
    self.keyLengths = keyLengths
    self.heads = heads
    existingKeys = keyLengths
    let axes = BroadcastAxes(
      sequences: queryLengths.count, heads: heads, queries: queryLengths.max() ?? 0, keys: keyLengths.max() ?? 0,
      isRagged: isRagged)
    for condition in mask.conditions { add(condition, axes: axes) }
  }

  private mutating func add(_ condition: AttentionMask.Condition, axes: BroadcastAxes) {
    switch condition {
    case .band(let left, let right, let alignment):
      bands.append(Band(left: left, right: right, alignment: alignment))
    case .keyLengths(let lengths):
      require(
        lengths.count == keyLengths.count && zip(lengths, keyLengths).allSatisfy { $0 >= 0 && $0 <= $1 },
        "attention: the mask's key lengths \(lengths) do not fit sequences of \(keyLengths) keys")
      existingKeys = zip(existingKeys, lengths).map { min($0, $1) }
    case .documents(let query, let key):
      documents.append(
        DocumentGeometry(query: query, key: key, queryLengths: queryLengths, keyLengths: keyLengths))
    case .allowed(let cells):
      owners.append(cells)
      allowed.append(axes.dense(cells.bytes, shape: cells.shape, name: "allowed"))
    case .predicate(let isAllowed):
      predicateBytes += axes.queries * axes.keys
      add(.allowed(BooleanTensor(rows: axes.queries, columns: axes.keys, isAllowed)), axes: axes)
    case .bias(let values):
      owners.append(values)
      biases.append(axes.dense(values.unsafeBase, shape: values.shape, name: "bias"))
    case .linearBias(let slopes, let alignment):
      require(slopes.count == heads, "attention: \(slopes.count) linear-bias slopes for \(heads) query heads")
      require(
        axes.queries + axes.keys <= 1 << 24, "attention: linear biases reach over at most 2²⁴ positions in all")
      linearBiases.append(LinearBias(slopes: slopes, alignment: alignment))
    }
  }

  /// Leaves the keys at these positions of every sequence; the others are elsewhere.
  mutating func keepOnly(_ positions: Range<Int>) {
    firstKeys = [Int](repeating: positions.lowerBound, count: keyLengths.count)
    existingKeys = existingKeys.map { min($0, positions.upperBound) }
  }

  /// The keys of a sequence that are there.
  func heldKeys(ofSequence sequence: Int) -> Range<Int> {
    let first = firstKeys.isEmpty ? 0 : firstKeys[sequence]
    return first..<max(first, existingKeys[sequence])
  }

  // MARK: Rows

  /// Whether a visible interval says everything: no cell inside it needs a test.
  var intervalsSuffice: Bool {
    biases.isEmpty && documents.allSatisfy(\.isContiguous) && allowed.allSatisfy { $0.keyStride == 0 }
  }

  /// Whether nothing is left to do inside the intervals: no cell to test, no bias to add.
  var isIntervalsOnly: Bool { intervalsSuffice && linearBiases.isEmpty }

  /// Whether every query sees all keys of its sequence that exist, and no bias is added.
  var isLengthsOnly: Bool {
    isIntervalsOnly && bands.isEmpty && documents.isEmpty && allowed.isEmpty && firstKeys.isEmpty
  }

  /// What bands leave of a sequence's keys, which moves along with the query.
  struct SlidingInterval {
    fileprivate(set) var first: Int
    fileprivate(set) var last: Int
    /// From the query's own number to the first key that it sees, and to the one behind the last.
    fileprivate(set) var left = Int.min
    fileprivate(set) var right = Int.max

    /// The keys that a query sees.
    @inline(__always)
    func keys(_ query: Int) -> Range<Int> {
      let lower = left == .min ? first : max(first, query.addingSaturating(left))
      let upper = right == .max ? last : min(last, query.addingSaturating(right))
      return lower < upper ? lower..<upper : 0..<0
    }
  }

  /// All bands of a sequence in one.
  func slidingInterval(sequence: Int) -> SlidingInterval {
    var interval = SlidingInterval(
      first: firstKeys.isEmpty ? 0 : firstKeys[sequence], last: existingKeys[sequence])
    for band in bands {
      let offset = offset(band.alignment, sequence: sequence)
      if let left = band.left { interval.left = max(interval.left, offset.subtractingSaturating(left)) }
      if let right = band.right {
        interval.right = min(interval.right, offset.addingSaturating(right).addingSaturating(1))
      }
    }
    return interval
  }

  /// Whether bands and lengths are all that bounds what a query sees.
  var slides: Bool { documents.isEmpty && !allowed.contains { $0.keyStride == 0 } }

  /// The keys outside which the query sees nothing.
  func interval(sequence: Int, head: Int, query: Int) -> Range<Int> {
    let band = slidingInterval(sequence: sequence).keys(query)
    var (lower, upper) = (band.lowerBound, band.upperBound)
    for document in documents {
      let keys = document.keys(sequence: sequence, query: query)
      lower = max(lower, keys.lowerBound)
      upper = min(upper, keys.upperBound)
    }
    for cells in allowed where cells.keyStride == 0 {
      if cells.row(sequence: sequence, head: head, query: query).pointee == 0 { upper = 0 }
    }
    return lower < upper ? lower..<upper : 0..<0
  }

  /// Adds the biases to the scores of `keys`, and makes each score behind a mask −∞.
  ///
  /// - Parameter scores: the score of `keys.lowerBound` first.
  func apply(
    to scores: UnsafeMutablePointer<Float>, sequence: Int, head: Int, query: Int, keys: Range<Int>,
    kernels: UnsafePointer<attention_kernels>
  ) {
    if linearBiases.count + biases.count > 1 {
      addSum(to: scores, sequence: sequence, head: head, query: query, keys: keys, kernels: kernels)
    } else if let bias = linearBiases.first {
      let distance = keys.lowerBound - query - offset(bias.alignment, sequence: sequence)
      kernels.pointee.add_distance_bias(scores, bias.slopes[head], Int32(distance), keys.count)
    } else if let bias = biases.first {
      let row = bias.row(sequence: sequence, head: head, query: query)
      if bias.keyStride == 0 {
        // One value for the row.
        for index in 0..<keys.count {
          scores[index] = row.pointee == -.infinity ? -.infinity : scores[index] + row.pointee
        }
      } else {
        kernels.pointee.add_bias(scores, row + keys.lowerBound, keys.count)
      }
    }
    for cells in allowed where cells.keyStride != 0 {
      let row = cells.row(sequence: sequence, head: head, query: query)
      kernels.pointee.keep_allowed(scores, row + keys.lowerBound, keys.count)
    }
    for document in documents where !document.isContiguous {
      for key in keys where !document.allows(sequence: sequence, query: query, key: key) {
        scores[key - keys.lowerBound] = -.infinity
      }
    }
  }

  /// Several biases: their sum is added at once, since large ones may cancel.
  private func addSum(
    to scores: UnsafeMutablePointer<Float>, sequence: Int, head: Int, query: Int, keys: Range<Int>,
    kernels: UnsafePointer<attention_kernels>
  ) {
    withUnsafeTemporaryAllocation(of: attention_bias.self, capacity: linearBiases.count + biases.count) { summands in
      for (index, bias) in linearBiases.enumerated() {
        let distance = keys.lowerBound - query - offset(bias.alignment, sequence: sequence)
        summands[index] = attention_bias(values: nil, stride: 0, slope: bias.slopes[head], first: Int32(distance))
      }
      for (index, bias) in biases.enumerated() {
        let row = bias.row(sequence: sequence, head: head, query: query)
        summands[linearBiases.count + index] = attention_bias(
          values: row + keys.lowerBound * bias.keyStride, stride: bias.keyStride, slope: 0, first: 0)
      }
      kernels.pointee.add_bias_sum(scores, summands.baseAddress!, summands.count, keys.count)
    }
  }

  // MARK: Cells

  /// Whether the query may attend to the key.
  func allows(sequence: Int, head: Int, query: Int, key: Int) -> Bool {
    interval(sequence: sequence, head: head, query: query).contains(key)
      && cellAllows(sequence: sequence, head: head, query: query, key: key)
  }

  /// ``allows(sequence:head:query:key:)`` for a key inside the query's interval.
  func cellAllows(sequence: Int, head: Int, query: Int, key: Int) -> Bool {
    allowed.allSatisfy { $0.cell(sequence: sequence, head: head, query: query, key: key) != 0 }
      && biases.allSatisfy { $0.cell(sequence: sequence, head: head, query: query, key: key) != -.infinity }
      && documents.allSatisfy { $0.allows(sequence: sequence, query: query, key: key) }
  }

  /// Whether no key inside the query's interval is allowed. O(keys).
  func seesNothing(
    sequence: Int, head: Int, query: Int, keys: Range<Int>, kernels: UnsafePointer<attention_kernels>
  ) -> Bool {
    if keys.isEmpty { return true }
    let cells = allowed.filter { $0.keyStride != 0 }
    let hasOneMask = cells.count + biases.count == 1 && documents.allSatisfy(\.isContiguous)
    if hasOneMask, let cells = cells.first {
      let row = cells.row(sequence: sequence, head: head, query: query)
      return kernels.pointee.classify_bytes(row + keys.lowerBound, keys.count) & 1 == 0
    }
    if hasOneMask, let bias = biases.first, bias.keyStride != 0 {
      let row = bias.row(sequence: sequence, head: head, query: query)
      return kernels.pointee.max(row + keys.lowerBound, keys.count) == -.infinity
    }
    return intervalsSuffice
      ? false : !keys.contains { cellAllows(sequence: sequence, head: head, query: query, key: $0) }
  }

  /// The sum of all biases at one cell.
  func bias(sequence: Int, head: Int, query: Int, key: Int) -> Float {
    // In float64, so that large biases cancel; and finite ones stay finite: a mask of twice the lowest float is no −∞.
    var sum = 0.0
    for bias in linearBiases {
      let distance = key - query - offset(bias.alignment, sequence: sequence)
      sum -= Double(bias.slopes[head]) * Double(abs(distance))
    }
    for bias in biases { sum += Double(bias.cell(sequence: sequence, head: head, query: query, key: key)) }
    guard sum.isFinite else { return Float(sum) }
    let largest = Double(Float.greatestFiniteMagnitude)
    return Float(min(max(sum, -largest), largest))
  }

  /// How many keys the queries of all heads of one sequence see in all. O(Lq), or O(Lq · Lk) with dense masks, for each
  /// head that has cells of its own.
  func visibleCells(sequence: Int) -> Int {
    let isShared = allowed.allSatisfy { $0.headStride == 0 } && biases.allSatisfy { $0.headStride == 0 }
    if isShared { return heads == 0 ? 0 : heads * visibleCells(sequence: sequence, head: 0) }
    return (0..<heads).reduce(0) { $0 + visibleCells(sequence: sequence, head: $1) }
  }

  private func visibleCells(sequence: Int, head: Int) -> Int {
    (0..<queryLengths[sequence]).reduce(0) { sum, query in
      let keys = interval(sequence: sequence, head: head, query: query)
      if intervalsSuffice { return sum + keys.count }
      return sum
        + keys.count { cellAllows(sequence: sequence, head: head, query: query, key: $0) }
    }
  }

  private func offset(_ alignment: AttentionMask.Alignment, sequence: Int) -> Int {
    alignment == .start ? 0 : keyLengths[sequence] - queryLengths[sequence]
  }
}

/// The axes that a dense mask or bias broadcasts to.
struct BroadcastAxes {
  let sequences: Int
  let heads: Int
  let queries: Int
  let keys: Int
  /// Whether the dense axes may be longer than the longest sequence.
  let isRagged: Bool

  func dense<Element>(_ base: UnsafePointer<Element>, shape: [Int], name: String) -> MaskGeometry.Dense<Element> {
    let padded = [Int](repeating: 1, count: max(0, 4 - shape.count)) + shape
    let target = [sequences, heads, queries, keys]
    func fits(_ axis: Int) -> Bool {
      padded[axis] == 1 || padded[axis] == target[axis] || (isRagged && axis >= 2 && padded[axis] >= target[axis])
    }
    require(
      padded.count == 4 && (0..<4).allSatisfy(fits),
      "attention: \(name) \(shape) does not broadcast to [sequences, heads, queries, keys] = \(target)")
    let strides = [padded[1] * padded[2] * padded[3], padded[2] * padded[3], padded[3], 1]
    func stride(_ axis: Int) -> Int { padded[axis] == 1 ? 0 : strides[axis] }
    return MaskGeometry.Dense(
      base: base, sequenceStride: stride(0), headStride: stride(1), queryStride: stride(2), keyStride: stride(3))
  }
}

extension Int {
  fileprivate func addingSaturating(_ other: Int) -> Int {
    let (sum, overflow) = addingReportingOverflow(other)
    return overflow ? (other > 0 ? .max : .min) : sum
  }

  fileprivate func subtractingSaturating(_ other: Int) -> Int {
    let (difference, overflow) = subtractingReportingOverflow(other)
    return overflow ? (other > 0 ? .min : .max) : difference
  }
}
