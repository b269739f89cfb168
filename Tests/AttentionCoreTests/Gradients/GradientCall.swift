import Attention
import AttentionBenchmarks
import Testing

/// A call of attention over 4-D tensors and what flows back into it.
struct GradientCall: Sendable {
  var query: Tensor
  var key: Tensor
  var value: Tensor
  var mask = AttentionMask.none
  var options = AttentionOptions()
  var upstream: Tensor
  var logSumExpUpstream: Tensor?

  init(
    query: Tensor, key: Tensor, value: Tensor, mask: AttentionMask = .none, options: AttentionOptions = .init(),
    hasLogSumExp: Bool = true, seed: UInt64 = 5
  ) {
    (self.query, self.key, self.value, self.mask, self.options) = (query, key, value, mask, options)
    var generator = SeededGenerator(seed: seed)
    let rows = Array(query.shape.dropLast())
    upstream = Tensor(randomNormal: rows + [value.shape[3]], using: &generator)
    logSumExpUpstream = hasLogSumExp ? Tensor(randomNormal: rows, using: &generator) : nil
  }

  init(_ test: AttentionCase, hasLogSumExp: Bool = true) {
    let (query, key, value) = test.operands
    self.init(
      query: query, key: key, value: value, mask: test.mask, options: test.options, hasLogSumExp: hasLogSumExp)
  }

  /// Gradients of query, key, value and the biases in the mask, those that are tracked; else nil.
  func gradients(
    _ path: AttentionPath, query tracksQuery: Bool = true, key tracksKey: Bool = true, value tracksValue: Bool = true,
    biases tracksBiases: Bool = true
  ) -> [Tensor?] {
    let inputs = [query, key, value]
    let flags = [tracksQuery, tracksKey, tracksValue]
    let leaves = zip(inputs, flags).map { $1 ? $0.tracked() : $0 }
    var biases: [Tensor] = []
    var tracked = mask
    tracked.conditions = mask.conditions.map {
      guard tracksBiases, case .bias(let values) = $0 else { return $0 }
      biases.append(values.tracked())
      return .bias(biases[biases.count - 1])
    }
    var options = options
    options.path = path
    let extras: AttentionExtras = logSumExpUpstream == nil ? [] : .logSumExp
    let result = scaledDotProductAttention(
      query: leaves[0], key: leaves[1], value: leaves[2], mask: tracked, options: options, returning: extras)
    let wanted = (leaves + biases).filter(\.isTracked)
    var results = [result.output]
    var upstreams = [upstream]
    if let logSumExpUpstream {
      results.append(result.logSumExp!)
      upstreams.append(logSumExpUpstream)
    }
    var found = Attention.gradients(of: results, upstream: upstreams, withRespectTo: wanted).makeIterator()
    return (leaves + biases).map { $0.isTracked ? found.next()! : nil }
  }

  var reference: [[Double]] { reference { _, _, _, _ in 1 } }

  func reference(factor: (Int, Int, Int, Int) -> Double) -> [[Double]] {
    let found = ReferenceGradients(
      query: query, key: key, value: value, upstream: upstream, logSumExpUpstream: logSumExpUpstream, mask: mask,
      options: options, factor: factor)
    return [found.query, found.key, found.value] + found.biases
  }
}

/// The largest error beyond `absolute` + `relative` · |x|, where |x| is at least the tensor's root mean square; below or at
/// 0 is within.
func excess(_ actual: [Tensor?], _ expected: [[Double]], absolute: Double = 1e-5, relative: Double = 1e-5) -> Double {
  var worst = -Double.infinity
  for (tensor, values) in zip(actual, expected) {
    guard let tensor else { continue }
    guard tensor.count == values.count else { return .infinity }
    let size = (values.reduce(0) { $0 + $1 * $1 } / Double(max(1, values.count))).squareRoot()
    for (value, wanted) in zip(tensor.scalars, values) {
      let error = abs(Double(value) - wanted) - absolute - relative * max(size, abs(wanted))
      worst = max(worst, error.isNaN ? .infinity : error)
    }
  }
  return worst
}

/// The largest error.
func largestError(_ actual: [Tensor?], _ expected: [[Double]]) -> Double {
  excess(actual, expected, absolute: 0, relative: 0)
}

func hasEqualBits(_ left: [Tensor?], _ right: [Tensor?]) -> Bool {
  left.count == right.count
    && zip(left, right).allSatisfy { a, b in
      guard let a, let b else { return a == nil && b == nil }
      return a.hasBitsOrNaN(of: b)
    }
}
