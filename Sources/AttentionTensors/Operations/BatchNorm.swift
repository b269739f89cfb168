import CAttentionKernels

/// The mean and the variance of each column of a batch.
public struct BatchStatistics: Sendable {
  /// The rows they were taken over.
  public let count: Int
  /// `[d]`.
  public let mean: Tensor
  /// `[d]`: the mean squared difference from the mean, which a batch is normalised with.
  public let biasedVariance: Tensor
  /// `[d]`: the estimate of what the batch was drawn from, n / (n − 1) times the biased one.
  public let unbiasedVariance: Tensor
}

/// The batch norm of rows by their own statistics, as in training: (x − mean) / √(variance + ε) · weight + bias for each
/// column, with its mean and biased variance over all rows (Ioffe and Szegedy, 1502.03167).
///
/// A ragged batch is its tokens laid end to end, so no padding enters. Every row's result depends on all of them. Sums run
/// in float64 over blocks of rows; accurate where the mean is large beside the spread. O(count).
///
/// - Parameters:
///   - x: `[tokens, d]`.
///   - weight: one factor for each column, `[d]`; nil is 1.
///   - bias: what is added to each column, `[d]`; nil is 0.
///   - epsilon: added to the variance.
/// - Returns: the normalised rows, and the statistics, which are not tracked.
/// - Precondition: there are at least two rows: one has no spread.
public func batchNorm(
  _ x: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5
) -> (normalised: Tensor, statistics: BatchStatistics) {
  checkBatch(x, weight, bias)
  require(
    x.shape[0] > 1, "batchNorm: expected more than 1 value for each column in training, got the shape \(x.shape)")
  let columns = ColumnMoments(of: x)
  let norm = ColumnNorm(
    rows: RowCut(shape: x.shape), mean: columns.mean, rest: columns.rest,
    factor: columns.factors(epsilon: epsilon))
  let result = norm.normalised(x, weight: weight, bias: bias)
  let statistics = columns.statistics
  let inputs = [x, weight, bias].compactMap { $0 }
  guard inputs.isAnyTracked else { return (result, statistics) }

  let source = x.isTracked || weight?.isTracked == true ? x.detached() : nil
  let kept = x.isTracked ? weight?.detached() : nil
  let (hasWeight, hasBias) = (weight != nil, bias != nil)
  let tracked = result.derived(from: inputs) { upstream, wanted in
    guard let source else { return [nil] + (hasWeight ? [nil] : []) + [norm.biasGradient(upstream)] }
    // The gradients of weight and bias are also what a row's gradient needs to know of all other rows.
    let (ofWeight, ofBias) = norm.sums(upstream, source)
    var gradients = [wanted[0] ? norm.gradient(upstream, source, weight: kept, sums: (ofWeight, ofBias)) : nil]
    if hasWeight { gradients.append(ofWeight) }
    if hasBias { gradients.append(ofBias) }
    return gradients
  }
  return (tracked, statistics)
}

/// The batch norm of rows by given statistics, as in inference: each row's result depends on that row alone.
///
/// - Parameters:
///   - x: `[tokens, d]`.
///   - mean: of each column, `[d]`; a constant.
///   - variance: of each column, `[d]`; a constant.
///   - weight: one factor for each column, `[d]`; nil is 1.
///   - bias: what is added to each column, `[d]`; nil is 0.
///   - epsilon: added to the variance.
/// - Returns: the normalised rows, of x's shape.
/// - Precondition: x is a matrix, and the others have its width.
public func batchNorm(
  _ x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor? = nil, bias: Tensor? = nil, epsilon: Float = 1e-5
) -> Tensor {
  checkBatch(x, weight, bias)
  require(
    mean.shape == [x.shape[1]] && variance.shape == mean.shape,
    "batchNorm: means \(mean.shape) and variances \(variance.shape) for rows of \(x.shape)")
  let factors = variance.scalars.map { Float(1 / (Double($0) + Double(epsilon)).squareRoot()) }
  let norm = ColumnNorm(
    rows: RowCut(shape: x.shape), mean: mean.detached(), rest: nil, factor: Tensor(factors, shape: mean.shape))
  let result = norm.normalised(x, weight: weight, bias: bias)
  let inputs = [x, weight, bias].compactMap { $0 }
  guard inputs.isAnyTracked else { return result }

  let source = weight?.isTracked == true ? x.detached() : nil
  let scale = x.isTracked ? weight.map { norm.factor * $0.detached() } ?? norm.factor : nil
  let (hasWeight, hasBias) = (weight != nil, bias != nil)
  return result.derived(from: inputs) { upstream, wanted in
    var gradients = [wanted[0] ? scale.map { upstream * $0 } : nil]
    let sums = source.map { norm.sums(upstream, $0) }
    if hasWeight { gradients.append(sums?.weight) }
    if hasBias { gradients.append(wanted.last == true ? sums?.bias ?? norm.biasGradient(upstream) : nil) }
    return gradients
  }
}

private func checkBatch(_ x: Tensor, _ weight: Tensor?, _ bias: Tensor?) {
  require(x.rank == 2, "batchNorm: a batch has the shape [tokens, d], not \(x.shape)")
  let width = [x.shape[1]]
  require(
    weight.map { $0.shape == width } ?? true && bias.map { $0.shape == width } ?? true,
    "batchNorm: weight \(weight?.shape ?? []) and bias \(bias?.shape ?? []) for rows of \(x.shape)")
}

/// The means and variances of a matrix's columns, in float64.
private struct ColumnMoments {
  let count: Int
  private var means: [Double]
  private var variances: [Double]

