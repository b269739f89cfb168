import CAttentionKernels

/// The cross-entropy of labels under the logits x·Wᵀ + b, of which only pieces ever exist: the head of a language model and
/// its loss in one.
///
///     let loss = linearCrossEntropy(rows, weight: table, labels: next)   // rows: [n, inputs], table: [classes, inputs]
///
/// It is ``crossEntropy(_:labels:ignoring:smoothing:reduction:)`` of ``linear(_:weight:bias:activation:)``. Some rows at a
/// time, logits are computed and their losses taken; where something is tracked, they become their own gradient in place,
/// which is multiplied on to those of x, W and b at once. So the way back only multiplies by a number, and the memory is that
/// of a piece: 8 MiB, or 512 rows where those are more. Rows that are ignored cost nothing. Losses that are not reduced are
/// computed from all logits.
///
/// Gradients are computed with the loss, whether they are asked for or not; a second walk back over the same graph computes
/// them again. O(rows · inputs · classes).
///
/// - Parameters:
///   - x: `[n, inputs]`.
///   - weight: `[classes, inputs]`.
///   - bias: `[classes]`, or nil.
///   - labels: the class of each row.
///   - ignored: a label whose rows have no loss and no gradient; nil for none.
///   - smoothing: the share of each label that all classes have in common.
///   - reduction: what becomes of the rows' losses.
/// - Returns: a scalar of rank 0, or `[n]` losses where they are not reduced.
/// - Precondition: the shapes fit; one label for each row, and each one a class or the ignored one; the smoothing lies in
///   0...1.
public func linearCrossEntropy(
  _ x: Tensor, weight: Tensor, bias: Tensor? = nil, labels: [Int], ignoring ignored: Int? = -100, smoothing: Float = 0,
  reduction: LossReduction = .mean
) -> Tensor {
  require(weight.rank == 2, "linearCrossEntropy: a weight \(weight.shape) is not [classes, inputs]")
  guard reduction != .none else {
    return crossEntropy(
      linear(x, weight: weight, bias: bias), labels: labels, ignoring: ignored, smoothing: smoothing, reduction: .none)
  }
  let head = CrossEntropyHead(
    x, .rows(weight.detached()), bias: bias, labels: labels, ignored: ignored, smoothing: smoothing)
  return head.loss(reduction, from: [x, weight] + (bias.map { [$0] } ?? []), places: [.rows, .weight, .bias])
}

/// ``linearCrossEntropy(_:weight:bias:labels:ignoring:smoothing:reduction:)`` with a weight that was packed, whose gradient
/// nobody wants.
package func linearCrossEntropy(
  _ x: Tensor, packed weight: PackedMatrix, bias: Tensor? = nil, labels: [Int], ignoring ignored: Int? = -100,
  smoothing: Float = 0, reduction: LossReduction = .mean
) -> Tensor {
  guard reduction != .none else {
    return crossEntropy(
      linear(x, packed: weight, bias: bias), labels: labels, ignoring: ignored, smoothing: smoothing, reduction: .none)
  }
  let head = CrossEntropyHead(x, .packed(weight), bias: bias, labels: labels, ignored: ignored, smoothing: smoothing)
  return head.loss(reduction, from: [x] + (bias.map { [$0] } ?? []), places: [.rows, .bias])
}

extension CrossEntropyHead {
  /// What a gradient is of.
  enum Place { case rows, weight, bias }

  /// The reduced loss, tracked if one of the inputs is.
  ///
  /// - Parameter places: what each input is; more than inputs where there is no bias.
  fileprivate func loss(_ reduction: LossReduction, from inputs: [Tensor], places: [Place]) -> Tensor {
    let tracked = zip(places, inputs).filter { $1.isTracked }.map(\.0)
    let wanted = Wanted(
      rows: tracked.contains(.rows), weight: tracked.contains(.weight), bias: tracked.contains(.bias))
    let (sum, found) = run(wanted)
    let share = reduction == .mean ? 1 / Float(labels.count) : 1
    let result = Tensor([Float(reduction == .mean ? sum / Double(labels.count) : sum)], shape: [])
    guard inputs.isAnyTracked else { return result }
    // Once they are handed out they belong to whoever asked: they are large, and multiplied where they are.
    let kept = Guarded<Gradients?>(found)
    return result.derived(from: inputs) { upstream, asked in
      let gradients = kept.withLock { $0.take() } ?? run(wanted).gradients
      // Of no rows at all they are 0, whatever the mean of nothing is.
      return scaled(gradients, by: labels.isEmpty ? 1 : upstream.scalars[0] * share, places: places, asked: asked)
    }
  }

  /// The gradients that are asked for, times a factor.
  private func scaled(
    _ gradients: consuming Gradients, by factor: Float, places: [Place], asked: [Bool]
  ) -> [Tensor?] {
    var gradients = gradients
    return zip(places, asked).map { place, isAsked in
      guard isAsked else { return nil }
      var gradient =
        switch place {
        case .rows: gradients.rows.take()
        case .weight: gradients.weight.take()
        case .bias: gradients.bias.take()
        }
      gradient?.scale(by: factor)
      return place == .rows ? gradient.map(spread) : gradient
    }
  }
}

extension Tensor {
  /// Multiplies every scalar, in place where nobody shares the storage.
  fileprivate mutating func scale(by factor: Float) {
    guard factor != 1, count > 0 else { return }
    let count = count
    rewrite { old, new in
      let (old, new) = (Unchecked(old), Unchecked(new))
      forEachChunk(of: count) { range in
        KernelSet.kernels.pointee.scale(
          old.value + range.lowerBound, factor, new.value + range.lowerBound, range.count)
      }
    }
  }
}
