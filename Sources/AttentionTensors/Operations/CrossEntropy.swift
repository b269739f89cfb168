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
/// With label smoothing ε (Szegedy et al., 1512.00567, §7), a share ε of each label belongs to all classes alike, the
/// label's own among them: log Σ exp(row) − (1 − ε) · row[label] − ε · mean(row), as PyTorch has it.
///
/// Softmax and logarithm are one step: nothing of the logits' size is kept for the way back but the logits themselves, and
/// of each row its log-sum-exp, in two parts. A row that holds NaN or +∞ has a loss of NaN. The mean of no rows at all,
/// where every label is ignored, is NaN, as in PyTorch; their gradient is 0. O(count).
///
/// - Parameters:
///   - logits: `[n, classes]`.
///   - labels: the class of each row.
///   - ignored: a label whose rows have no loss and no gradient; nil for none.
///   - smoothing: ε.
///   - reduction: what becomes of the rows' losses.
/// - Returns: a scalar of rank 0, or `[n]` losses where they are not reduced.
/// - Precondition: one label for each row, and each one a class or the ignored one; ε lies in 0...1.
public func crossEntropy(
  _ logits: Tensor, labels: [Int], ignoring ignored: Int? = -100, smoothing: Float = 0, reduction: LossReduction = .mean
) -> Tensor {
  require(
    logits.rank == 2 && logits.shape[0] == labels.count,
    "crossEntropy: \(labels.count) labels for logits \(logits.shape), which are [n, classes]")
  let row = CrossEntropyRow(classes: logits.shape[1], smoothing: smoothing, "crossEntropy")
  row.check(labels, ignoring: ignored, "crossEntropy")
  let rows = CrossEntropyRows(logits: logits.detached(), labels: labels, ignored: ignored, row: row)
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
  let row: CrossEntropyRow

  /// The loss of each row, and its log-sum-exp.
  func losses() -> (losses: [Float], parts: [CrossEntropyRow.LogSumExp]) {
    let classes = row.classes
    var parts = [CrossEntropyRow.LogSumExp](repeating: .unused, count: labels.count)
    let losses = [Float](unsafeUninitializedCapacity: labels.count) { losses, initialized in
      losses.initialize(repeating: 0)
      initialized = labels.count
      guard !labels.isEmpty, classes > 0 else { return }
      parts.withUnsafeMutableBufferPointer { parts in
        let (source, losses, parts) = (
          Unchecked(logits.unsafeBase), Unchecked(losses.baseAddress!), Unchecked(parts.baseAddress!)
        )
        SoftmaxTasks.forEachRow(of: logits.shape) { index in
          guard labels[index] != ignored else { return }
          (losses.value[index], parts.value[index]) = row.loss(source.value + index * classes, label: labels[index])
        }
      }
    }
    return (losses, parts)
  }

  /// (softmax − target) · factor for each row, 0 where it is ignored.
  func gradient(_ parts: [CrossEntropyRow.LogSumExp], _ factor: (Int) -> Float) -> Tensor {
    let classes = row.classes
    let factors = labels.indices.map(factor)
    return Tensor(uninitialized: logits.shape) { buffer in
      guard !buffer.isEmpty else { return }
      let (source, result) = (Unchecked(logits.unsafeBase), Unchecked(buffer.baseAddress!))
      SoftmaxTasks.forEachRow(of: logits.shape) { index in
        let into = result.value + index * classes
        guard labels[index] != ignored else { return into.update(repeating: 0, count: classes) }
        row.writeGradient(
          source.value + index * classes, parts[index], label: labels[index], factor: factors[index], into: into)
      }
    }
  }
}
