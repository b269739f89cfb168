import AttentionLayers
import AttentionTensors

/// What is read in an epoch, in its order, and how it is cut into batches.
struct EpochPlan<Item: Sendable>: Sendable {
  let items: [Item]
  /// Where each batch begins, and after the last one the number of items.
  private let starts: [Int]

  /// Cuts items into batches of at most so many tokens; an item that has more is a batch by itself.
  ///
  /// A last batch of less than half as many shares with the one before it: a step on a few tokens is mostly noise.
  init(_ items: [Item], budget: Int, tokens: (Item) -> Int) {
    let counts = items.map(tokens)
    var starts = [0]
    var sum = 0
    for (index, count) in counts.enumerated() {
      if sum > 0, sum + count > budget {
        starts.append(index)
        sum = 0
      }
      sum += count
    }
    if starts.count > 1, sum < budget / 2 {
      let first = starts[starts.count - 2]
      let half = (counts[first..<starts[starts.count - 1]].reduce(sum, +) + 1) / 2
      var (share, middle) = (0, first)
      while share < half {
        share += counts[middle]
        middle += 1
      }
      // The first half may be one item over the budget, where the second is none at all.
      if share <= budget, middle < items.count { starts[starts.count - 1] = middle }
    }
    if !items.isEmpty { starts.append(items.count) }
    self.items = items
    self.starts = starts
  }

  /// The number of batches.
  var batchCount: Int { starts.count - 1 }

  /// The items of a batch.
  func batch(_ index: Int) -> ArraySlice<Item> {
    require(index >= 0 && index < batchCount, "TrainingData: batch \(index) of \(batchCount)")
    return items[starts[index]..<starts[index + 1]]
  }
}

/// The plan of the epoch that was asked for last, kept for those who ask next. Which epoch that is changes no plan.
final class EpochPlanCache<Item: Sendable>: Sendable {
  private let latest = Guarded<(epoch: Int, plan: EpochPlan<Item>)?>(nil)

  /// The plan of an epoch, made if it is not the latest.
  func plan(ofEpoch epoch: Int, _ make: () -> EpochPlan<Item>) -> EpochPlan<Item> {
    require(epoch >= 0, "TrainingData: epoch \(epoch)")
    return latest.withLock { latest in
      if let latest, latest.epoch == epoch { return latest.plan }
      let plan = make()
      latest = (epoch, plan)
      return plan
    }
  }
}

extension SeededGenerator {
  /// The generator of a place in training data: other numbers for each seed, epoch and index.
  init(seed: UInt64, epoch: Int, index: Int? = nil) {
    let epoch = DropoutKey(seed: seed).child(epoch)
    self.init(seed: index.map { epoch.child($0).seed } ?? epoch.seed)
  }
}

extension TrainingData {
  /// All batches of an epoch as data that a model is measured on: always the same.
  public func heldOutData(epoch: Int = 0) -> HeldOutData<Batch> {
    HeldOutData(batches: (0..<batchCount(ofEpoch: epoch)).map { batch($0, ofEpoch: epoch) })
  }
}
