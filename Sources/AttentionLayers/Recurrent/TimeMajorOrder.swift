import AttentionCore
import AttentionTensors

/// The order in which a recurrent layer reads the tokens of a ragged batch: step after step, and in each step the
/// sequences that are that long, the longest first. Those of a step are the first ones of the step before.
///
/// It is the order of PyTorch's packed sequences; on the way through a sequence from its end, of its tokens reversed.
struct TimeMajorOrder: Sendable {
  /// The row of the batch that stands at each place.
  let tokens: [Int]
  /// The place of each row of the batch.
  let places: [Int]
  /// The sequences, the longest first; equal ones in their order.
  let sequences: [Int]
  /// The lengths of the sequences so ordered.
  let lengths: [Int]
  /// The place of each step's first token, and after the last one the number of tokens.
  let offsets: [Int]
  /// Whether every token stands where it was.
  let isIdentity: Bool

  /// O(tokens + sequences · log(sequences)).
  init(_ layout: SequenceLayout, isReversed: Bool) {
    let sequences = layout.lengths.indices.sorted {
      (layout.lengths[$1], $0) < (layout.lengths[$0], $1)
    }
    let lengths = sequences.map { layout.lengths[$0] }
    let steps = lengths.first ?? 0
    var offsets = [0]
    var tokens: [Int] = []
    offsets.reserveCapacity(steps + 1)
    tokens.reserveCapacity(layout.tokenCount)
    var active = lengths.count
    for step in 0..<steps {
      while active > 0, lengths[active - 1] <= step { active -= 1 }
      for place in 0..<active {
        tokens.append(layout.offsets[sequences[place]] + (isReversed ? lengths[place] - 1 - step : step))
      }
      offsets.append(tokens.count)
    }
    var places = [Int](repeating: 0, count: tokens.count)
    for (place, token) in tokens.enumerated() { places[token] = place }
    (self.tokens, self.places, self.sequences, self.lengths, self.offsets) = (
      tokens, places, sequences, lengths, offsets
    )
    isIdentity = tokens.elementsEqual(tokens.indices)
  }

  var stepCount: Int { offsets.count - 1 }

  /// The sequences that have a token at a step: the first ones.
  func active(_ step: Int) -> Int { offsets[step + 1] - offsets[step] }

  /// The rows of a batch in this order.
  func ordered(_ rows: Tensor) -> Tensor { moved(rows, from: tokens, back: places) }
  /// Rows in this order as they stand in the batch.
  func restored(_ rows: Tensor) -> Tensor { moved(rows, from: places, back: tokens) }

  private func moved(_ rows: Tensor, from: [Int], back: [Int]) -> Tensor {
    guard !isIdentity else { return rows }
    // A permutation: its way back is a permutation too, and adds nothing up.
    return rows.detached().gathered(rows: from).derived(from: rows) { $0.gathered(rows: back) }
  }

  /// The place of a sequence's last token, nil where it has none.
  func lastPlace(_ index: Int) -> Int? { lengths[index] == 0 ? nil : offsets[lengths[index] - 1] + index }
}
