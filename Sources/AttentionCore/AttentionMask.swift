import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Which keys a query may attend to, and what is added to its scores.
///
///     let mask = .causal(.end) & .keyLengths([7, 12]) & .bias(relativePositions)
///
/// Masks combine with `&`: a query may attend to a key when every condition allows it, and all biases are added, before
/// one softmax. A query that may attend to nothing gets output 0, weights 0 and a log-sum-exp of −∞. What a masked
/// key or value holds, NaN and infinities included, changes no output that it is masked from.
///
/// Shape legend: `B` sequences, `H` query heads, `Lq` queries and `Lk` keys of a sequence. Positions count from the
/// start of their own sequence, in ragged batches too.
public struct AttentionMask: Sendable {
  /// Where the diagonal lies when there are not as many queries as keys.
  public enum Alignment: String, Sendable, CaseIterable {
    /// Query 0 stands at key 0 (PyTorch, JAX, ONNX without a cache).
    case start
    /// The last query stands at the last key (flash-attention, MLX, and whenever earlier keys come from a cache). The
    /// last key is the tensor's or the layout's: ``AttentionMask/keyLengths(_:)`` does not move it.
    case end
  }

  package enum Condition: Sendable {
    case band(left: Int?, right: Int?, Alignment)
    case keyLengths([Int])
    case documents(query: [[Int]], key: [[Int]])
    case allowed(BooleanTensor)
    case predicate(@Sendable (_ query: Int, _ key: Int) -> Bool)
    case bias(Tensor)
    case linearBias(slopes: [Float], Alignment)
  }

  package var conditions: [Condition]

  /// Every query may attend to every key.
  public static let none = AttentionMask(conditions: [])

  /// Query i may attend to key j when j ≤ i + offset: no key after its own position.
  ///
  /// The offset is 0 for ``Alignment/start`` and Lk − Lq for ``Alignment/end``. With fewer keys than queries, `.end`
  /// leaves the first Lq − Lk queries nothing to attend to.
  public static func causal(_ alignment: Alignment) -> AttentionMask {
    AttentionMask(conditions: [.band(left: nil, right: 0, alignment)])
  }

  /// Query i may attend to key j when i + offset − left ≤ j ≤ i + offset + right; `nil` leaves a side open.
  ///
  /// Sliding-window attention (Beltagy et al., 2004.05150); `left: 255, right: 0` looks at 256 keys, its own included.
  ///
  /// - Precondition: neither side is negative.
  public static func window(left: Int?, right: Int?, alignment: Alignment = .start) -> AttentionMask {
    require(
      left ?? 0 >= 0 && right ?? 0 >= 0,
      "AttentionMask: a window reaches \(left.map(String.init) ?? "∞") to the left and "
        + "\(right.map(String.init) ?? "∞") to the right; neither may be negative")
    return AttentionMask(conditions: [.band(left: left, right: right, alignment)])
  }

  /// In sequence b, only the first `lengths[b]` keys exist: the padding mask. Keys and values past them are never read.
  ///
  /// - Precondition: checked when the mask is used: B lengths, each in 0...Lk.
  public static func keyLengths(_ lengths: [Int]) -> AttentionMask {
    AttentionMask(conditions: [.keyLengths(lengths)])
  }

  /// A query may attend to the keys of its own document: block-diagonal where documents are packed into one sequence.
  ///
  /// - Parameters:
  ///   - query: for each sequence a document number for each of its queries, or one row for all sequences.
  ///   - key: the same for keys.
  public static func documents(query: [[Int]], key: [[Int]]) -> AttentionMask {
    AttentionMask(conditions: [.documents(query: query, key: key)])
  }

  /// ``documents(query:key:)`` for self-attention, where queries and keys are the same tokens.
  public static func documents(_ numbers: [[Int]]) -> AttentionMask { documents(query: numbers, key: numbers) }

