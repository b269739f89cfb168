import Attention

/// A ragged batch ready to run: its tensors, its lengths, and the name its rows carry.
public struct RaggedInput: Sendable {
  /// What the rows of a report call it.
  public internal(set) var name: String
  /// The heads and the mask, as a batch that is padded to the longest sequence has them.
  public let padded: BenchmarkCase
  /// The sequences.
  public let layout: SequenceLayout
  /// The visible cells of the padded batch over those of this one.
  let paddingFactor: Double
  let query: Tensor
  let key: Tensor
  let value: Tensor

  /// A batch before its tensors are drawn.
  public struct Case: Sendable, Hashable {
    /// How the lengths are told.
    public let source: SequenceLengths
    /// The lengths.
    public let lengths: [Int]
    /// The heads and the mask, as a batch that is padded to the longest sequence has them.
    public let padded: BenchmarkCase

    /// What rows call it.
    public var name: String { "\(source) \(padded.headsDescription)" }

    /// The bytes that measuring it takes, roughly and from above, or nil when they overflow `Int`.
    var memoryEstimate: Int? {
      let tokens = lengths.reduce(0, +)
      return padded.memoryEstimate(queries: [tokens], keys: [tokens], blocks: [tokens / 48 + lengths.count])
    }

    /// The cells of score matrices that one head's queries see.
    package var visibleCells: Double { lengths.reduce(0) { $0 + Self.visibleCells($1, padded) } }

    private static func visibleCells(_ length: Int, _ heads: BenchmarkCase) -> Double {
      let length = Double(length)
      guard heads.isCausal else { return length * length }
      let window = min(length, heads.window.map(Double.init) ?? length)
      // The first queries see 1, 2, … keys, the others a whole window.
      return window * (window + 1) / 2 + (length - window) * window
    }

    /// The cells if every sequence were as long as the longest, over those that are visible.
    var paddingFactor: Double {
      Double(lengths.count) * Self.visibleCells(padded.keyLength, padded) / visibleCells
    }

    /// As many sequences of one length whose useful work is as near to this batch's as a whole length comes.
    package var uniformTwin: Case {
      let cells = visibleCells / Double(lengths.count)
      var (low, high) = (1, max(1, lengths.max() ?? 1))
      while low < high {
        let middle = (low + high) / 2
        if Self.visibleCells(middle, padded) >= cells { high = middle } else { low = middle + 1 }
      }
      if low > 1, cells - Self.visibleCells(low - 1, padded) < Self.visibleCells(low, padded) - cells { low -= 1 }
      return Case(uniform: lengths.count, length: low, like: padded)
    }

    private init(uniform sequences: Int, length: Int, like padded: BenchmarkCase) {
      source = .uniform(sequences: sequences, length: length)
      lengths = [Int](repeating: length, count: sequences)
      self.padded = BenchmarkCase(padded, batch: sequences, length: length)
    }

    /// - Parameter heads: any sizes; their lengths do not count.
    init(_ source: SequenceLengths, lengths: [Int], heads: BenchmarkCase) {
      self.source = source
      self.lengths = lengths
      padded = BenchmarkCase(heads, batch: lengths.count, length: max(1, lengths.max() ?? 1))
    }
  }

  /// Draws a batch from normal variates: a function of case and seed, whatever other cases there are.
  public init(_ one: Case, seed: UInt64) {
    name = one.name
    padded = one.padded
    layout = SequenceLayout(lengths: one.lengths)
    paddingFactor = one.paddingFactor
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: one.name))
    query = Tensor(randomNormal: [layout.tokenCount, padded.heads * padded.keyWidth], using: &generator)
    key = Tensor(randomNormal: [layout.tokenCount, padded.keyValueHeads * padded.keyWidth], using: &generator)
    value = Tensor(randomNormal: [layout.tokenCount, padded.keyValueHeads * padded.valueWidth], using: &generator)
  }

  private func options(_ path: AttentionPath) -> AttentionOptions {
    .init(softcap: padded.softcap.map { Float($0) }, path: path)
  }

  /// What a path will do.
  public func plan(_ path: AttentionPath) -> AttentionPlan {
    AttentionPlan(
      queryShape: query.shape, keyShape: key.shape, valueShape: value.shape, layout: layout, heads: padded.heads,
      keyValueHeads: padded.keyValueHeads, mask: padded.mask, options: options(path))
  }

  /// Computes the batch by a path.
  public func run(_ path: AttentionPath) -> Tensor {
    scaledDotProductAttention(
      query: query, key: key, value: value, layout: layout, heads: padded.heads, keyValueHeads: padded.keyValueHeads,
      mask: padded.mask, options: options(path)
    ).output
  }
}

extension RaggedInput: Named {}

extension RaggedInput: Verifiable {
  package var outputRows: Int { layout.tokenCount * padded.heads }
  package var valueWidth: Int { padded.valueWidth }
  package var rowWork: Double { Double(padded.keyLength * (padded.keyWidth + padded.valueWidth)) }

  package func forEachExpectedRow(_ rows: [Int], _ check: @Sendable (Int, [Double]) -> Void) {
    let reference = ReferenceAttention(
      query: query, key: key, value: value, layout: layout, keyLayout: layout, heads: padded.heads,
      keyValueHeads: padded.keyValueHeads, mask: padded.mask, options: options(.naive))
    // The sequence of each row: both ascend, and empty sequences have none.
    var sequence = 0
    let places = rows.map { row in
      let (token, head) = row.quotientAndRemainder(dividingBy: padded.heads)
      while layout.range(of: sequence).upperBound <= token { sequence += 1 }
      return (sequence: sequence, head: head, query: token - layout.offsets[sequence])
    }
    WorkerPool.shared.forEach(rows.count) { index in
      let place = places[index]
      check(rows[index], reference.row(sequence: place.sequence, head: place.head, query: place.query).output)
    }
  }

  package func runNaively() -> Tensor? { run(.naive) }
}
