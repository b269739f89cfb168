import AttentionLayers
import AttentionModels
import AttentionTensors

/// What a model of sources and targets learns (Bahdanau et al., 1409.0473, §2; Vaswani et al., 1706.03762, §3 and §5.4): each
/// token of the target and its end, from the source and the tokens before it.
///
/// The loss, "target tokens", is the cross-entropy of a ``PairBatch``'s labels. Labels are smoothed in training alone.
public struct TargetTokens<Model: SequenceToSequenceModel>: TrainingObjective {
  /// The share of each label that all tokens have in common, in 0...1; 0.1 in the paper.
  public let smoothing: Float

  /// Creates an objective.
  ///
  /// - Precondition: the smoothing lies in 0...1.
  public init(smoothing: Float = 0) {
    require((0...1).contains(smoothing), "TargetTokens: a smoothing of \(smoothing) is not in 0...1")
    self.smoothing = smoothing
  }

  /// One loss, "target tokens".
  public var lossNames: [String] { ["target tokens"] }

  /// The tokens of the targets and their ends.
  public func itemCounts(of batch: PairBatch) -> [Int] { [batch.labels.count] }

  /// The tokens that encoder and decoder read.
  public func tokenCount(of batch: PairBatch) -> Int { batch.source.count + batch.target.count }

  /// The summed cross-entropy of the targets and their ends, in nats.
  ///
  /// - Precondition: ids are tokens of the model's vocabularies.
  public func lossSums(of model: Model, on batch: PairBatch, dropout key: DropoutKey?) -> [Tensor] {
    let rows = model.hidden(
      source: batch.source, sourceLayout: batch.sourceLayout, target: batch.target, targetLayout: batch.targetLayout,
      dropout: key)
    return [model.crossEntropy(ofHidden: rows, labels: batch.labels, smoothing: key == nil ? 0 : smoothing)]
  }
}
