import CAttentionKernels

/// The layer norm of each row, over the last axis: (x − mean) / √(variance + ε) · weight + bias (Ba et al., 1607.06450).
///
/// The variance is the biased one. A row's result depends on that row alone: its neighbours change nothing, and a NaN in
/// one stays there. Accurate where the mean is large beside the spread. O(count).
///
/// - Parameters:
///   - x: rows, `[…, d]`.
///   - weight: one factor for each column, `[d]`; nil is 1.
///   - bias: what is added to each column, `[d]`; nil is 0.
///   - epsilon: added to the variance.
/// - Returns: the normalised rows, of x's shape.
/// - Precondition: x has an axis, and weight and bias its length.
public func layerNorm(
  _ x: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5
) -> Tensor {
  RowNorm(kind: .layer, x: x, residual: nil, weight: weight, bias: bias, epsilon: epsilon).results()[0]
}

/// The layer norm of x + residual, and that sum, in one pass: what stands between the parts of a transformer's block.
///
/// As ``layerNorm(_:weight:bias:epsilon:)`` otherwise. Gradients flow from both results.
///
/// - Precondition: x and the residual have the same shape.
public func layerNorm(
  _ x: Tensor, adding residual: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5
) -> (normalised: Tensor, sum: Tensor) {
  let results = RowNorm(kind: .layer, x: x, residual: residual, weight: weight, bias: bias, epsilon: epsilon).results()
  return (results[0], results[1])
}

/// As ``layerNorm(_:adding:weight:bias:epsilon:)``, where nobody asks for the sum: without gradients, it is not kept.
package func layerNorm(
  ofSum x: Tensor, _ residual: Tensor, weight: Tensor?, bias: Tensor?, epsilon: Float
) -> Tensor {
  RowNorm(kind: .layer, x: x, residual: residual, weight: weight, bias: bias, epsilon: epsilon)
    .results(keepingSum: false)[0]
}

/// The RMS norm of each row, over the last axis: x / √(mean(x²) + ε) · weight (Zhang and Sennrich, 1910.07467).
///
/// A row's result depends on that row alone. O(count).
///
/// - Parameters:
///   - x: rows, `[…, d]`.
///   - weight: one factor for each column, `[d]`; nil is 1.
///   - bias: what is added to each column, `[d]`; nil is 0, as in the paper.
///   - epsilon: added to the mean square; PyTorch's is the float's epsilon, 2⁻²³.
/// - Returns: the normalised rows, of x's shape.
/// - Precondition: x has an axis, and weight and bias its length.
public func rmsNorm(
  _ x: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = .ulpOfOne
) -> Tensor {
  RowNorm(kind: .rootMeanSquare, x: x, residual: nil, weight: weight, bias: bias, epsilon: epsilon).results()[0]
}

/// The RMS norm of x + residual, and that sum, in one pass.
///
/// As ``rmsNorm(_:weight:bias:epsilon:)`` otherwise. Gradients flow from both results.
///
/// - Precondition: x and the residual have the same shape.
public func rmsNorm(
  _ x: Tensor, adding residual: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = .ulpOfOne
) -> (normalised: Tensor, sum: Tensor) {
  let norm = RowNorm(
    kind: .rootMeanSquare, x: x, residual: residual, weight: weight, bias: bias, epsilon: epsilon)
  let results = norm.results()
  return (results[0], results[1])
}

/// As ``rmsNorm(_:adding:weight:bias:epsilon:)``, where nobody asks for the sum: without gradients, it is not kept.
package func rmsNorm(
  ofSum x: Tensor, _ residual: Tensor, weight: Tensor?, epsilon: Float
) -> Tensor {
  RowNorm(kind: .rootMeanSquare, x: x, residual: residual, weight: weight, bias: nil, epsilon: epsilon)
    .results(keepingSum: false)[0]
}

/// One call of a norm over rows.
private struct RowNorm {
  enum Kind {
    case layer
    case rootMeanSquare
  }

  let kind: Kind
  let x: Tensor
  let residual: Tensor?
  let weight: Tensor?
  let bias: Tensor?
  let epsilon: Float

