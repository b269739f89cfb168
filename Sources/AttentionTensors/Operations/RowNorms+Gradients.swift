import CAttentionKernels

/// The way back through a norm over rows, and what it keeps.
struct RowNormGradient: Sendable {
  let kernel: @convention(c) (UnsafePointer<attention_norm_gradient>) -> Void
  let rows: RowCut
  let statistics: Tensor
  let perRow: Int
  /// What was normalised, where the gradients of rows or weight can be wanted.
  let source: Tensor?
  /// Where the gradient of the rows can be wanted.
  let weight: Tensor?

  /// - Parameters:
  ///   - upstream: the gradient of the normalised rows; nil for zeros.
  ///   - ofSum: the gradient of what was normalised, from elsewhere.
  func gradients(
    _ upstream: Tensor?, ofSum: Tensor?, ofRows: Bool, ofWeight: Bool, ofBias: Bool
  ) -> (rows: Tensor?, weight: Tensor?, bias: Tensor?) {
    guard let upstream else { return (ofSum, nil, nil) }
    let result = ofRows ? Tensor(uninitialized: upstream.shape) { _ in } : nil
    guard upstream.count > 0 else {
      let zeros = Tensor(zeros: [rows.width])
      return (result, ofWeight ? zeros : nil, ofBias ? zeros : nil)
    }
    let pointers = Unchecked(
      (
        upstream: upstream.unsafeBase, x: source?.unsafeBase, statistics: statistics.unsafeBase,
        weight: weight?.unsafeBase, added: ofSum?.unsafeBase, ofX: result?.storage.base
      ))
    let needsSource = ofRows || ofWeight
    @Sendable func run(
      _ range: Range<Int>, _ weightSums: UnsafeMutablePointer<Float>?, _ biasSums: UnsafeMutablePointer<Float>?
    ) {
      let (value, first) = (pointers.value, range.lowerBound * rows.width)
      var norm = attention_norm_gradient(
        upstream: value.upstream + first, x: needsSource ? value.x.map { $0 + first } : nil,
        statistics: value.statistics + range.lowerBound * perRow, weight: value.weight,
        added: value.added.map { $0 + first }, of_x: value.ofX.map { $0 + first }, of_weight: weightSums,
        of_bias: biasSums, rows: range.count, n: rows.width)
      kernel(&norm)
    }
    defer { withExtendedLifetime((upstream, source, statistics, weight, ofSum, result)) {} }
    guard ofWeight || ofBias else {
      rows.forEachTask { run($0, nil, nil) }
      return (result, nil, nil)
    }
    let width = rows.width
    let sums = rows.sums((ofWeight ? 1 : 0) + (ofBias ? 1 : 0)) { range, sums in
      run(range, ofWeight ? sums : nil, ofBias ? sums + (ofWeight ? width : 0) : nil)
    }
    return (result, ofWeight ? sums[0] : nil, ofBias ? sums[sums.count - 1] : nil)
  }
}
