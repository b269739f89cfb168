import AttentionCore

extension TokenBatch {
  /// Sequences as a causal language model learns them: each token but the last is read, and its label is the one that
  /// follows it.
  ///
  ///     TokenBatch(shifting: [[5, 9, 3], [7]])   // ids [5, 9], labels [9, 3], lengths [2, 0]
  ///
  /// Labels never come from another sequence. O(tokens).
  ///
  /// - Parameters:
  ///   - sequences: the tokens of each.
  ///   - context: the tokens at the beginning of each that only give context: the first token that is predicted is the one
  ///     behind them. One at least is, since nothing stands before it.
  public init(shifting sequences: [[Int]], context: [Int]? = nil) {
    var ids: [Int] = []
    var labels: [Int] = []
    let count = sequences.reduce(0) { $0 + $1.count }
    ids.reserveCapacity(count)
    labels.reserveCapacity(count)
    for (index, sequence) in sequences.enumerated() {
      ids += sequence.dropLast()
      let ignored = min(max(0, (context?[index] ?? 1) - 1), max(0, sequence.count - 1))
      labels += repeatElement(TokenBatch.ignoredLabel, count: ignored)
      labels += sequence.dropFirst(ignored + 1)
    }
    self.init(
      ids: ids, labels: labels, layout: SequenceLayout(lengths: sequences.map { max(0, $0.count - 1) }))
  }
}
