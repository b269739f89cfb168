import AttentionLayers
import AttentionModels
import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What skip-gram learns: to tell the word beside another from words that were drawn (Mikolov et al., 1310.4546, §2.2,
/// equation 4).
///
/// The loss of a pair is −log σ(output_w · embedding_c) − Σ log σ(−output_n · embedding_c), over the drawn words n.
public struct NegativeSampling: TrainingObjective {
  /// Creates the objective.
  public init() {}

  /// One loss, "pairs".
  public var lossNames: [String] { ["pairs"] }

  /// The pairs.
  public func itemCounts(of batch: SkipGramBatch) -> [Int] { [batch.pairCount] }

  /// The words of text.
  public func tokenCount(of batch: SkipGramBatch) -> Int { batch.wordCount }

  /// The sum of the pairs' losses, in nats. O(pairs · targets · width), and on the way back O(words · width) for the gradients,
  /// which are dense.
  ///
  /// - Precondition: the batch's ids are words of the model.
  public func lossSums(of model: SkipGram, on batch: SkipGramBatch, dropout key: DropoutKey?) -> [Tensor] {
    let limit = Int32(clamping: model.vocabulary.count)
    precondition(
      (batch.centres + batch.targets).allSatisfy { $0 >= 0 && $0 < limit },
      "NegativeSampling: a batch has ids beyond the \(limit) words of the model")
    return [negativeSamplingLoss(model.embeddings.weight, model.outputs.weight, batch)]
  }
}

/// The sum of the pairs' losses as one operation with a way back by hand: a product for each pair and target, and from its
/// logistic function what both rows get of each other.
private func negativeSamplingLoss(_ embeddings: Tensor, _ outputs: Tensor, _ batch: SkipGramBatch) -> Tensor {
  let pairs = SkipGramPairs(embeddings: embeddings.detached(), outputs: outputs.detached(), batch: batch)
  let (loss, slopes) = pairs.forward()
  return Tensor([Float(loss)], shape: []).derived(from: [embeddings, outputs]) { upstream, wanted in
    pairs.gradients(slopes, factor: upstream.scalars[0], wanted: wanted)
  }
}

private struct SkipGramPairs: Sendable {
  let embeddings: Tensor
  let outputs: Tensor
  let batch: SkipGramBatch

  var width: Int { embeddings.shape[1] }

  /// The sum of all losses, and the slope of each target's loss by its product: σ(s) − 1 for the pair's own word, σ(s) for
  /// the others.
  func forward() -> (loss: Double, slopes: [Float]) {
    let (perPair, width) = (batch.targetsPerPair, width)
    var losses = [Double](repeating: 0, count: batch.pairCount)
    var slopes = [Float](repeating: 0, count: batch.targets.count)
    losses.withUnsafeMutableBufferPointer { losses in
      slopes.withUnsafeMutableBufferPointer { slopes in
        let (losses, slopes) = (Unchecked(losses), Unchecked(slopes))
        let rows = (embeddings: Unchecked(embeddings.unsafeBase), outputs: Unchecked(outputs.unsafeBase))
        let perTask = max(1, (1 << 14) / (perPair * width))
        WorkerPool.shared.forEachWithoutProducts(
          (batch.pairCount + perTask - 1) / perTask, inline: batch.targets.count * width < 1 << 15
        ) { task in
          let kernels = KernelSet.kernels
          for pair in task * perTask..<min(batch.pairCount, (task + 1) * perTask) {
            let centre = rows.embeddings.value + Int(batch.centres[pair]) * width
            var loss = 0.0
            for place in pair * perPair..<(pair + 1) * perPair {
              let product = kernels.pointee.dot(centre, rows.outputs.value + Int(batch.targets[place]) * width, width)
              let isOwn = place == pair * perPair
              // −log σ(x) = log(1 + e^−x), from the side where the exponential is small.
              let x = isOwn ? product : -product
              let exponential = expf(-abs(x))
              loss += Double(log1pf(exponential) + max(-x, 0))
              let other = (x >= 0 ? exponential : 1) / (1 + exponential)
              slopes.value[place] = isOwn ? -other : other
            }
            losses.value[pair] = loss
          }
        }
      }
    }
    return (losses.reduce(0, +), slopes)
  }

  /// The columns of a gradient that a task adds up.
  private static let strip = 64

  /// Each task goes through all pairs in their order, for some columns of one of both gradients: bits do not depend on how
  /// many threads there are.
  func gradients(_ slopes: [Float], factor: Float, wanted: [Bool]) -> [Tensor?] {
    let strips = (width + SkipGramPairs.strip - 1) / SkipGramPairs.strip
    var found = [embeddings, outputs].map { Tensor(zeros: $0.shape) }
    let places = Unchecked(
      found.indices.map { index in found[index].withUnsafeMutableBufferPointer { $0.baseAddress! } })
    WorkerPool.shared.forEachWithoutProducts(2 * strips, inline: batch.targets.count * width < 1 << 14) { task in
      let (strip, table) = task.quotientAndRemainder(dividingBy: 2)
      guard wanted[table] else { return }
      let columns = strip * SkipGramPairs.strip..<min(width, (strip + 1) * SkipGramPairs.strip)
      add(slopes, factor, ofOutputs: table == 1, columns, into: places.value[table])
    }
    return zip(found, wanted).map { $1 ? $0 : nil }
  }

  private func add(
    _ slopes: [Float], _ factor: Float, ofOutputs: Bool, _ columns: Range<Int>,
    into target: UnsafeMutablePointer<Float>
  ) {
    let (perPair, width, kernels) = (batch.targetsPerPair, width, KernelSet.kernels)
    slopes.withUnsafeBufferPointer { slopes in
      for pair in 0..<batch.pairCount {
        let centre = Int(batch.centres[pair]) * width + columns.lowerBound
        for place in pair * perPair..<(pair + 1) * perPair {
          let other = Int(batch.targets[place]) * width + columns.lowerBound
          if ofOutputs {
            kernels.pointee.axpy(
              factor * slopes[place], embeddings.unsafeBase + centre, target + other, columns.count)
          } else {
            kernels.pointee.axpy(factor * slopes[place], outputs.unsafeBase + other, target + centre, columns.count)
          }
        }
      }
    }
  }
}
