import AttentionTensors

/// How the sequences of a ragged batch lie end to end in a `[tokens, width]` tensor.
///
///     let layout = SequenceLayout(lengths: [3, 0, 5])
///     layout.tokenCount        // 8
///     layout.range(of: 2)      // 3..<8
///
/// A ragged batch holds no padding: its rows are the tokens of the first sequence, then those of the second, and so on.
/// A length may be 0.
public struct SequenceLayout: Sendable, Equatable {
  /// The tokens of each sequence.
  public let lengths: [Int]
  /// The row of each sequence's first token, and after the last one the number of tokens: `lengths.count + 1` values.
  public let offsets: [Int]

  /// Creates a layout from the lengths of its sequences, in order. O(sequences).
  ///
  /// - Precondition: no length is negative, and their sum fits an `Int`.
  public init(lengths: [Int]) {
    var offsets = [0]
    offsets.reserveCapacity(lengths.count + 1)
    for length in lengths {
      require(length >= 0, "SequenceLayout: a length of \(length) is negative")
      let (sum, overflow) = offsets[offsets.count - 1].addingReportingOverflow(length)
      require(!overflow, "SequenceLayout: the lengths sum to more tokens than memory can hold")
      offsets.append(sum)
    }
    self.lengths = lengths
    self.offsets = offsets
  }

  /// The number of sequences.
  public var sequenceCount: Int { lengths.count }

  /// The number of tokens in all sequences together.
  public var tokenCount: Int { offsets[lengths.count] }

  /// The rows of one sequence's tokens.
  public func range(of sequence: Int) -> Range<Int> { offsets[sequence]..<offsets[sequence + 1] }
}
