import AttentionTensors
import CAttentionKernels

/// The gradients of one call. With a the softmax's shares, g the Gaussian factor (1 without one), A = a·g the weights and
/// dA_ij = dO_i · v_j + dW_ij: da = dA·g, ds = a·(da − Σ a·da), and for the centre dp = Σ dA·A·(s − p)/σ².
///
/// First ds of every cell, in as much memory as the weights; then what flows on from it. The tanh of a pair is computed
/// again, once, in columns: a column of Q's, K's and v's gradients needs that column alone, so tasks share nothing.
extension PairwiseAttention {
  /// - Parameters:
  ///   - weights: what ``forward(keepingWeights:)`` kept.
  ///   - ofContext: the upstream gradient of the context, nil where none came.
  ///   - ofWeights: that of the weights.
  ///   - wanted: of query, key, value, then v if there is one, then the centres if there are any.
  func gradients(weights: Tensor, ofContext: Tensor?, ofWeights: Tensor?, wanted: [Bool]) -> [Tensor?] {
    let hasV = score.v != nil
    let wantsV = hasV && wanted[3]
    let wantsCentres = window != nil && wanted[hasV ? 4 : 3]
    var result: [Tensor?] = [nil, nil, wanted[2] ? ofContext.map { valueGradient(weights, $0) } : nil]
    if hasV { result.append(nil) }
    guard wanted[0] || wanted[1] || wantsV || wantsCentres else {
      if window != nil { result.append(nil) }
      return result
    }
    let (scores, centres) = scoreGradients(weights, ofContext: ofContext, ofWeights: ofWeights)
    switch score {
    case .dot:
      if wanted[0] { result[0] = queryGradientOfProducts(scores) }
      if wanted[1] { result[1] = sumOverQueries(scores, of: query) }
    case .additive(let v):
      if wanted[0] || wanted[1] || wantsV {
        let found = additiveGradients(scores, v)
        (result[0], result[1], result[3]) = (found.query, found.key, found.v)
      }
    }
    if window != nil { result.append(wantsCentres ? centres : nil) }
    return result
  }

  /// dV_j = Σ_i A_ij · dO_i.
  private func valueGradient(_ weights: Tensor, _ ofContext: Tensor) -> Tensor {
    sumOverQueries(weights, of: ofContext)
  }

  /// For each key, the sum of its cells times the rows of a tensor `[query tokens, n]`.
  private func sumOverQueries(_ cells: Tensor, of rows: Tensor) -> Tensor {
    let width = rows.shape[1]
    let tasks = keyTasks(width: width)
    var sum = Tensor(zeros: [keyLayout.tokenCount, width])
    sum.withUnsafeMutableBufferPointer { sums in
      let sums = Unchecked(sums.baseAddress!)
      WorkerPool.shared.forEachWithoutProducts(tasks.count, inline: tasks.count < 2) { index in
        let task = tasks[index]
        for query in 0..<self.layout.lengths[task.sequence] {
          let row = rows.unsafeBase + (self.layout.offsets[task.sequence] + query) * width
          let shares = cells.unsafeBase + self.cell(task.sequence, query)
          for key in task.rows where shares[key] != 0 {
            let target = sums.value + (self.keyLayout.offsets[task.sequence] + key) * width
            self.kernels.pointee.axpy(shares[key], row, target, width)
          }
        }
      }
    }
    return sum
  }

  /// Rows of keys, cut by the shapes alone.
  private func keyTasks(width: Int) -> [RowTask] {
    var tasks: [RowTask] = []
    for (sequence, keys) in keyLayout.lengths.enumerated() where keys > 0 {
      let step = max(8, (1 << 16) / max(1, layout.lengths[sequence] * width))
      for first in stride(from: 0, to: keys, by: step) {
        tasks.append(RowTask(sequence: sequence, rows: first..<min(keys, first + step)))
      }
    }
    return tasks
  }

  /// ds of all cells, 0 behind masks and outside windows; and the centres' gradient.
  private func scoreGradients(
    _ weights: Tensor, ofContext: Tensor?, ofWeights: Tensor?
  ) -> (scores: Tensor, centres: Tensor) {
    let tasks = rowTasks { $0 * max(16, self.valueWidth) }
    var scores = Tensor(zeros: weights.shape)
    var centres = Tensor(zeros: [layout.tokenCount])
    scores.withUnsafeMutableBufferPointer { scores in
      centres.withUnsafeMutableBufferPointer { centres in
        let (scores, centres) = (Unchecked(scores.baseAddress!), Unchecked(centres.baseAddress!))
        WorkerPool.shared.forEachWithoutProducts(tasks.count, inline: tasks.count < 2) { index in
          let task = tasks[index]
          for row in task.rows {
            let cell = self.cell(task.sequence, row)
            let token = self.layout.offsets[task.sequence] + row
            centres.value[token] = self.scoreGradients(
              task.sequence, row, shares: weights.unsafeBase + cell,
              ofContext: ofContext.map { $0.unsafeBase + token * self.valueWidth },
              ofWeights: ofWeights.map { $0.unsafeBase + cell }, into: scores.value + cell)
          }
        }
      }
    }
    return (scores, centres)
  }

