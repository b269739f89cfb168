import AttentionLayers
import AttentionTensors

/// What a model learns: losses of it on a batch.
///
/// Losses are sums over items (tokens that are predicted, pairs that are judged), and items are counted apart: so the mean
/// over several batches of different sizes is exact, whether they are accumulated into one step or evaluated.
public protocol TrainingObjective: Sendable {
  /// What is trained.
  associatedtype Model: Layer
  /// What one forward pass reads.
  associatedtype Batch: Sendable

  /// The losses' names in their order, such as "tokens"; what is minimised is the sum of their means.
  var lossNames: [String] { get }

  /// The items of each loss in a batch.
  func itemCounts(of batch: Batch) -> [Int]

  /// The tokens that a forward pass over a batch reads.
  func tokenCount(of batch: Batch) -> Int

  /// The sum of each loss over its items, scalars in nats; tracked if the model is.
  ///
  /// - Parameters:
  ///   - model: the model, tracked where gradients are wanted.
  ///   - batch: what it reads.
  ///   - key: what decides what is dropped; nothing is dropped without one.
  func lossSums(of model: Model, on batch: Batch, dropout key: DropoutKey?) -> [Tensor]
}
