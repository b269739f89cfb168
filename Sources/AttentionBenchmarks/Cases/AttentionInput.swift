import Attention

/// A problem of attention ready to run: its tensors, its mask, and the name its rows carry.
public struct AttentionInput: Sendable {
  /// What the rows of a report call it.
  public internal(set) var name: String
  /// `[B, Hq, Lq, dk]`.
  public let query: Tensor
  /// `[B, Hkv, Lk, dk]`.
  public let key: Tensor
  /// `[B, Hkv, Lk, dv]`.
  public let value: Tensor
  /// Whether a query sees no key after its own position, aligned to the end.
  public var isCausal = false
  /// The keys that a query sees at the most, its own included.
  public var window: Int?
  /// c in c·tanh(score/c).
  public var softcap: Float?
  /// For each sequence, how many of its keys exist.
  public var keyLengths: [Int]?
  /// Which keys a query may attend to, broadcast to `[B, Hq, Lq, Lk]`.
  public var allowed: BooleanTensor?

  /// Creates an input without a mask.
  ///
  /// - Precondition: checked when it is run: the shapes fit each other and the mask.
  public init(name: String, query: Tensor, key: Tensor, value: Tensor) {
    self.name = name
    self.query = query
    self.key = key
    self.value = value
  }

  /// Creates the input of a case from normal variates: a function of case and seed, whatever other cases there are.
  public init(_ benchmarkCase: BenchmarkCase, seed: UInt64) {
    let (batch, width) = (benchmarkCase.batch, benchmarkCase.keyWidth)
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: benchmarkCase.description))
    self.init(
      name: benchmarkCase.description,
      query: Tensor(
        randomNormal: [batch, benchmarkCase.heads, benchmarkCase.queryLength, width], using: &generator),
      key: Tensor(
        randomNormal: [batch, benchmarkCase.keyValueHeads, benchmarkCase.keyLength, width], using: &generator),
      value: Tensor(
        randomNormal: [batch, benchmarkCase.keyValueHeads, benchmarkCase.keyLength, benchmarkCase.valueWidth],
        using: &generator))
    isCausal = benchmarkCase.isCausal
    window = benchmarkCase.window
    softcap = benchmarkCase.softcap.map { Float($0) }
  }

  /// The bytes that measuring it takes, from above, or nil when they overflow `Int`.
  public var memoryEstimate: Int? {
    let sizes = try? BenchmarkCase(
      batch: batch, heads: heads, queryLength: queryLength, keyLength: keyLength, keyWidth: keyWidth,
      keyValueHeads: keyValueHeads, valueWidth: valueWidth, limits: CaseLimits(memory: .max))
    // A mask is kept whole and as the naive path's part, and copied to cut it and for the reference.
    let cells = allowed.map { $0.shape.reduce(1, *) } ?? 0
    return sizes?.memoryEstimate.map { $0 + 6 * cells }
  }

  /// B.
  public var batch: Int { query.shape[0] }
  /// Hq.
  public var heads: Int { query.shape[1] }
  /// Hkv.
  public var keyValueHeads: Int { key.shape[1] }
  /// Lq.
  public var queryLength: Int { query.shape[2] }
  /// Lk.
  public var keyLength: Int { key.shape[2] }
  /// dk.
  public var keyWidth: Int { query.shape[3] }
  /// dv.
  public var valueWidth: Int { value.shape[3] }

  /// All conditions together.
  public var mask: AttentionMask {
    var mask = AttentionMask.none
    if let window {
      mask = .window(left: window - 1, right: 0, alignment: .end)
    } else if isCausal {
      mask = .causal(.end)
    }
    if let keyLengths { mask = mask & .keyLengths(keyLengths) }
    if let allowed { mask = mask & .allowed(allowed) }
    return mask
  }

  /// The options that compute the input by a path.
  public func options(_ path: AttentionPath) -> AttentionOptions { .init(softcap: softcap, path: path) }

  /// What a path will do.
  public func plan(_ path: AttentionPath) -> AttentionPlan {
    AttentionPlan(
      queryShape: query.shape, keyShape: key.shape, valueShape: value.shape, mask: mask, options: options(path))
  }

  /// Computes the input by a path.
  public func run(_ path: AttentionPath) -> Tensor {
    scaledDotProductAttention(query: query, key: key, value: value, mask: mask, options: options(path))
  }
}

/// What a case's name adds to the seed (FNV-1a), so that equal sizes under different masks get different numbers too.
func drawingHash(of name: String) -> UInt64 {
  name.utf8.reduce(0xCBF2_9CE4_8422_2325 as UInt64) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
}