  init(of x: Tensor) {
    let rows = RowCut(shape: x.shape)
    let width = rows.width
    count = rows.count
    let source = Unchecked(x.unsafeBase)
    let shares = rows.blockShares(2) { range, share in
      KernelSet.kernels.pointee.column_moments(
        source.value + range.lowerBound * width, range.count, width, share, share + width)
    }
    means = [Double](repeating: 0, count: width)
    variances = means
    let base = Unchecked(shares.base)
    means.withUnsafeMutableBufferPointer { means in
      variances.withUnsafeMutableBufferPointer { variances in
        guard let (means, variances) = means.baseAddress.flatMap({ a in variances.baseAddress.map { (a, $0) } }) else {
          return
        }
        let (m, v, n) = (Unchecked(means), Unchecked(variances), Double(rows.count))
        rows.forEachStrip(of: width) { columns in
          let (first, length) = (columns.lowerBound, columns.count)
          // Twice over the blocks: squared differences from the mean need it.
          for block in 0..<rows.blocks {
            let range = rows.rows(ofBlock: block)
            let share = base.value + block * 2 * width + first
            KernelSet.kernels.pointee.add_moments(
              source.value + range.lowerBound * width + first, share, range.count, m.value + first, length)
          }
          for column in columns { m.value[column] /= n }
          for block in 0..<rows.blocks {
            let range = rows.rows(ofBlock: block)
            let share = base.value + block * 2 * width + first
            KernelSet.kernels.pointee.add_squares(
              source.value + range.lowerBound * width + first, share, share + width, range.count, m.value + first,
              v.value + first, length)
          }
          // Rounding may take a variance below 0; a NaN stays.
          for column in columns { v.value[column] = v.value[column] < 0 ? 0 : v.value[column] / n }
        }
      }
    }
    withExtendedLifetime((x, shares)) {}
  }

  private func tensor(_ values: [Float]) -> Tensor { Tensor(values, shape: [values.count]) }

  /// The means, and what is missing to them: a float's rounding error at a mean of 1e4 is a thousandth of a unit spread.
  var mean: Tensor { tensor(means.map { Float($0) }) }
  var rest: Tensor { tensor(means.map { Float($0 - Double(Float($0))) }) }
  func factors(epsilon: Float) -> Tensor { tensor(variances.map { Float(1 / ($0 + Double(epsilon)).squareRoot()) }) }

  var statistics: BatchStatistics {
    BatchStatistics(
      count: count, mean: mean, biasedVariance: tensor(variances.map { Float($0) }),
      unbiasedVariance: tensor(variances.map { Float($0 * Double(count) / Double(count - 1)) }))
  }
}

/// A norm of columns by statistics that are known.
private struct ColumnNorm: Sendable {
  let rows: RowCut
  let mean: Tensor
  let rest: Tensor?
  let factor: Tensor

  /// Calls `body` with the kernels' description of a range of x's rows, and the place of its first element.
  private func columns(_ x: Tensor) -> @Sendable (Range<Int>) -> attention_columns {
    let pointers = Unchecked((x.unsafeBase, mean.unsafeBase, rest?.unsafeBase, factor.unsafeBase))
    let width = rows.width
    return { range in
      let (x, mean, rest, factor) = pointers.value
      return attention_columns(
        x: x + range.lowerBound * width, mean: mean, rest: rest, factor: factor, rows: range.count, n: width)
    }
  }

  func normalised(_ x: Tensor, weight: Tensor?, bias: Tensor?) -> Tensor {
    Tensor(uninitialized: x.shape) { buffer in
      guard !buffer.isEmpty else { return }
      let columns = columns(x)
      let pointers = Unchecked((weight?.unsafeBase, bias?.unsafeBase, buffer.baseAddress!))
      rows.forEachTask { range in
        var block = columns(range)
        let (weight, bias, result) = pointers.value
        KernelSet.kernels.pointee.normalise_columns(&block, weight, bias, result + range.lowerBound * rows.width)
      }
      withExtendedLifetime((self, x, weight, bias)) {}
    }
  }

  /// Σ upstream·unit and Σ upstream over the rows.
  func sums(_ upstream: Tensor, _ x: Tensor) -> (weight: Tensor, bias: Tensor) {
    let columns = columns(x)
    let base = Unchecked(upstream.unsafeBase)
    let width = rows.width
    let sums = rows.sums(2) { range, share in
      var block = columns(range)
      KernelSet.kernels.pointee.column_gradient_sums(
        &block, base.value + range.lowerBound * width, share, share + width)
    }
    withExtendedLifetime((self, x, upstream)) {}
    return (sums[0], sums[1])
  }

  func biasGradient(_ upstream: Tensor) -> Tensor { upstream.sum(along: 0) }

  /// factor·weight·(upstream − mean(upstream) − unit·mean(upstream·unit)): what a row changes in the statistics included.
  func gradient(
    _ upstream: Tensor, _ x: Tensor, weight: Tensor?, sums: (weight: Tensor, bias: Tensor)
  ) -> Tensor {
    let share = 1 / Float(rows.count)
    let (shift, slope) = (sums.bias * share, sums.weight * share)
    let scale = weight.map { factor * $0 } ?? factor
    return Tensor(uninitialized: x.shape) { buffer in
      guard !buffer.isEmpty else { return }
      let columns = columns(x)
      let pointers = Unchecked(
        (upstream.unsafeBase, shift.unsafeBase, slope.unsafeBase, scale.unsafeBase, buffer.baseAddress!))
      rows.forEachTask { range in
        var block = columns(range)
        let (upstream, shift, slope, scale, result) = pointers.value
        let first = range.lowerBound * rows.width
        KernelSet.kernels.pointee.column_gradient(&block, upstream + first, shift, slope, scale, result + first)
      }
      withExtendedLifetime((self, x, upstream, shift, slope, scale)) {}
    }
  }
}
