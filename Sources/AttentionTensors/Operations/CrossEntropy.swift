import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What becomes of the losses of several rows.
public enum LossReduction: String, Sendable, CaseIterable {
  /// Their mean, over the rows that are not ignored.
  case mean
  /// Their sum.
  case sum
  /// Nothing: one loss for each row, 0 where it is ignored.
  case none
}

/// The cross-entropy of labels under the softmax of logits: log Σ exp(row) − row[label] for each row.
///
///     let loss = crossEntropy(logits, labels: [2, 0, 5])   // logits: [3, classes]
///
/// Softmax and logarithm are one step: nothing of the logits' size is kept for the way back but the logits themselves, and
/// of each row its log-sum-exp, in two parts. A row that holds NaN or +∞ has a loss of NaN. The mean of no rows at all,
/// where every label is ignored, is NaN, as in PyTorch; their gradient is 0. O(count).
///
/// - Parameters:
///   - logits: `[n, classes]`.
///   - labels: the class of each row.
///   - ignored: a label whose rows have no loss and no gradient; nil for none.
///   - reduction: what becomes of the rows' losses.
/// - Returns: a scalar of rank 0, or `[n]` losses where they are not reduced.
/// - Precondition: one label for each row, and each one a class or the ignored one.
public func crossEntropy(
  _ logits: Tensor, labels: [Int], ignoring ignored: Int? = -100, reduction: LossReduction = .mean
) -> Tensor {
  require(
    logits.rank == 2 && logits.shape[0] == labels.count,
    "crossEntropy: \(labels.count) labels for logits \(logits.shape), which are [n, classes]")
  let classes = logits.shape[1]
  for (row, label) in labels.enumerated() where (label < 0 || label >= classes) && label != ignored {
    fatalError("crossEntropy: the label \(label) of row \(row) is not one of \(classes) classes")
  }
  let rows = CrossEntropyRows(logits: logits.detached(), labels: labels, ignored: ignored)
  let (losses, parts) = rows.losses()
  let counted = labels.count { $0 != ignored }
  let result: Tensor
  let share: Float
  switch reduction {
  case .none:
    (result, share) = (Tensor(losses, shape: [labels.count]), 1)
  case .sum:
    (result, share) = (Tensor([Float(losses.reduce(0) { $0 + Double($1) })], shape: []), 1)
  case .mean:
    let sum = losses.reduce(0) { $0 + Double($1) }
    (result, share) = (Tensor([Float(sum / Double(counted))], shape: []), 1 / Float(counted))
  }
  guard logits.isTracked else { return result }
  return result.derived(from: logits) { upstream in
    let factors = upstream.scalars
    return rows.gradient(parts) { factors[reduction == .none ? $0 : 0] * share }
  }
}

/// The rows of one call.
private struct CrossEntropyRows: Sendable {
  let logits: Tensor
  let labels: [Int]
  let ignored: Int?

  /// The log-sum-exp of a row as its largest logit and the sum of the exponentials of the others' distances from it: one
  /// float for both would round differences of large logits away.
  struct Part: Sendable {
    var maximum: Float
    var sum: Float
  }

  /// The loss of each row, and its log-sum-exp.
  func losses() -> (losses: [Float], parts: [Part]) {
    let classes = logits.shape[1]
    var parts = [Part](repeating: Part(maximum: 0, sum: 1), count: labels.count)
    let losses = [Float](unsafeUninitializedCapacity: labels.count) { losses, initialized in
      losses.initialize(repeating: 0)
      initialized = labels.count
      guard !labels.isEmpty, classes > 0 else { return }
      parts.withUnsafeMutableBufferPointer { parts in
        let (source, losses, parts) = (
          Unchecked(logits.unsafeBase), Unchecked(losses.baseAddress!), Unchecked(parts.baseAddress!)
        )
        SoftmaxTasks.forEachRow(of: logits.shape) { row in
          guard labels[row] != ignored else { return }
          let kernels = KernelSet.kernels
          let logits = source.value + row * classes
          let maximum = kernels.pointee.max(logits, classes)
          let sum = maximum.isFinite ? kernels.pointee.sum_of_exp(logits, maximum, classes) : .nan
          parts.value[row] = Part(maximum: maximum, sum: sum)
          losses.value[row] = (maximum - logits[labels[row]]) + logf(sum)
        }
      }
    }
    return (losses, parts)
  }

  /// (softmax − one-hot) · factor for each row, 0 where it is ignored.
  func gradient(_ parts: [Part], _ factor: (Int) -> Float) -> Tensor {
    let classes = logits.shape[1]
    let factors = labels.indices.map(factor)
    return Tensor(uninitialized: logits.shape) { buffer in
      guard !buffer.isEmpty else { return }
      let (source, result) = (Unchecked(logits.unsafeBase), Unchecked(buffer.baseAddress!))
      SoftmaxTasks.forEachRow(of: logits.shape) { row in
        let into = result.value + row * classes
        let part = parts[row]
        guard labels[row] != ignored else { return into.update(repeating: 0, count: classes) }
        guard part.maximum.isFinite else { return into.update(repeating: .nan, count: classes) }
        KernelSet.kernels.pointee.weights_row(
          source.value + row * classes, part.maximum, factors[row] / part.sum, into, classes)
        into[labels[row]] -= factors[row]
      }
    }
  }
}
