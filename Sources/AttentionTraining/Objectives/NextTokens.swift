import AttentionCore
import AttentionLayers
import AttentionModels
import AttentionTensors

/// Causal language modelling: each token predicts the one that follows it, from itself and those before it.
///
/// The loss is the cross-entropy of the labels of a ``TokenBatch`` under the model's scores. Labels are smoothed in training
/// alone (Szegedy et al., 1512.00567, §7): a held-out loss is that of the labels, from which bits per byte are counted.
public struct NextTokens<Model: CausalLanguageModel>: TrainingObjective {
  /// The share of each label that all tokens have in common, in 0...1.
  public let smoothing: Float

  /// Creates an objective.
  ///
  /// - Precondition: the smoothing lies in 0...1.
  public init(smoothing: Float = 0) {
    require((0...1).contains(smoothing), "NextTokens: a smoothing of \(smoothing) is not in 0...1")
    self.smoothing = smoothing
  }

  /// One loss, "tokens".
  public var lossNames: [String] { ["tokens"] }

  /// The labels that are predicted.
  public func itemCounts(of batch: TokenBatch) -> [Int] { [batch.predictionCount] }

  /// The tokens that are read.
  public func tokenCount(of batch: TokenBatch) -> Int { batch.ids.count }

  /// The summed cross-entropy of the labels, in nats.
  ///
  /// - Precondition: the batch's ids and labels are tokens of the model, and its sequences not longer than the model takes.
  public func lossSums(of model: Model, on batch: TokenBatch, dropout key: DropoutKey?) -> [Tensor] {
    let hidden = model.hidden(batch.ids, layout: batch.layout, dropout: key)
    return [model.crossEntropy(ofHidden: hidden, labels: batch.labels, smoothing: key == nil ? 0 : smoothing)]
  }
}