  init(kind: Kind, x: Tensor, residual: Tensor?, weight: Tensor?, bias: Tensor?, epsilon: Float) {
    let name = kind == .layer ? "layerNorm" : "rmsNorm"
    require(x.rank >= 1, "\(name): a tensor of rank 0 has no rows")
    let width = [x.shape[x.rank - 1]]
    require(
      weight.map { $0.shape == width } ?? true && bias.map { $0.shape == width } ?? true,
      "\(name): weight \(weight?.shape ?? []) and bias \(bias?.shape ?? []) for rows of \(x.shape)")
    if let residual {
      require(residual.shape == x.shape, "\(name): a residual \(residual.shape) is added to \(x.shape)")
    }
    (self.kind, self.x, self.residual, self.epsilon) = (kind, x, residual, epsilon)
    (self.weight, self.bias) = (weight, bias)
  }

  /// The normalised rows, and the sum where there is a residual.
  ///
  /// - Parameter keepingSum: whether the sum is wanted even where the way back does not need it.
  func results(keepingSum: Bool = true) -> [Tensor] {
    let inputs = [x, residual, weight, bias].compactMap { $0 }
    let rows = RowCut(shape: x.shape)
    let statistics = inputs.isAnyTracked ? Tensor(uninitialized: [rows.count, perRow]) { _ in } : nil
    let results = computed(rows, statistics: statistics, keepingSum: keepingSum || statistics != nil)
    guard let statistics else { return results }

    let isRowTracked = [x, residual].compactMap { $0 }.isAnyTracked
    let (hasWeight, hasBias, hasResidual) = (weight != nil, bias != nil, residual != nil)
    let backward = RowNormGradient(
      kernel: kind == .layer
        ? KernelSet.kernels.pointee.layer_norm_gradient : KernelSet.kernels.pointee.rms_norm_gradient,
      rows: rows, statistics: statistics, perRow: perRow,
      // What was normalised.
      source: isRowTracked || weight?.isTracked == true ? (results.count > 1 ? results[1] : x.detached()) : nil,
      weight: isRowTracked ? weight?.detached() : nil)
    return Tensor.derived(results, from: inputs) { upstream, wanted in
      var wanted = wanted[...]
      let (ofX, ofResidual) = (wanted.removeFirst(), hasResidual && wanted.removeFirst())
      let (ofWeight, ofBias) = (hasWeight && wanted.removeFirst(), hasBias && wanted.removeFirst())
      let found = backward.gradients(
        upstream[0], ofSum: hasResidual ? upstream[1] : nil, ofRows: ofX || ofResidual, ofWeight: ofWeight,
        ofBias: ofBias)
      var gradients = [ofX ? found.rows : nil]
      if hasResidual { gradients.append(ofResidual ? found.rows : nil) }
      if hasWeight { gradients.append(found.weight) }
      if hasBias { gradients.append(found.bias) }
      return gradients
    }
  }

  private var perRow: Int { kind == .layer ? Int(ATTENTION_LAYER_NORM_STATISTICS) : 1 }

  private func computed(_ rows: RowCut, statistics: Tensor?, keepingSum: Bool) -> [Tensor] {
    let kernels = KernelSet.kernels
    let kernel = kind == .layer ? kernels.pointee.layer_norm : kernels.pointee.rms_norm
    let sum = residual == nil || !keepingSum ? nil : Tensor(uninitialized: x.shape) { _ in }
    let result = Tensor(uninitialized: x.shape) { buffer in
      guard !buffer.isEmpty else { return }
      let pointers = Unchecked(
        (
          // A sum that nobody keeps is normalised in place.
          x: x.unsafeBase, residual: residual?.unsafeBase, sum: sum?.storage.base ?? buffer.baseAddress!,
          weight: weight?.unsafeBase, bias: bias?.unsafeBase, y: buffer.baseAddress!,
          statistics: statistics?.storage.base
        ))
      let (epsilon, perRow) = (epsilon, perRow)
      rows.forEachTask { range in
        let (value, first) = (pointers.value, range.lowerBound * rows.width)
        var norm = attention_norm(
          x: value.x + first, residual: value.residual.map { $0 + first }, sum: value.sum + first,
          weight: value.weight, bias: value.bias, epsilon: epsilon, y: value.y + first,
          statistics: value.statistics.map { $0 + range.lowerBound * perRow }, rows: range.count, n: rows.width)
        kernel(&norm)
      }
    }
    return [result] + [sum].compactMap { $0 }
  }
}
