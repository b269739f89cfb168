import AttentionTensors
import CAttentionKernels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How the score of a query and a key is formed where it is formed pair by pair.
package enum PairwiseScore: Sendable {
  /// q · k.
  case dot
  /// v · tanh(q + k).
  case additive(v: Tensor)

  var v: Tensor? {
    if case .additive(let v) = self { v } else { nil }
  }
}

/// Where a query looks: at the keys within `reach` of its centre.
package struct AlignmentWindow: Sendable {
  /// `[query tokens]`: a position in the source, not always a whole one.
  package let centres: Tensor
  package let reach: Int
  /// Whether weights are multiplied by exp(−(s − centre)² / 2σ²) with σ = reach / 2, after the softmax.
  package let hasGaussian: Bool

  package init(centres: Tensor, reach: Int, hasGaussian: Bool) {
    self.centres = centres
    self.reach = reach
    self.hasGaussian = hasGaussian
  }

  /// The keys that lie in a window, of those that a query sees.
  func keys(around centre: Float, of visible: Range<Int>) -> Range<Int> {
    // A centre that is not a number lies nowhere, and shows in the weights of all.
    guard !centre.isNaN, !visible.isEmpty else { return visible }
    // In float64 the sums are exact, and what lies beyond the source needs no position.
    let bounds = -1.0...Double(visible.upperBound)
    func clamped(_ position: Double) -> Int { Int(min(max(position, bounds.lowerBound), bounds.upperBound)) }
    let lower = max(visible.lowerBound, clamped((Double(centre) - Double(reach)).rounded(.up)))
    let upper = min(visible.upperBound, clamped((Double(centre) + Double(reach)).rounded(.down)) + 1)
    return lower < upper ? lower..<upper : 0..<0
  }

  /// The Gaussian factor at a key: σ = reach / 2 makes the exponent −2·((s − centre) / reach)².
  func factor(at key: Int, around centre: Float) -> Float {
    let distance = (Float(key) - centre) / Float(reach)
    return expf(-2 * distance * distance)
  }
}

/// One call of attention whose scores are formed pair by pair: row after row, in memory of one row of scores, and of one
/// row's bits depending on its own query and the keys that it sees.
final class PairwiseAttention: @unchecked Sendable {
  // @unchecked: immutable; `mask` points at tensors that it keeps alive.

  let query: Tensor
  let key: Tensor
  let value: Tensor
  let score: PairwiseScore
  let window: AlignmentWindow?
  let layout: SequenceLayout
  let keyLayout: SequenceLayout
  let mask: MaskGeometry
  /// Where each sequence's cells begin, and after the last one their number.
  let cells: [Int]
  let kernels: UnsafePointer<attention_kernels>

  var width: Int { query.shape[1] }
  var valueWidth: Int { value.shape[1] }

  /// - Precondition: the widths fit each other, and the mask the layouts.
  init(_ rows: AlignmentRows, score: PairwiseScore, window: AlignmentWindow?, mask: AttentionMask, name: String) {
    require(
      rows.query.shape[1] == rows.key.shape[1] && score.v.map { $0.shape == [rows.query.shape[1]] } ?? true,
      """
      \(name): queries \(rows.query.shape) and keys \(rows.key.shape) differ in width, or from the vector of the scores\
      \(score.v.map { " \($0.shape)" } ?? "")
      """)
    require(
      window.map { $0.centres.shape == [rows.layout.tokenCount] && $0.reach > 0 } ?? true,
      "\(name): centres \(window?.centres.shape ?? []) and a reach of \(window?.reach ?? 0) for \(rows.query.shape)")
    for case .bias(let bias) in mask.conditions {
      require(!bias.isTracked, "\(name): no gradient flows to a bias \(bias.shape); pass it detached()")
    }
    query = rows.query.detached()
    key = rows.key.detached()
    value = rows.value.detached()
    self.score = score.v.map { .additive(v: $0.detached()) } ?? .dot
    self.window = window.map {
      AlignmentWindow(centres: $0.centres.detached(), reach: $0.reach, hasGaussian: $0.hasGaussian)
    }
    layout = rows.layout
    keyLayout = rows.keyLayout
    self.mask = MaskGeometry(
      mask, queryLengths: layout.lengths, keyLengths: keyLayout.lengths, heads: 1, isRagged: rows.isRagged)
    var cells = [0]
    for (queries, keys) in zip(layout.lengths, keyLayout.lengths) {
      cells.append(cells[cells.count - 1] + queries * keys)
    }
    self.cells = cells
    kernels = KernelSet.kernels
  }

  /// The keys that a query may score.
  func keys(sequence: Int, query: Int) -> Range<Int> {
    let visible = mask.interval(sequence: sequence, head: 0, query: query)
    guard let window else { return visible }
    return window.keys(around: centre(sequence, query), of: visible)
  }

  func centre(_ sequence: Int, _ query: Int) -> Float {
    window.map { $0.centres.unsafeBase[layout.offsets[sequence] + query] } ?? 0
  }

