import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The cross-entropy of one row of logits with its label: log Σ exp(x) − (1 − ε)·x[label] − ε·mean(x), where ε is the label
/// smoothing, and the gradient of it, softmax(x) − (1 − ε)·one-hot − ε / classes.
struct CrossEntropyRow: Sendable {
  let classes: Int
  /// ε.
  let smoothing: Float

  /// The log-sum-exp of a row as its largest logit and the sum of the exponentials of the others' distances from it: one
  /// float for both would round differences of large logits away.
  struct LogSumExp: Sendable {
    var maximum: Float
    /// NaN where the largest logit is not finite.
    var sum: Float

    /// Of a row that is not looked at.
    static let unused = LogSumExp(maximum: 0, sum: 1)
  }

  /// - Precondition: the smoothing lies in 0...1.
  init(classes: Int, smoothing: Float, _ operation: String) {
    require((0...1).contains(smoothing), "\(operation): a smoothing of \(smoothing) is not in 0...1")
    self.classes = classes
    self.smoothing = smoothing
  }

  /// Stops where a label is neither a class nor the ignored one.
  func check(_ labels: [Int], ignoring ignored: Int?, _ operation: String) {
    for (row, label) in labels.enumerated() where (label < 0 || label >= classes) && label != ignored {
      fatalError("\(operation): the label \(label) of row \(row) is not one of \(classes) classes")
    }
  }

  /// The loss of a row, and its log-sum-exp.
  func loss(_ logits: UnsafePointer<Float>, label: Int) -> (loss: Float, part: LogSumExp) {
    let kernels = KernelSet.kernels
    let maximum = kernels.pointee.max(logits, classes)
    guard maximum.isFinite else { return (.nan, LogSumExp(maximum: maximum, sum: .nan)) }
    let part = LogSumExp(maximum: maximum, sum: kernels.pointee.sum_of_exp(logits, maximum, classes))
    return (distance(of: logits, label: label, from: maximum) + logf(part.sum), part)
  }

  /// The gradient of a row's loss times a factor.
  func writeGradient(
    _ logits: UnsafePointer<Float>, _ part: LogSumExp, label: Int, factor: Float,
    into result: UnsafeMutablePointer<Float>
  ) {
    guard part.maximum.isFinite else { return result.update(repeating: .nan, count: classes) }
    let kernels = KernelSet.kernels
    kernels.pointee.weights_row(logits, part.maximum, factor / part.sum, result, classes)
    if smoothing > 0 {
      kernels.pointee.scale_and_shift(result, 1, -factor * smoothing / Float(classes), result, classes)
    }
    result[label] -= factor * (1 - smoothing)
  }

  /// The loss of a row, whose logits become its gradient.
  func lossReplacingByGradient(_ logits: UnsafeMutablePointer<Float>, label: Int) -> Float {
    let kernels = KernelSet.kernels
    let maximum = kernels.pointee.max(logits, classes)
    guard maximum.isFinite else {
      logits.update(repeating: .nan, count: classes)
      return .nan
    }
    let distance = distance(of: logits, label: label, from: maximum)
    let sum = kernels.pointee.exp_sum(logits, maximum, logits, classes)
    if smoothing > 0 {
      kernels.pointee.scale_and_shift(logits, 1 / sum, -smoothing / Float(classes), logits, classes)
    } else {
      kernels.pointee.scale(logits, 1 / sum, logits, classes)
    }
    logits[label] -= 1 - smoothing
    return distance + logf(sum)
  }

  /// How far what the label asks for lies below the largest logit.
  private func distance(of logits: UnsafePointer<Float>, label: Int, from maximum: Float) -> Float {
    let distance = maximum - logits[label]
    guard smoothing > 0 else { return distance }
    let all = KernelSet.kernels.pointee.sum_of_differences(logits, maximum, classes)
    return (1 - smoothing) * distance - smoothing * (all / Float(classes))
  }
}
