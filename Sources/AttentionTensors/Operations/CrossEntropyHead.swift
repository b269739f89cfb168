import CAttentionKernels

/// The rows of one call of ``linearCrossEntropy(_:weight:bias:labels:ignoring:smoothing:reduction:)`` that have a label.
struct CrossEntropyHead: Sendable {
  /// The weight as it lies.
  enum Weight: Sendable {
    case rows(Tensor)
    case packed(PackedMatrix)
  }

  /// Which gradients are computed.
  struct Wanted: Sendable {
    var rows: Bool
    var weight: Bool
    var bias: Bool
    var isNone: Bool { !(rows || weight || bias) }
  }

  /// The gradients of the summed loss.
  struct Gradients: Sendable {
    var rows: Tensor?
    var weight: Tensor?
    var bias: Tensor?
  }

  let labels: [Int]
  /// `[labels, inputs]`.
  private let x: Tensor
  private let weight: Weight
  private let bias: Tensor?
  private let row: CrossEntropyRow
  private let inputs: Int
  /// Where the rows stood, if some were ignored, and among how many.
  private let places: [Int]?
  private let rowCount: Int

  init(_ x: Tensor, _ weight: Weight, bias: Tensor?, labels: [Int], ignored: Int?, smoothing: Float) {
    let classes: Int
    switch weight {
    case .rows(let rows): (classes, inputs) = (rows.shape[0], rows.shape[1])
    case .packed(let panels): (classes, inputs) = (panels.columns, panels.inner)
    }
    require(
      x.rank == 2 && x.shape[1] == inputs && bias.map { $0.shape == [classes] } ?? true,
      "linearCrossEntropy: rows \(x.shape) and a bias \(bias?.shape ?? []) for a weight [\(classes), \(inputs)]")
    require(x.shape[0] == labels.count, "linearCrossEntropy: \(labels.count) labels for rows \(x.shape)")
    row = CrossEntropyRow(classes: classes, smoothing: smoothing, "linearCrossEntropy")
    row.check(labels, ignoring: ignored, "linearCrossEntropy")
    rowCount = labels.count
    self.weight = weight
    self.bias = bias?.detached()
    let counted = labels.indices.filter { labels[$0] != ignored }
    let isWhole = counted.count == labels.count
    places = isWhole ? nil : counted
    self.labels = isWhole ? labels : counted.map { labels[$0] }
    self.x = isWhole ? x.detached() : x.detached().gathered(rows: counted)
  }

  /// A gradient of the rows at their places, and 0 for those that were ignored.
  func spread(_ gradient: Tensor) -> Tensor {
    guard let places else { return gradient }
    return Tensor(uninitialized: [rowCount, inputs]) { buffer in
      buffer.update(repeating: 0)
      guard let base = buffer.baseAddress else { return }
      for (index, place) in places.enumerated() {
        (base + place * inputs).update(from: gradient.unsafeBase + index * inputs, count: inputs)
      }
    }
  }

  // MARK: Pieces

  /// The floats from one row of logits to the next: an odd number of cache lines, so that the rows of a tile do not all
  /// fall on the same places of a cache.
  private var stride: Int { (row.classes + 15) / 16 * 16 | 16 }

  /// The rows that are done at once. Each piece adds to the whole gradient of the weight, which repays hundreds of rows; and
  /// while logits stay in the processor's cache, more are better. A function of the shape alone, as are the bits.
  private var pieces: [Range<Int>] {
    let classes = max(1, row.classes)
    let limit = max((1 << 21) / classes, min(512, (1 << 26) / classes), 64)
    let count = (labels.count + limit - 1) / limit
    guard count > 0 else { return [] }
    let height = ((labels.count + count - 1) / count + 7) / 8 * 8
    return Swift.stride(from: 0, to: labels.count, by: height).map { $0..<min(labels.count, $0 + height) }
  }

  /// The summed loss and the gradients of it.
  func run(_ wanted: Wanted) -> (sum: Double, gradients: Gradients) {
    let pieces = pieces
    let classes = row.classes
    guard !pieces.isEmpty, classes > 0 else { return (0, zeros(wanted)) }
    let panels = HeadPanels(weight, pieces: pieces.count, wantsRows: wanted.rows)
    let logits = TensorStorage(minimumCapacity: pieces[0].count * stride)
    var losses = [Float](repeating: 0, count: labels.count)
    var gradients = Gradients(
      rows: wanted.rows ? Tensor(uninitialized: [labels.count, inputs]) { _ in } : nil,
      weight: wanted.weight ? Tensor(uninitialized: [classes, inputs]) { _ in } : nil)
    var sums = [Double](repeating: 0, count: wanted.bias ? classes : 0)
    for piece in pieces {
      let rows = MatrixView(
        base: x.unsafeBase + piece.lowerBound * inputs, rows: piece.count, columns: inputs, rowStride: max(1, inputs))
      let view = MutableMatrixView(base: logits.base, rows: piece.count, columns: classes, rowStride: stride)
      panels.multiply(rows, into: view, bias: bias?.unsafeBase)
      losses.withUnsafeMutableBufferPointer { takeLosses(view, piece, keepsLogits: wanted.isNone, $0.baseAddress!) }
      guard !wanted.isNone else { continue }
      let slopes = MatrixView(view)
      gradients.rows?.withUnsafeMutableBufferPointer {
        panels.multiplyBack(
          slopes,
          into: MutableMatrixView(
            base: $0.baseAddress! + piece.lowerBound * inputs, rows: piece.count, columns: inputs,
            rowStride: max(1, inputs)))
      }
      gradients.weight?.withUnsafeMutableBufferPointer {
        TransposedProduct.multiply(
          slopes, rows,
          into: MutableMatrixView(base: $0.baseAddress!, rows: classes, columns: inputs, rowStride: max(1, inputs)),
          adding: piece.lowerBound > 0)
      }
      if wanted.bias { sums.withUnsafeMutableBufferPointer { addColumns(slopes, to: $0.baseAddress!) } }
    }
    withExtendedLifetime((x, bias, logits)) {}
    if wanted.bias { gradients.bias = Tensor(sums.map(Float.init), shape: [classes]) }
    return (losses.reduce(0) { $0 + Double($1) }, gradients)
  }