  func queryRow(_ sequence: Int, _ row: Int) -> UnsafePointer<Float> {
    query.unsafeBase + (layout.offsets[sequence] + row) * width
  }

  func keyRow(_ sequence: Int, _ row: Int) -> UnsafePointer<Float> {
    key.unsafeBase + (keyLayout.offsets[sequence] + row) * width
  }

  func valueRow(_ sequence: Int, _ row: Int) -> UnsafePointer<Float> {
    value.unsafeBase + (keyLayout.offsets[sequence] + row) * valueWidth
  }

  /// Where a query's row of cells begins.
  func cell(_ sequence: Int, _ row: Int) -> Int { cells[sequence] + row * keyLayout.lengths[sequence] }

  // MARK: Tasks

  struct RowTask: Sendable {
    let sequence: Int
    let rows: Range<Int>
  }

  /// All rows of queries, cut into tasks by the shapes alone.
  ///
  /// - Parameter work: about how many operations a row costs, by the keys of its sequence.
  func rowTasks(work: (_ keys: Int) -> Int) -> [RowTask] {
    var tasks: [RowTask] = []
    for (sequence, queries) in layout.lengths.enumerated() where queries > 0 {
      let step = max(1, (1 << 16) / max(1, work(keyLayout.lengths[sequence])))
      for first in stride(from: 0, to: queries, by: step) {
        tasks.append(RowTask(sequence: sequence, rows: first..<min(queries, first + step)))
      }
    }
    return tasks
  }

  // MARK: Forward

  /// The context `[query tokens, dv]`, and the weights of all cells if they are to be kept.
  func forward(keepingWeights: Bool) -> (context: Tensor, weights: Tensor?) {
    let longest = keyLayout.lengths.max() ?? 0
    let tasks = rowTasks { $0 * (self.width + self.valueWidth) }
    var context = Tensor(zeros: [layout.tokenCount, valueWidth])
    var weights = keepingWeights ? Tensor(zeros: [cells[cells.count - 1]]) : nil
    context.withUnsafeMutableBufferPointer { contexts in
      let contexts = Unchecked(contexts.baseAddress!)
      let kept = Unchecked(weights?.withUnsafeMutableBufferPointer { $0.baseAddress! })
      WorkerPool.shared.forEachWithoutProducts(tasks.count, inline: tasks.count < 2) { index in
        let task = tasks[index]
        let scratch = TensorStorage(minimumCapacity: 2 * longest)
        let (scores, shares) = (scratch.base, scratch.base + longest)
        for row in task.rows {
          let keys = self.keys(sequence: task.sequence, query: row)
          guard !keys.isEmpty else { continue }
          self.align(task.sequence, row, keys, scores: scores, shares: shares)
          let context = contexts.value + (self.layout.offsets[task.sequence] + row) * self.valueWidth
          for (position, key) in keys.enumerated() {
            // A value behind a mask may hold anything.
            if scores[position] == -.infinity, shares[position] == 0 { continue }
            self.kernels.pointee.axpy(
              shares[position], self.valueRow(task.sequence, key), context, self.valueWidth)
          }
          kept.value.map {
            ($0 + self.cell(task.sequence, row) + keys.lowerBound).update(from: shares, count: keys.count)
          }
        }
        withExtendedLifetime(scratch) {}
      }
    }
    return (context, weights)
  }

  /// The masked scores of a row's keys, and their shares.
  private func align(
    _ sequence: Int, _ row: Int, _ keys: Range<Int>, scores: UnsafeMutablePointer<Float>,
    shares: UnsafeMutablePointer<Float>
  ) {
    let (query, first) = (queryRow(sequence, row), keyRow(sequence, keys.lowerBound))
    switch score {
    case .dot:
      for position in 0..<keys.count {
        scores[position] = kernels.pointee.dot(query, first + position * width, width)
      }
    case .additive(let v):
      kernels.pointee.additive_scores(query, first, width, v.unsafeBase, scores, keys.count, width)
    }
    mask.apply(to: scores, sequence: sequence, head: 0, query: row, keys: keys, kernels: kernels)
    let maximum = kernels.pointee.max(scores, keys.count)
    if maximum.isFinite {
      let sum = kernels.pointee.exp_sum(scores, maximum, shares, keys.count)
      kernels.pointee.scale(shares, 1 / sum, shares, keys.count)
    } else {
      // Nothing in sight, or what is in sight is NaN or infinite, of which the formula makes NaN.
      let seesNothing =
        maximum == -.infinity
        && mask.seesNothing(sequence: sequence, head: 0, query: row, keys: keys, kernels: kernels)
      for position in 0..<keys.count {
        let isBehindMask = seesNothing || (maximum != -.infinity && scores[position] == -.infinity)
        shares[position] = isBehindMask ? 0 : .nan
      }
    }
    guard let window, window.hasGaussian else { return }
    let centre = centre(sequence, row)
    for (position, key) in keys.enumerated() where scores[position] != -.infinity {
      shares[position] *= window.factor(at: key, around: centre)
    }
  }
}
