import AttentionTensors

/// The weight of a linear layer, `[outputs, inputs]`: rows while it is trained, panels once it is used without gradients.
///
/// It is the same matrix throughout: what changes is how it lies in memory. Only one form is kept, so that a model takes
/// the memory of its weights once.
final class LinearWeight: Sendable {
  private struct Form: Sendable {
    var rows: Tensor?
    /// Ranges of outputs that were packed, in the order in which they were asked for.
    var parts: [(outputs: Range<Int>, matrix: PackedMatrix)] = []
  }

  /// `[outputs, inputs]`.
  let shape: [Int]
  private let form: Guarded<Form>

  /// - Precondition: the weight has rank 2.
  init(_ rows: Tensor) {
    require(rows.rank == 2, "Linear: a weight has the shape [outputs, inputs], not \(rows.shape)")
    shape = rows.shape
    form = Guarded(Form(rows: rows))
  }

  /// A weight that is in panels from the beginning.
  init(_ panels: PackedMatrix) {
    shape = [panels.columns, panels.inner]
    form = Guarded(Form(rows: nil, parts: [(0..<panels.columns, panels)]))
  }

  /// The rows, tracked if they were; copied out of panels if need be.
  var rows: Tensor {
    // Outside of the lock: who waits for threads while others wait for the lock on those threads waits for ever.
    let (rows, parts) = form.withLock { ($0.rows, $0.parts) }
    return rows ?? LinearWeight.unpacked(parts)
  }

  private static func unpacked(_ parts: [(outputs: Range<Int>, matrix: PackedMatrix)]) -> Tensor {
    Tensor.concatenated(
      parts.sorted { $0.outputs.lowerBound < $1.outputs.lowerBound }.map { $0.matrix.unpackedTransposed() })
  }

  /// Takes the rows out until ``putBack(_:)``, if they are the only form: whoever has them can then write to them in place.
  ///
  /// - Precondition: nobody else reads the weight meanwhile.
  func takeRows() -> Tensor? {
    form.withLock { form in form.parts.isEmpty ? form.rows.take() : nil }
  }

  /// Makes rows the only form.
  func putBack(_ rows: Tensor) {
    require(rows.shape == shape, "Linear: a weight \(rows.shape) for one of \(shape)")
    form.withLock { $0 = Form(rows: rows) }
  }

  /// Some of the rows, tracked if they are; out of panels where the weight lies in them.
  func gathered(_ ids: [Int]) -> Tensor {
    let (rows, whole) = form.withLock { form in
      (form.rows, form.parts.first { $0.outputs.count == shape[0] }?.matrix)
    }
    return rows?.gathered(rows: ids) ?? whole?.gathered(columns: ids) ?? self.rows.gathered(rows: ids)
  }

  var isTracked: Bool { form.withLock { $0.rows?.isTracked ?? false } }

  /// The panels of some outputs, packed at the first call. Tasks that come at the same time may pack them, too: one form
  /// stays.
  func packed(_ outputs: Range<Int>) -> PackedMatrix {
    func stored(_ form: Form) -> PackedMatrix? { form.parts.first { $0.outputs == outputs }?.matrix }
    let (found, kept, parts) = form.withLock { (stored($0), $0.rows, $0.parts) }
    if let found { return found }
    // Outside of the lock, as above.
    let rows = kept ?? LinearWeight.unpacked(parts)
    let matrix = PackedMatrix(
      transposing: outputs == 0..<shape[0] ? rows.detached() : rows.detached().sliced(outputs))
    return form.withLock { form in
      if let found = stored(form) { return found }
      // Other cuts of the same rows would be kept twice.
      form.parts.removeAll { $0.outputs.overlaps(outputs) }
      form.parts.append((outputs, matrix))
      let isWhole = form.parts.reduce(0) { $0 + $1.outputs.count } == shape[0]
      form.rows = isWhole ? nil : form.rows ?? rows
      return matrix
    }
  }
}
