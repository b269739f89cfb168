/// Sequences, cut into ragged batches of a bounded number of tokens.
///
/// The longest come first, so that the threads end together. No batch holds padding, so order and cut change no result.
struct TokenBatches: Sendable, Equatable {
  /// For each batch, the numbers of its sequences.
  let batches: [[Int]]

  /// - Parameters:
  ///   - lengths: of the sequences.
  ///   - budget: tokens in a batch at the most; a longer sequence is a batch by itself.
  ///   - wanted: batches at the least, as far as there are sequences and it leaves each some work.
  init(lengths: [Int], budget: Int, wanted: Int) {
    let total = lengths.reduce(0, +)
    // A batch of few tokens reads all weights for little work: one that all threads share is better then.
    let least = total < wanted * TokenBatches.smallest ? 1 : wanted
    // Equal batches, as many as the budget asks for and a multiple of the threads.
    var count = max(1, (total + budget - 1) / max(1, budget))
    if least > 1 { count = (count + least - 1) / least * least }
    let share = max(1, min(budget, (total + count - 1) / count))
    // Sorting equal lengths by number keeps the order of the input, and the sort stable.
    let order = lengths.indices.sorted { (lengths[$1], $0) < (lengths[$0], $1) }
    var batches: [[Int]] = []
    var current: [Int] = []
    var tokens = 0
    for index in order {
      let length = lengths[index]
      // What goes over the share by a little is better than a small batch more.
      if !current.isEmpty, tokens + length > budget || tokens + length / 2 > share {
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
