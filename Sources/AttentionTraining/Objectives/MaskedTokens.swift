import AttentionLayers
import AttentionModels
import AttentionTensors

/// What BERT learns (Devlin et al., 1810.04805, §3.1): the tokens that were hidden, from all that stands around them, and, if
/// it is asked to, whether the second part of a pair follows the first.
///
/// Losses: "masked tokens", for each token, and "next sentence", for each pair. The table of all tokens' scores is computed
/// for the rows that predict one alone.
public struct MaskedTokens: TrainingObjective {
  /// Whether pairs are judged.
  public let judgesPairs: Bool

  /// Creates an objective.
  public init(judgesPairs: Bool = false) { self.judgesPairs = judgesPairs }

  /// "masked tokens", and "next sentence" if pairs are judged.
  public var lossNames: [String] { judgesPairs ? ["masked tokens", "next sentence"] : ["masked tokens"] }

  /// The tokens that are predicted, and the pairs that are judged.
  public func itemCounts(of batch: MaskedTokenBatch) -> [Int] {
    judgesPairs ? [batch.tokens.predictionCount, batch.pairCount] : [batch.tokens.predictionCount]
  }

  /// The tokens that are read.
  public func tokenCount(of batch: MaskedTokenBatch) -> Int { batch.tokens.ids.count }

  /// The sums of both cross-entropies, in nats.
  ///
  /// - Precondition: the model has a masked-token head, and if pairs are judged a next-sentence head; the batch's ids, labels
  ///   and segments are the model's, its sequences not longer than the model takes.
  public func lossSums(of model: BERT, on batch: MaskedTokenBatch, dropout key: DropoutKey?) -> [Tensor] {
    let tokens = batch.tokens
    let hidden = model(tokens.ids, segments: tokens.segments, layout: tokens.layout, dropout: key)
    let masked = model.maskedTokenCrossEntropy(
      hidden.gathered(rows: batch.rows), labels: batch.rows.map { tokens.labels[$0] })
    guard judgesPairs else { return [masked] }
    let pairs = model.nextSentenceScores(model.pooled(hidden, layout: tokens.layout))
    let labels =
      batch.nextSentenceLabels ?? [Int](repeating: TokenBatch.ignoredLabel, count: tokens.layout.sequenceCount)
    return [
      masked, crossEntropy(pairs, labels: labels, ignoring: TokenBatch.ignoredLabel, reduction: .sum),
    ]
  }
}
