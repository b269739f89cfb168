/// Sequences, cut into ragged batches of a bounded number of tokens.
///
/// The longest come first, so that the threads end together. No batch holds padding, so order and cut change no result
/// (but for float32's rounding where a product's bits depend on its rows' places).
package struct TokenBatches: Sendable, Equatable {
  /// For each batch, the numbers of its sequences.
  package let batches: [[Int]]

  /// - Parameters:
  ///   - lengths: of the sequences.
  ///   - budget: tokens in a batch at the most; a longer sequence is a batch by itself.
  ///   - threads: that compute batches side by side.
  package init(lengths: [Int], budget: Int, threads: Int) {
    let total = lengths.reduce(0, +)
    let budget = min(budget, max(1, total))
    var count = max(1, (total + budget - 1) / budget)
    // A batch of few tokens reads all weights for little work: one that the threads share is better then.
    if count > 1 || total >= threads * TokenBatches.smallest { count = (count + threads - 1) / threads * threads }
    let share = (total + count - 1) / count
    // Equal lengths stay in the order of the input.
    let order = lengths.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
    var batches: [[Int]] = []
    var current: [Int] = []
    var tokens = 0
    for index in order {
      let length = lengths[index]
      // A sequence goes to the batch that its middle lies in.
      if !current.isEmpty, tokens + length > budget || tokens + length / 2 >= share {
        batches.append(current)
        (current, tokens) = ([], 0)
      }
      current.append(index)
      tokens += length
    }
    if !current.isEmpty { batches.append(current) }
    self.batches = batches
  }

  /// Tokens below which a batch is not worth a thread of its own.
  static let smallest = 96
}