  /// One row of ds; answers the gradient of its centre.
  private func scoreGradients(
    _ sequence: Int, _ row: Int, shares: UnsafePointer<Float>, ofContext: UnsafePointer<Float>?,
    ofWeights: UnsafePointer<Float>?, into scores: UnsafeMutablePointer<Float>
  ) -> Float {
    let keys = keys(sequence: sequence, query: row)
    let centre = centre(sequence, row)
    let gaussian = window.flatMap { $0.hasGaussian ? $0 : nil }
    // Σ A·dA is Σ a·da: the factor stands in one of the two.
    var sum = 0.0
    var moment = 0.0
    for key in keys where shares[key] != 0 {
      var gradient = ofWeights?[key] ?? 0
      if let ofContext { gradient += kernels.pointee.dot(ofContext, valueRow(sequence, key), valueWidth) }
      scores[key] = gradient
      let share = Double(shares[key]) * Double(gradient)
      sum += share
      moment += share * (Double(key) - Double(centre))
    }
    for key in keys where shares[key] != 0 {
      // a = A / g; inside a window g is at least e⁻².
      let factor = gaussian?.factor(at: key, around: centre) ?? 1
      scores[key] = shares[key] / factor * Float(Double(scores[key]) * Double(factor) - sum)
    }
    guard let gaussian else { return 0 }
    let deviation = Double(gaussian.reach) / 2
    return Float(moment / (deviation * deviation))
  }

  /// dQ_i = Σ_j ds_ij · k_j.
  private func queryGradientOfProducts(_ scores: Tensor) -> Tensor {
    let tasks = rowTasks { $0 * self.width }
    var gradient = Tensor(zeros: query.shape)
    gradient.withUnsafeMutableBufferPointer { rows in
      let rows = Unchecked(rows.baseAddress!)
      WorkerPool.shared.forEachWithoutProducts(tasks.count, inline: tasks.count < 2) { index in
        let task = tasks[index]
        for row in task.rows {
          let factors = scores.unsafeBase + self.cell(task.sequence, row)
          let target = rows.value + (self.layout.offsets[task.sequence] + row) * self.width
          for key in self.keys(sequence: task.sequence, query: row) where factors[key] != 0 {
            self.kernels.pointee.axpy(factors[key], self.keyRow(task.sequence, key), target, self.width)
          }
        }
      }
    }
    return gradient
  }

  /// The columns that one task of the additive gradients takes: what its rows hold stays in the first cache.
  private static let columnsPerTask = 64

  /// With t = tanh(q_i + k_j): dQ_i and dK_j get ds_ij·v·(1 − t²), dv gets ds_ij·t.
  private func additiveGradients(_ scores: Tensor, _ v: Tensor) -> (query: Tensor, key: Tensor, v: Tensor) {
    let width = width
    let blocks = (width + Self.columnsPerTask - 1) / Self.columnsPerTask
    let sequences = layout.sequenceCount
    var ofQuery = Tensor(zeros: query.shape)
    var ofKey = Tensor(zeros: key.shape)
    var sums = [Double](repeating: 0, count: max(1, sequences * width))
    ofQuery.withUnsafeMutableBufferPointer { queries in
      ofKey.withUnsafeMutableBufferPointer { keys in
        sums.withUnsafeMutableBufferPointer { sums in
          let (queries, keys) = (Unchecked(queries.baseAddress!), Unchecked(keys.baseAddress!))
          let sums = Unchecked(sums.baseAddress!)
          let isSmall = cells[cells.count - 1] * width < 1 << 15
          WorkerPool.shared.forEachWithoutProducts(sequences * blocks, inline: isSmall) { task in
            let (sequence, block) = task.quotientAndRemainder(dividingBy: blocks)
            let first = block * Self.columnsPerTask
            self.additiveGradients(
              sequence, columns: first..<min(width, first + Self.columnsPerTask), scores, v, queries.value, keys.value,
              sums.value + sequence * width)
          }
        }
      }
    }
    let ofV = Tensor(
      (0..<width).map { column in Float((0..<sequences).reduce(0.0) { $0 + sums[$1 * width + column] }) },
      shape: [width])
    return (ofQuery, ofKey, ofV)
  }

  /// Some columns of one sequence.
  private func additiveGradients(
    _ sequence: Int, columns: Range<Int>, _ scores: Tensor, _ v: Tensor, _ queries: UnsafeMutablePointer<Float>,
    _ keys: UnsafeMutablePointer<Float>, _ sums: UnsafeMutablePointer<Double>
  ) {
    let first = columns.lowerBound
    withUnsafeTemporaryAllocation(of: Float.self, capacity: Self.columnsPerTask) { ofV in
      for row in 0..<layout.lengths[sequence] {
        let visible = self.keys(sequence: sequence, query: row)
        guard !visible.isEmpty else { continue }
        ofV.initialize(repeating: 0)
        let key = keyLayout.offsets[sequence] + visible.lowerBound
        kernels.pointee.additive_gradients(
          queryRow(sequence, row) + first, self.key.unsafeBase + key * width + first, width, v.unsafeBase + first,
          scores.unsafeBase + cell(sequence, row) + visible.lowerBound,
          queries + (layout.offsets[sequence] + row) * width + first, keys + key * width + first, width,
          ofV.baseAddress!, visible.count, columns.count)
        // Row after row in float64: thousands of rows lose no digits.
        for column in columns { sums[column] += Double(ofV[column - first]) }
      }
    }
  }
}
