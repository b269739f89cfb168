import Attention

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Attention in float64, one query at a time, straight from the definitions: slow, obvious, and sharing no arithmetic
/// with the library. Every error figure is against it.
public struct ReferenceAttention: Sendable {
  /// One query's results.
  public struct Row: Sendable {
    /// dv values.
    public var output: [Double]
    /// ln Σ exp(score) over the visible keys.
    public var logSumExp: Double
    /// Lk values.
    public var weights: [Double]
    /// Lk values at each stage.
    public var scores: [AttentionScoreStage: [Double]]
  }

  /// Where one sequence lies: the position of each operand's first scalar, and its lengths.
  private struct Sequence {
    let queryStart: Int
    let keyStart: Int
    let valueStart: Int
    let queries: Int
    let keys: Int
  }

  /// A condition with its dense cells taken out once.
  private struct Condition: Sendable {
    let rule: AttentionMask.Condition
    var cells: [Bool] = []
    var values: [Float] = []

    init(_ rule: AttentionMask.Condition) {
      self.rule = rule
      if case .allowed(let tensor) = rule { cells = tensor.cells }
      if case .bias(let tensor) = rule { values = tensor.scalars }
    }
  }

  private let query: [Float]
  private let key: [Float]
  private let value: [Float]
  private let sequences: [Sequence]
  private let isRagged: Bool
  private let conditions: [Condition]
  private let scale: Double
  private let softcap: Double?
  /// Hq.
  public let heads: Int
  private let keyValueHeads: Int
  private let keyWidth: Int
  private let valueWidth: Int

  /// Attention over 4-D tensors: `[B, Hq, Lq, dk]`, `[B, Hkv, Lk, dk]`, `[B, Hkv, Lk, dv]`.
  public init(
    query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, options: AttentionOptions = .init()
  ) {
    let (queries, keys) = (query.shape[2], key.shape[2])
    let (keyWidth, valueWidth) = (query.shape[3], value.shape[3])
    self.init(
      query: query, key: key, value: value, mask: mask, options: options, isRagged: false, heads: query.shape[1],
      keyValueHeads: key.shape[1], keyWidth: keyWidth, valueWidth: valueWidth,
      sequences: (0..<query.shape[0]).map {
        Sequence(
          queryStart: $0 * query.shape[1] * queries * keyWidth, keyStart: $0 * key.shape[1] * keys * keyWidth,
          valueStart: $0 * key.shape[1] * keys * valueWidth, queries: queries, keys: keys)
      })
  }

  /// Attention over a ragged batch: `[tokens, Hq · dk]`, `[tokens, Hkv · dk]`, `[tokens, Hkv · dv]`.
  public init(
    query: Tensor, key: Tensor, value: Tensor, layout: SequenceLayout, keyLayout: SequenceLayout, heads: Int,
    keyValueHeads: Int, mask: AttentionMask = .none, options: AttentionOptions = .init()
  ) {
    let (queryWidth, keyWidth, valueWidth) = (query.shape[1], key.shape[1], value.shape[1])
    self.init(
      query: query, key: key, value: value, mask: mask, options: options, isRagged: true, heads: heads,
      keyValueHeads: keyValueHeads, keyWidth: queryWidth / heads, valueWidth: valueWidth / keyValueHeads,
      sequences: layout.lengths.indices.map {
        Sequence(
          queryStart: layout.offsets[$0] * queryWidth, keyStart: keyLayout.offsets[$0] * keyWidth,
          valueStart: keyLayout.offsets[$0] * valueWidth, queries: layout.lengths[$0], keys: keyLayout.lengths[$0])
      })
  }

  private init(
    query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask, options: AttentionOptions, isRagged: Bool,
    heads: Int, keyValueHeads: Int, keyWidth: Int, valueWidth: Int, sequences: [Sequence]
  ) {
    self.query = query.scalars
    self.key = key.scalars
    self.value = value.scalars
    self.conditions = mask.conditions.map(Condition.init)
    self.scale = options.scale.map(Double.init) ?? 1 / Double(keyWidth).squareRoot()
    self.softcap = options.softcap.map(Double.init)
    self.isRagged = isRagged
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.keyWidth = keyWidth
    self.valueWidth = valueWidth
    self.sequences = sequences
  }

  /// The number of sequences.
  public var sequenceCount: Int { sequences.count }

  /// The queries of a sequence.
  public func queryCount(ofSequence sequence: Int) -> Int { sequences[sequence].queries }

  /// The keys of a sequence.
  public func keyCount(ofSequence sequence: Int) -> Int { sequences[sequence].keys }