  private func zeros(_ wanted: Wanted) -> Gradients {
    Gradients(
      rows: wanted.rows ? Tensor(zeros: [labels.count, inputs]) : nil,
      weight: wanted.weight ? Tensor(zeros: [row.classes, inputs]) : nil,
      bias: wanted.bias ? Tensor(zeros: [row.classes]) : nil)
  }

  /// The losses of a piece, whose logits become their gradient unless they are kept.
  private func takeLosses(
    _ logits: MutableMatrixView, _ piece: Range<Int>, keepsLogits: Bool, _ losses: UnsafeMutablePointer<Float>
  ) {
    let losses = Unchecked(losses)
    SoftmaxTasks.forEachRow(of: [logits.rows, logits.columns]) { index in
      let (values, place) = (logits.base + index * logits.rowStride, piece.lowerBound + index)
      losses.value[place] =
        keepsLogits
        ? row.loss(values, label: labels[place]).loss : row.lossReplacingByGradient(values, label: labels[place])
    }
  }

  /// Adds the rows of a piece, one after the other, to sums of the columns.
  private func addColumns(_ slopes: MatrixView, to sums: UnsafeMutablePointer<Double>) {
    let sums = Unchecked(sums)
    let strip = 512
    let isSmall = slopes.rows * slopes.columns < 1 << 15
    WorkerPool.shared.forEachWithoutProducts((slopes.columns + strip - 1) / strip, inline: isSmall) { index in
      let first = index * strip
      for row in 0..<slopes.rows {
        KernelSet.kernels.pointee.add_to_doubles(
          slopes.base + row * slopes.rowStride + first, sums.value + first, min(strip, slopes.columns - first))
      }
    }
  }
}

/// The weight of a head as the products of its pieces read it, by ranges of classes.
private struct HeadPanels: Sendable {
  /// A range of classes, and what stands on the right of products with rows and with gradients of logits.
  private struct Part: Sendable {
    let classes: Range<Int>
    var forward: TiledProduct.Right
    var back: TiledProduct.Right?
  }

  private let parts: [Part]
  /// Whatever the parts point into.
  private let owner: Tensor?
  private let packed: PackedMatrix?

  /// The classes that a product takes at once: the rows of a panel stay in a core's own cache, and so do the copies that
  /// small-matrix kernels read.
  private static let classesAtOnce = 2048
  /// The scalars of a weight that is copied once for all pieces.
  private static let keptScalars = 1 << 23

  init(_ weight: CrossEntropyHead.Weight, pieces: Int, wantsRows: Bool) {
    switch weight {
    case .packed(let panels):
      packed = panels
      owner = wantsRows ? panels.unpackedTransposed() : nil
      let whole = Part(classes: 0..<panels.columns, forward: .packed(panels))
      parts = owner.map { HeadPanels.parts(of: $0, isKept: false, wantsRows: true) } ?? [whole]
    case .rows(let rows):
      packed = nil
      owner = rows
      let isKept =
        pieces > 1 && rows.count <= HeadPanels.keptScalars && rows.count > 0
        && ProductTiles.current.smallVolume != nil
      parts = HeadPanels.parts(of: rows, isKept: isKept, wantsRows: wantsRows)
    }
  }

  private static func parts(of weight: Tensor, isKept: Bool, wantsRows: Bool) -> [Part] {
    let (classes, inputs) = (weight.shape[0], weight.shape[1])
    return stride(from: 0, to: classes, by: classesAtOnce).map { first in
      let range = first..<min(classes, first + classesAtOnce)
      let rows = MatrixView(
        base: weight.unsafeBase + first * inputs, rows: range.count, columns: inputs, rowStride: max(1, inputs))
      guard isKept else { return Part(classes: range, forward: .transposed(rows), back: wantsRows ? .rows(rows) : nil) }
      return Part(
        classes: range, forward: .packed(PackedMatrix(transposing: rows)),
        back: wantsRows ? .packed(PackedMatrix(copying: rows)) : nil)
    }
  }

  /// logits = rows · Wᵀ + bias.
  func multiply(_ rows: MatrixView, into logits: MutableMatrixView, bias: UnsafePointer<Float>?) {
    if let packed {
      return TiledProduct.multiply(rows, .packed(packed), into: logits, epilogue: .init(bias: bias))
    }
    for part in parts {
      let first = part.classes.lowerBound
      TiledProduct.multiply(
        rows, part.forward,
        into: MutableMatrixView(
          base: logits.base + first, rows: logits.rows, columns: part.classes.count, rowStride: logits.rowStride),
        epilogue: .init(bias: bias.map { $0 + first }))
    }
    withExtendedLifetime(owner) {}
  }

  /// result = slopes · W.
  func multiplyBack(_ slopes: MatrixView, into result: MutableMatrixView) {
    for part in parts {
      let first = part.classes.lowerBound
      TiledProduct.multiply(
        MatrixView(
          base: slopes.base + first, rows: slopes.rows, columns: part.classes.count, rowStride: slopes.rowStride),
        part.back!, into: result, adding: first > 0)
    }
    withExtendedLifetime(owner) {}
  }
}
