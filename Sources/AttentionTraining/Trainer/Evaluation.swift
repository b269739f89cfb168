import AttentionLayers
import AttentionTensors

/// The losses of a model on data that it was not trained on.
public struct Evaluation: Sendable, Equatable {
  /// By the objective's names, in their order: the sum over all items, in nats, and the number of items.
  public var losses: [(name: String, sum: Double, items: Int)]
  /// The bytes of text that the first loss predicts, if it predicts a text.
  public var byteCount: Int?

  /// The mean of one loss, in nats for each item.
  public subscript(name: String) -> Double? {
    losses.first { $0.name == name }.map { $0.sum / Double($0.items) }
  }

  /// What is minimised: the sum of the losses' means; NaN where there was nothing to predict.
  public var loss: Double { losses.isEmpty ? .nan : losses.reduce(0) { $0 + $1.sum / Double($1.items) } }

  /// The bits that the model needs for a byte of the text.
  public var bitsPerByte: Double? {
    losses.isEmpty ? nil : byteCount.map { losses[0].sum / 0.693_147_180_559_945_3 / Double($0) }
  }

  /// Whether both are equal.
  public static func == (left: Evaluation, right: Evaluation) -> Bool {
    left.byteCount == right.byteCount && left.losses.elementsEqual(right.losses) { $0 == $1 }
  }
}

/// Data that a model is measured on, and not trained.
public struct HeldOutData<Batch: Sendable>: Sendable {
  /// The batches, all of which are read.
  public var batches: [Batch]
  /// The bytes of text that the batches' items stand for, if they stand for a text.
  public var byteCount: Int?

  /// Creates data from batches.
  public init(batches: [Batch], byteCount: Int? = nil) {
    self.batches = batches
    self.byteCount = byteCount
  }
}

extension TrainingObjective {
  /// The losses of a model on held-out data: nothing is dropped, nothing is learnt.
  ///
  /// - Parameters:
  ///   - model: what is measured.
  ///   - data: what it is measured on.
  ///   - shouldStop: asked before each batch; with true, the answer is nil.
  public func evaluation(
    of model: Model, on data: HeldOutData<Batch>, shouldStop: () -> Bool = { false }
  ) -> Evaluation? {
    let model = model.detached()
    var sums = lossNames.map { (name: $0, sum: 0.0, items: 0) }
    for batch in data.batches {
      if shouldStop() { return nil }
      let losses = lossSums(of: model, on: batch, dropout: nil)
      for (index, items) in itemCounts(of: batch).enumerated() where items > 0 {
        sums[index].sum += Double(losses[index].scalars[0])
        sums[index].items += items
      }
    }
    return Evaluation(losses: sums.filter { $0.items > 0 }, byteCount: data.byteCount)
  }
}