  /// The results of one query of one head of one sequence. O(Lk · (dk + dv)).
  public func row(sequence: Int, head: Int, query row: Int) -> Row {
    let keys = sequences[sequence].keys
    let existing = existingKeys(sequence)
    var raw = [Double](repeating: -.infinity, count: keys)
    var capped = raw
    var biased = raw
    var visible = [Bool](repeating: false, count: keys)
    for key in 0..<existing {
      raw[key] = scale * dotProduct(sequence: sequence, head: head, query: row, key: key)
      capped[key] = softcap.map { $0 * tanh(raw[key] / $0) } ?? raw[key]
      visible[key] = conditions.allSatisfy {
        allows($0, sequence: sequence, head: head, query: row, key: key)
      }
      if visible[key] {
        biased[key] = conditions.reduce(capped[key]) {
          $0 + bias($1, sequence: sequence, head: head, query: row, key: key)
        }
      }
    }
    let seen = (0..<keys).filter { visible[$0] }
    var weights = [Double](repeating: 0, count: keys)
    var output = [Double](repeating: 0, count: valueWidth)
    var logSumExp = -Double.infinity
    if !seen.isEmpty {
      let maximum = seen.map { biased[$0] }.reduce(-.infinity) { $0.isNaN || $1.isNaN ? .nan : max($0, $1) }
      let sum = seen.reduce(0) { $0 + exp(biased[$1] - maximum) }
      logSumExp = maximum.isInfinite ? maximum : maximum + log(sum)
      for key in seen { weights[key] = exp(biased[key] - maximum) / sum }
      for column in 0..<valueWidth {
        for key in seen {
          output[column] += weights[key] * valueScalar(sequence: sequence, head: head, key: key, column: column)
        }
      }
    }
    return Row(
      output: output, logSumExp: logSumExp, weights: weights,
      scores: [.raw: raw, .capped: capped, .biased: biased])
  }

  // MARK: Operands

  private func keyValueHead(_ head: Int) -> Int { head / (heads / keyValueHeads) }

  private func position(_ start: Int, head: Int, heads: Int, row: Int, rows: Int, width: Int) -> Int {
    start + (isRagged ? (row * heads + head) * width : (head * rows + row) * width)
  }

  private func dotProduct(sequence: Int, head: Int, query row: Int, key keyRow: Int) -> Double {
    let place = sequences[sequence]
    let left = position(
      place.queryStart, head: head, heads: heads, row: row, rows: place.queries, width: keyWidth)
    let right = position(
      place.keyStart, head: keyValueHead(head), heads: keyValueHeads, row: keyRow, rows: place.keys, width: keyWidth)
    return (0..<keyWidth).reduce(0) { $0 + Double(query[left + $1]) * Double(key[right + $1]) }
  }

  private func valueScalar(sequence: Int, head: Int, key keyRow: Int, column: Int) -> Double {
    let place = sequences[sequence]
    return Double(
      value[
        position(
          place.valueStart, head: keyValueHead(head), heads: keyValueHeads, row: keyRow, rows: place.keys,
          width: valueWidth) + column])
  }

  // MARK: The mask, condition by condition

  private func existingKeys(_ sequence: Int) -> Int {
    conditions.reduce(sequences[sequence].keys) { known, condition in
      if case .keyLengths(let lengths) = condition.rule { return min(known, lengths[sequence]) }
      return known
    }
  }

  private func offset(_ alignment: AttentionMask.Alignment, _ sequence: Int) -> Int {
    alignment == .end ? sequences[sequence].keys - sequences[sequence].queries : 0
  }

  private func allows(
    _ condition: Condition, sequence: Int, head: Int, query row: Int, key: Int
  ) -> Bool {
    switch condition.rule {
    case .band(let left, let right, let alignment):
      let distance = key - row - offset(alignment, sequence)
      return (left.map { -distance <= $0 } ?? true) && (right.map { distance <= $0 } ?? true)
    case .keyLengths(let lengths):
      return key < lengths[sequence]
    case .documents(let queryNumbers, let keyNumbers):
      return queryNumbers[queryNumbers.count == 1 ? 0 : sequence][row]
        == keyNumbers[keyNumbers.count == 1 ? 0 : sequence][key]
    case .allowed(let tensor):
      return condition.cells[broadcastPosition(tensor.shape, [sequence, head, row, key])]
    case .predicate(let isAllowed):
      return isAllowed(row, key)
    case .bias(let tensor):
      return condition.values[broadcastPosition(tensor.shape, [sequence, head, row, key])] != -.infinity
    case .linearBias:
      return true
    }
  }

  private func bias(
    _ condition: Condition, sequence: Int, head: Int, query row: Int, key: Int
  ) -> Double {
    switch condition.rule {
    case .bias(let tensor):
      return Double(condition.values[broadcastPosition(tensor.shape, [sequence, head, row, key])])
    case .linearBias(let slopes, let alignment):
      return -Double(slopes[head]) * Double(abs(row + offset(alignment, sequence) - key))
    default:
      return 0
    }
  }

  private func broadcastPosition(_ shape: [Int], _ indices: [Int]) -> Int {
    zip(shape, indices.suffix(shape.count)).reduce(0) { $0 * $1.0 + ($1.0 == 1 ? 0 : $1.1) }
  }
}
