import AttentionLayers
import AttentionModels
import AttentionTensors

/// What an encoder-decoder learns (Vaswani et al., 1706.03762, §3 and §5.4): each token of the target and its end, from the
/// source and the tokens before it.
///
/// The loss, "target tokens", is the cross-entropy of a ``PairBatch``'s labels; its mean is ``EncoderDecoder/loss(source:target:dropout:)``.
public struct TargetTokens: TrainingObjective {
  /// Creates an objective.
  public init() {}

  /// One loss, "target tokens".
  public var lossNames: [String] { ["target tokens"] }

  /// The tokens of the targets and their ends.
  public func itemCounts(of batch: PairBatch) -> [Int] { [batch.labels.count] }

  /// The tokens that encoder and decoder read.
  public func tokenCount(of batch: PairBatch) -> Int { batch.source.count + batch.target.count }

  /// The summed cross-entropy of the targets and their ends, in nats.
  ///
  /// - Precondition: ids are tokens of the model.
  public func lossSums(of model: EncoderDecoder, on batch: PairBatch, dropout key: DropoutKey?) -> [Tensor] {
    let rows = model(
      source: batch.source, sourceLayout: batch.sourceLayout, target: batch.target, targetLayout: batch.targetLayout,
      dropout: key)
    return [crossEntropy(model.scores(rows), labels: batch.labels, reduction: .sum)]
  }
}
