import AttentionTensors

/// One call of attention, whatever the layout of its tensors: where each sequence and head lies in memory.
final class AttentionProblem: @unchecked Sendable {
  // @unchecked: pointers into tensors that the entry point keeps alive; each task writes rows of its own.
  // A class, since what computes a few rows holds it, and a structure of so many arrays costs more to copy than they do.

  /// How the rows of a sequence and head are found from a first scalar.
  struct Strides {
    /// For each sequence, the position of its first scalar.
    let sequences: [Int]
    let head: Int
    let row: Int

    func position(sequence: Int, head: Int, row: Int) -> Int { sequences[sequence] + head * self.head + row * self.row }

    /// `[B, H, L, width]`: heads apart, rows of a head together.
    static func separateHeads(sequences: Int, heads: Int, length: Int, width: Int) -> Strides {
      // Of empty tensors, extents whose product overflows are legal, and nothing is read.
      Strides(
        sequences: (0..<sequences).map { $0 &* heads &* length &* width }, head: length &* width, row: width)
    }

    /// `[tokens, heads · width]`: rows of a sequence together, heads side by side.
    static func sideBySide(_ layout: SequenceLayout, heads: Int, width: Int) -> Strides {
      sideBySide(layout, width: width, columns: 0, rowStride: heads * width)
    }

    /// The same as a part of longer rows, which begins at a column.
    static func sideBySide(_ layout: SequenceLayout, width: Int, columns first: Int, rowStride: Int) -> Strides {
      Strides(sequences: layout.offsets.dropLast().map { $0 * rowStride + first }, head: width, row: rowStride)
    }

    /// `[heads, Lq, Lk]` for each sequence, one after the other.
    static func scores(queryLengths: [Int], keyLengths: [Int], heads: Int) -> ScoreStrides {
      var offsets = [0]
      for (queries, keys) in zip(queryLengths, keyLengths) {
        offsets.append(offsets[offsets.count - 1] + heads * queries * keys)
      }
      return ScoreStrides(sequences: offsets, queryLengths: queryLengths, keyLengths: keyLengths)
    }
  }

  struct ScoreStrides {
    let sequences: [Int]
    let queryLengths: [Int]
    let keyLengths: [Int]

    func position(sequence: Int, head: Int, row: Int) -> Int {
      sequences[sequence] + (head * queryLengths[sequence] + row) * keyLengths[sequence]
    }
  }

  struct Input: @unchecked Sendable {
    // @unchecked: what it points at is read only.
    let base: UnsafePointer<Float>
    let strides: Strides

    func row(sequence: Int, head: Int, row: Int) -> UnsafePointer<Float> {
      base + strides.position(sequence: sequence, head: head, row: row)
    }
  }

  struct Output {
    let base: UnsafeMutablePointer<Float>
    let strides: Strides

    func row(sequence: Int, head: Int, row: Int) -> UnsafeMutablePointer<Float> {
      base + strides.position(sequence: sequence, head: head, row: row)
    }
  }

  struct ScoreOutput {
    let base: UnsafeMutablePointer<Float>
    let strides: ScoreStrides

    func row(sequence: Int, head: Int, row: Int) -> UnsafeMutablePointer<Float> {
      base + strides.position(sequence: sequence, head: head, row: row)
    }
  }

  /// Where keys and values are.
  enum Keys {
    case rows(key: Input, value: Input)
    case pages(KeyValueTable)
  }

  let shape: AttentionShape
  let scale: Float
  let softcap: Float?
  let mask: MaskGeometry

  let query: Input
  let keys: Keys
  let output: Output
  let logSumExp: Output?
  let weights: ScoreOutput?
  let scores: [(stage: AttentionScoreStage, output: ScoreOutput)]
  /// Where the maxima and the sums of an unfinished softmax go; `output` then takes its values, not divided.
  let partial: (maximum: Output, sum: Output)?
  /// Where each row's reference and its sum of weights go, from which the way back computes the weights again.
  let statistics: (reference: Output, sum: Output)?
  /// Which weights are dropped, if any.
  let dropout: AttentionDropout?

  init(
    shape: AttentionShape, scale: Float, softcap: Float?, mask: MaskGeometry, query: Input, keys: Keys, output: Output,
    logSumExp: Output?, weights: ScoreOutput?, scores: [(stage: AttentionScoreStage, output: ScoreOutput)],
    partial: (maximum: Output, sum: Output)? = nil, statistics: (reference: Output, sum: Output)? = nil,
    dropout: AttentionDropout? = nil
  ) {
    self.shape = shape
    self.scale = scale
    self.softcap = softcap
    self.mask = mask
    self.query = query
    self.keys = keys
    self.output = output
    self.logSumExp = logSumExp
    self.weights = weights
    self.scores = scores
    self.partial = partial
    self.statistics = statistics
    self.dropout = dropout
  }

  /// Whether keys lie in panels already.
  var isPacked: Bool {
    if case .pages = keys { true } else { false }
  }

  /// - Precondition: keys and values are rows.
  var key: Input {
    guard case .rows(let key, _) = keys else { fatalError("attention: only the fused path reads a cache") }
    return key
  }

  /// - Precondition: keys and values are rows.
  var value: Input {
    guard case .rows(_, let value) = keys else { fatalError("attention: only the fused path reads a cache") }
    return value
  }

  /// Notes the reference and the sum of a row: (−∞, 0) where it sees nothing, and NaN where its softmax is undefined.
  func writeStatistics(sequence: Int, head: Int, row: Int, reference: Float, sum: Float) {
    guard let statistics else { return }
    let isDefined = !sum.isNaN && (reference.isFinite || (reference == -.infinity && sum == 0))
    statistics.reference.row(sequence: sequence, head: head, row: row).pointee = isDefined ? reference : .nan
    statistics.sum.row(sequence: sequence, head: head, row: row).pointee = isDefined ? sum : .nan
  }

  func scoreOutput(_ stage: AttentionScoreStage) -> ScoreOutput? { scores.first { $0.stage == stage }?.output }
}

/// The lengths, heads and widths of a call.
struct AttentionShape: Sendable {
  let queryLengths: [Int]
  let keyLengths: [Int]
  let heads: Int
  let keyValueHeads: Int
  let keyWidth: Int
  let valueWidth: Int

  /// The query heads that share a kv head; they are neighbours.
  var group: Int { heads / keyValueHeads }

  /// The kv head that a query head attends to.
  func keyValueHead(of head: Int) -> Int { head / group }

  /// Whether there is no query.
  var isEmpty: Bool { queryLengths.allSatisfy { $0 == 0 } }

  var sequenceCount: Int { queryLengths.count }

  var scale: Float { 1 / Float(keyWidth).squareRoot() }
}
