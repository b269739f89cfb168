import Attention

/// One synthetic problem of attention, as the command line writes it: `b8h12q512k512d64-causal`.
///
///     let one = try BenchmarkCase(parsing: "h32q512d128-kv8-causal")
///     print(one)  // b1h32q512k512d128-kv8-causal
///
/// ``description`` is the canonical form: parsing it gives an equal case. ``list(parsing:limits:)`` reads lists and
/// ranges.
public struct BenchmarkCase: Sendable, Hashable {
  /// B: sequences.
  public let batch: Int
  /// Hq: query heads.
  public let heads: Int
  /// Hkv: key and value heads, a divisor of ``heads``.
  public let keyValueHeads: Int
  /// Lq: queries of a sequence.
  public let queryLength: Int
  /// Lk: keys of a sequence.
  public let keyLength: Int
  /// dk: the width of a query and of a key.
  public let keyWidth: Int
  /// dv: the width of a value.
  public let valueWidth: Int
  /// Whether a query sees no key after its own position; the last query stands at the last key.
  public let isCausal: Bool
  /// The keys that a query sees at the most, its own included; a window is causal.
  public let window: Int?
  /// c in c·tanh(score/c).
  public let softcap: Int?

  /// Creates a case from its sizes.
  ///
  /// - Parameters:
  ///   - keyLength: `queryLength` unless given.
  ///   - keyValueHeads: `heads` unless given.
  ///   - valueWidth: `keyWidth` unless given.
  ///   - limits: what counts as too large.
  public init(
    batch: Int = 1, heads: Int, queryLength: Int, keyLength: Int? = nil, keyWidth: Int, keyValueHeads: Int? = nil,
    valueWidth: Int? = nil, isCausal: Bool = false, window: Int? = nil, softcap: Int? = nil,
    limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) {
    self.batch = batch
    self.heads = heads
    self.keyValueHeads = keyValueHeads ?? heads
    self.queryLength = queryLength
    self.keyLength = keyLength ?? queryLength
    self.keyWidth = keyWidth
    self.valueWidth = valueWidth ?? keyWidth
    self.isCausal = isCausal || window != nil
    self.window = window
    self.softcap = softcap
    try validate(limits)
  }

  /// The same heads and mask with other lengths.
  init(_ other: BenchmarkCase, batch: Int, length: Int) {
    self.batch = batch
    heads = other.heads
    keyValueHeads = other.keyValueHeads
    queryLength = length
    keyLength = length
    keyWidth = other.keyWidth
    valueWidth = other.valueWidth
    isCausal = other.isCausal
    window = other.window
    softcap = other.softcap
  }

  private func validate(_ limits: CaseLimits) throws(BenchmarkCaseError) {
    let sizes: [(String, Int?)] = [
      ("b", batch), ("h", heads), ("q", queryLength), ("k", keyLength), ("d", keyWidth), ("-kv", keyValueHeads),
      ("-v", valueWidth), ("-window", window), ("-softcap", softcap),
    ]
    for (field, size) in sizes {
      guard let size else { continue }
      guard size >= 1 else { throw .sizeOutOfRange(case: description, field: field, largest: CaseLimits.largestSize) }
      guard size <= CaseLimits.largestSize else {
        throw .sizeOutOfRange(case: description, field: field, largest: CaseLimits.largestSize)
      }
    }
    guard heads.isMultiple(of: keyValueHeads) else {
      throw .headsNotDivisible(case: description, heads: heads, keyValueHeads: keyValueHeads)
    }
    guard let bytes = memoryEstimate else { throw .sizeOverflow(case: description) }
    guard bytes <= limits.memory else { throw .tooLarge(case: description, bytes: bytes, limit: limits.memory) }
  }

  /// The bytes that measuring the case takes, roughly and from above, or nil when they overflow `Int`.
  ///
  /// Query, key and value, their copies for the part that the naive path runs, panels of keys, three outputs, a block of
  /// scores and a panel for each thread (of 16 at the least), and what the paths keep for each block of rows.
  var memoryEstimate: Int? {
    memoryEstimate(queries: [batch, queryLength], keys: [batch, keyLength], blocks: [batch, queryLength / 48 + 1])
  }

  /// The same for any number of tokens with these heads and these most keys of a sequence.
  ///
  /// - Parameters:
  ///   - queries: factors of the number of queries.
  ///   - keys: those of the number of keys.
  ///   - blocks: those of the number of blocks of rows.
  func memoryEstimate(queries: [Int], keys: [Int], blocks: [Int]) -> Int? {
    func product(_ factors: Int..., of others: [Int] = []) -> Int? {
      (factors + others).reduce(1) { (known: Int?, factor) in
        guard let (result, overflow) = known?.multipliedReportingOverflow(by: factor), !overflow else { return nil }
        return result
      }
    }
    let threads = max(16, Engine.threadCount.count)
    let parts = [
      product(8, heads, keyWidth, of: queries),
      product(12, keyValueHeads, keyWidth, of: keys),
      product(8, keyValueHeads, valueWidth, of: keys),
      product(12, heads, valueWidth, of: queries),
      product(threads, 4, min(128, max(48, (1 << 18) / max(1, keyLength))), keyLength),
      product(threads, 4, max(keyWidth, valueWidth) > 4096 ? 24 : 256, keyWidth),
      product(threads, 4, max(keyWidth, valueWidth) > 4096 ? 24 : 256, valueWidth),
      product(128, heads, of: blocks),
    ]
    return parts.reduce(0) { (known: Int?, part) in
      guard let part, let (sum, overflow) = known?.addingReportingOverflow(part), !overflow else { return nil }
      return sum
    }
  }

  /// The mask that the suffixes describe, aligned to the end.
  public var mask: AttentionMask {
    if let window { return .window(left: window - 1, right: 0, alignment: .end) }
    return isCausal ? .causal(.end) : .none
  }
}

extension BenchmarkCase: CustomStringConvertible {
  /// The canonical form: sizes always, suffixes where they say something.
  public var description: String {
    "b\(batch)h\(heads)q\(queryLength)k\(keyLength)d\(keyWidth)\(suffixes)"
  }

  /// The canonical form without the lengths and the number of sequences.
  var headsDescription: String { "h\(heads)d\(keyWidth)\(suffixes)" }

  private var suffixes: String {
    var text = ""
    if keyValueHeads != heads { text += "-kv\(keyValueHeads)" }
    if valueWidth != keyWidth { text += "-v\(valueWidth)" }
    if let window {
      text += "-window\(window)"
    } else if isCausal {
      text += "-causal"
    }
    if let softcap { text += "-softcap\(softcap)" }
    return text
  }
}