  /// A query may attend to a key where the cell is true: an arbitrary mask.
  ///
  /// - Parameter cells: broadcast to `[B, H, Lq, Lk]` from the right: an axis is whole or has length 1, and leading
  ///   axes may be left out. In a ragged batch an axis is whole when it is at least as long as the longest sequence.
  public static func allowed(_ cells: BooleanTensor) -> AttentionMask {
    AttentionMask(conditions: [.allowed(cells)])
  }

  /// A query may attend to a key where the closure says so.
  ///
  /// In each call of attention and each plan, the closure is called once for each pair of positions (shared by heads and
  /// sequences) and its answers are kept as bytes: O(Lq · Lk) calls and bytes. For many calls, make a `BooleanTensor`.
  public static func predicate(_ isAllowed: @escaping @Sendable (_ query: Int, _ key: Int) -> Bool) -> AttentionMask {
    AttentionMask(conditions: [.predicate(isAllowed)])
  }

  /// Adds a bias to the scores; −∞ in it masks the key.
  ///
  /// - Parameter values: broadcast like the cells of ``allowed(_:)``.
  public static func bias(_ values: Tensor) -> AttentionMask {
    AttentionMask(conditions: [.bias(values)])
  }

  /// Adds −slope · |i + offset − j| to the scores of a head: attention with linear biases (ALiBi, Press et al.,
  /// 2108.12409).
  ///
  /// - Parameters:
  ///   - slopes: one for each query head.
  ///   - alignment: where the distance is 0.
  ///
  /// - Precondition: every slope is finite.
  public static func linearBias(slopes: [Float], alignment: Alignment) -> AttentionMask {
    require(slopes.allSatisfy(\.isFinite), "AttentionMask: linear-bias slopes \(slopes) are not all finite")
    return AttentionMask(conditions: [.linearBias(slopes: slopes, alignment)])
  }

  /// The slopes that ALiBi's authors use for a number of heads: powers of 2^(−8/n) for n heads, a power of two; for
  /// other counts the slopes of the next lower power of two, then every other one of the next higher.
  ///
  /// - Precondition: `heads` is positive.
  public static func linearBiasSlopes(heads: Int) -> [Float] {
    require(heads > 0, "AttentionMask: no slopes for \(heads) heads")
    let lower = 1 << (Int.bitWidth - 1 - heads.leadingZeroBitCount)
    func slopes(_ count: Int) -> [Float] {
      (1...count).map { Float(pow(2.0, -8 * Double($0) / Double(count))) }
    }
    let others = slopes(2 * lower).enumerated().compactMap { $0.offset.isMultiple(of: 2) ? $0.element : nil }
    return slopes(lower) + others.prefix(heads - lower)
  }

  /// Both masks: a key is attended to where both allow it; biases of both are added.
  public static func & (left: AttentionMask, right: AttentionMask) -> AttentionMask {
    AttentionMask(conditions: left.conditions + right.conditions)
  }
}

extension AttentionMask.Condition {
  /// Whether it places queries among the keys.
  var isAligned: Bool {
    switch self {
    case .band, .linearBias: true
    case .keyLengths, .documents, .allowed, .predicate, .bias: false
    }
  }

  /// How to spell a condition that is aligned to the start, which a call with only the last queries of a sequence would
  /// put in another place; nil for others.
  var startAlignment: String? {
    switch self {
    case .band(nil, 0, .start): "causal(.start)"
    case .band(let left, let right, .start):
      "window(left: \(left.map(String.init) ?? "nil"), right: \(right.map(String.init) ?? "nil"), alignment: .start)"
    case .linearBias(_, .start): "linearBias(slopes:, alignment: .start)"
    default: nil
    }
  }

  /// The queries that a dense mask has rows for, if it does not repeat along them.
  var queryRows: Int? {
    let shape: [Int]? =
      switch self {
      case .allowed(let cells): cells.shape
      case .bias(let values): values.shape
      default: nil
      }
    guard let shape, shape.count >= 2, shape[shape.count - 2] > 1 else { return nil }
    return shape[shape.count - 2]
  }
}
