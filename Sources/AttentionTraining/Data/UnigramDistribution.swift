import AttentionTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How often each token occurs in a text, whatever stands around it: what a model has to do better than.
///
/// Of N tokens, one that occurs n times has the probability (n + 1) / (N + vocabulary) (Laplace's rule), so that a token
/// that never occurs has one, too.
public struct UnigramDistribution: Sendable {
  private let counts: [Int]
  private let total: Int

  /// Counts the tokens of documents. O(tokens + vocabulary).
  ///
  /// - Precondition: every id is less than the vocabulary's size.
  public init(_ documents: TokenDocuments, vocabularySize: Int) {
    var counts = [Int](repeating: 1, count: vocabularySize)
    for document in 0..<documents.count {
      for id in documents.ids(of: document) {
        require(id < vocabularySize, "UnigramDistribution: the id \(id) in a vocabulary of \(vocabularySize) tokens")
        counts[id] += 1
      }
    }
    self.counts = counts
    total = documents.tokenCount + vocabularySize
  }

  /// The natural logarithm of a token's probability.
  ///
  /// - Precondition: the id is less than the vocabulary's size.
  public func logProbability(of id: Int) -> Double { log(Double(counts[id]) / Double(total)) }

  /// The mean cross-entropy of labels in nats, those of -100 left out; nil if there is no other.
  ///
  /// - Precondition: labels are less than the vocabulary's size.
  public func crossEntropy(of labels: some Sequence<Int>) -> Double? {
    var (sum, count) = (0.0, 0)
    for label in labels where label != TokenBatch.ignoredLabel {
      sum -= logProbability(of: label)
      count += 1
    }
    return count == 0 ? nil : sum / Double(count)
  }

  /// The mean cross-entropy of the tokens that are hidden in held-out data, in nats: what "masked tokens" is compared with.
  public func crossEntropy(of data: HeldOutData<MaskedTokenBatch>) -> Double? {
    crossEntropy(of: data.batches.lazy.flatMap(\.tokens.labels))
  }

  /// The mean cross-entropy of the tokens that are predicted in held-out data, in nats.
  public func crossEntropy(of data: HeldOutData<TokenBatch>) -> Double? {
    crossEntropy(of: data.batches.lazy.flatMap(\.labels))
  }
}
