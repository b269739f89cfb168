import CAttentionKernels

extension Tensor {
  /// The tensor with its axes in another order: axis i of the result is axis `order[i]` of this one. O(count), copied.
  ///
  /// - Precondition: `order` names each axis once.
  public func permuted(_ order: [Int]) -> Tensor {
    require(order.sorted() == Array(0..<rank), "permuted: \(order) is no order of the axes of \(shape)")
    var inverse = order
    for (index, axis) in order.enumerated() { inverse[axis] = index }
    let back = inverse
    return plainPermuted(order).derived(from: self) { $0.permuted(back) }
  }

  /// The tensor with its last two axes exchanged: the transpose of each matrix. O(count), copied.
  ///
  /// - Precondition: the rank is at least 2.
  public func transposed() -> Tensor {
    require(rank >= 2, "transposed: the shape \(shape) has fewer than two axes")
    return permuted(Array(0..<rank - 2) + [rank - 1, rank - 2])
  }

  private func plainPermuted(_ order: [Int]) -> Tensor {
    // Axes that stay neighbours move as one.
    var groups: [[Int]] = []
    for axis in order where shape[axis] != 1 {
      if let last = groups.last?.last, last + 1 == axis {
        groups[groups.count - 1].append(axis)
      } else {
        groups.append([axis])
      }
    }
    let target = order.map { shape[$0] }
    guard count > 0, groups.count > 1 else { return detached().reshaped(to: target) }
    let strides = groups.map { shape[($0.last! + 1)...].reduce(1, *) }
    let extents = groups.map { $0.reduce(1) { $0 * shape[$1] } }
    return Tensor(uninitialized: target) { buffer in
      let (source, result) = (Unchecked(unsafeBase), Unchecked(buffer.baseAddress!))
      let permutation = Permutation(extents: extents, strides: strides)
      let strips = permutation.strips
      WorkerPool.shared.forEachWithoutProducts(permutation.matrices * strips, inline: count < 1 << 15) { index in
        permutation.copy(index / strips, strip: index % strips, from: source.value, into: result.value)
      }
    }
  }

  /// Several tensors one after the other along an axis. O(count), copied.
  ///
  /// - Parameters:
  ///   - tensors: in their order.
  ///   - axis: from 0, or from −1 backwards.
  /// - Precondition: there is one at least, and they agree in all other axes.
  public static func concatenated(_ tensors: [Tensor], along axis: Int = 0) -> Tensor {
    require(!tensors.isEmpty, "concatenated: there is no tensor")
    let position = tensors[0].position(ofAxis: axis, "concatenated")
    func others(_ shape: [Int]) -> [Int] { Array(shape.prefix(position) + shape.dropFirst(position + 1)) }
    require(
      tensors.allSatisfy { $0.rank == tensors[0].rank && others($0.shape) == others(tensors[0].shape) },
      "concatenated: the shapes \(tensors.map(\.shape)) differ in other axes than \(axis)")
    let lengths = tensors.map { $0.shape[position] }
    var shape = tensors[0].shape
    shape[position] = lengths.reduce(0, +)
    let inner = shape[(position + 1)...].reduce(1, *)
    let outer = shape[..<position].reduce(1, *)
    let row = shape[position] * inner
    let result = Tensor(uninitialized: shape) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      var first = 0
      for (tensor, length) in zip(tensors, lengths) {
        for place in 0..<outer {
          (base + place * row + first).update(from: tensor.unsafeBase + place * length * inner, count: length * inner)
        }
        first += length * inner
      }
    }
    return result.derived(from: tensors) { upstream, wanted in
      var first = 0
      return zip(lengths, wanted).map { length, wanted in
        defer { first += length }
        return wanted ? upstream.sliced(first..<first + length, along: position) : nil
      }
    }
  }

  /// A range of an axis. O(the result's count), copied.
  ///
  /// - Parameters:
  ///   - range: of places along the axis.
  ///   - axis: from 0, or from −1 backwards.
  /// - Precondition: the axis holds the range.
  public func sliced(_ range: Range<Int>, along axis: Int = 0) -> Tensor {
    let position = position(ofAxis: axis, "sliced")
    let length = shape[position]
    require(
      range.lowerBound >= 0 && range.upperBound <= length, "sliced: \(range) of axis \(axis) lies outside \(shape)")
    let shape = shape
    var target = shape
    target[position] = range.count
    let inner = shape[(position + 1)...].reduce(1, *)
    let outer = shape[..<position].reduce(1, *)
    return Tensor(uninitialized: target) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      for place in 0..<outer {
        (base + place * range.count * inner).update(
          from: unsafeBase + (place * length + range.lowerBound) * inner, count: range.count * inner)
      }
    }.derived(from: self) { upstream in
      var gradient = Tensor(zeros: shape)
      gradient.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress, upstream.count > 0 else { return }
        for place in 0..<outer {
          (base + (place * length + range.lowerBound) * inner).update(
            from: upstream.unsafeBase + place * range.count * inner, count: range.count * inner)
        }
      }
      return gradient
    }
  }

  /// Rows of a table, by their numbers: an embedding. The gradients of a row that is taken more than once add up.
  ///
  ///     table.gathered(rows: [4, 0, 4])   // [3, width] of a table [rows, width]
  ///
  /// O(numbers · width).
  ///
  /// - Precondition: the table has rank 2, and every number names a row of it.
  public func gathered(rows: [Int]) -> Tensor {
    require(rank == 2, "gathered: a table has the shape [rows, width], not \(shape)")
    let (tableRows, width) = (shape[0], shape[1])
    if let wrong = rows.first(where: { $0 < 0 || $0 >= tableRows }) {
      fatalError("gathered: there is no row \(wrong) in a table \(shape)")
    }
    return Tensor(uninitialized: [rows.count, width]) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      let (source, result) = (Unchecked(unsafeBase), Unchecked(base))
      forEachChunk(of: rows.count * width, length: max(1, (1 << 14) / width) * width) { range in
        for index in range.lowerBound / width..<range.upperBound / width {
          (result.value + index * width).update(from: source.value + rows[index] * width, count: width)
        }
      }
    }.derived(from: self) { upstream in
      var gradient = Tensor(zeros: [tableRows, width])
      gradient.withUnsafeMutableBufferPointer { buffer in
        guard let base = buffer.baseAddress, width > 0 else { return }
        // One after the other, in order: repeated rows add up the same way every time.
        for (index, row) in rows.enumerated() {
          KernelSet.kernels.pointee.axpy(1, upstream.unsafeBase + index * width, base + row * width, width)
        }
      }
      return gradient
    }
  }
}

/// The sums of rows of several tables: token, position and segment embeddings, added in one pass.
///
///     summedRows(of: [(tokens, ids), (positions, places)])   // [ids, width]
///
/// Rows are added from the first table to the last. Gradients as of ``Tensor/gathered(rows:)``.
/// O(tables · numbers · width).
///
/// - Precondition: there is a table, all have rank 2 and one width, and equally many numbers name rows of each.
public func summedRows(of parts: [(table: Tensor, rows: [Int])]) -> Tensor {
  require(!parts.isEmpty, "summedRows: there is no table")
  let (count, width) = (parts[0].rows.count, parts[0].table.shape.last ?? 0)
  for (table, rows) in parts {
    require(
      table.rank == 2 && table.shape[1] == width && rows.count == count,
      "summedRows: \(rows.count) rows of a table \(table.shape) beside \(count) of width \(width)")
    if let wrong = rows.first(where: { $0 < 0 || $0 >= table.shape[0] }) {
      fatalError("summedRows: there is no row \(wrong) in a table \(table.shape)")
    }
  }
  guard !parts.map(\.table).isAnyTracked else {
    return parts.dropFirst().reduce(parts[0].table.gathered(rows: parts[0].rows)) { $0 + $1.0.gathered(rows: $1.1) }
  }
  return Tensor(uninitialized: [count, width]) { buffer in
    guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
    let result = Unchecked(base)
    let tables = Unchecked(parts.map { (base: $0.table.unsafeBase, rows: $0.rows) })
    let kernels = Unchecked(KernelSet.kernels)
    forEachChunk(of: count * width, length: max(1, (1 << 14) / width) * width) { range in
      for index in range.lowerBound / width..<range.upperBound / width {
        let target = result.value + index * width
        let first = tables.value[0]
        target.update(from: first.base + first.rows[index] * width, count: width)
        for (base, rows) in tables.value.dropFirst() {
          kernels.value.pointee.axpy(1, base + rows[index] * width, target, width)
        }
      }
    }
    withExtendedLifetime(parts) {}
  }
}

/// Axes in their new order, at least two, of which neighbours were not neighbours before.
private struct Permutation: Sendable {
  let extents: [Int]
  let strides: [Int]

  /// Pairs of the two innermost axes.
  var matrices: Int { extents.dropLast(2).reduce(1, *) }

  /// Rows that one task writes.
  private var stripRows: Int { max(16, (1 << 15) / max(1, extents[extents.count - 1]) / 16 * 16) }
  var strips: Int { (extents[extents.count - 2] + stripRows - 1) / stripRows }

  func copy(
    _ index: Int, strip: Int, from source: UnsafePointer<Float>, into result: UnsafeMutablePointer<Float>
  ) {
    let last = extents.count - 1
    let rows = strip * stripRows..<min(extents[last - 1], (strip + 1) * stripRows)
    let columns = extents[last]
    var rest = index
    var from = rows.lowerBound * strides[last - 1]
    for axis in (0..<last - 1).reversed() {
      let (quotient, position) = rest.quotientAndRemainder(dividingBy: extents[axis])
      from += position * strides[axis]
      rest = quotient
    }
    let into = result + (index * extents[last - 1] + rows.lowerBound) * columns
    if strides[last] == 1 {
      for row in 0..<rows.count {
        (into + row * columns).update(from: source + from + row * strides[last - 1], count: columns)
      }
    } else if strides[last - 1] == 1 {
      KernelSet.kernels.pointee.transpose(source + from, strides[last], into, columns, columns, rows.count)
    } else {
      for row in 0..<rows.count {
        for column in 0..<columns {
          into[row * columns + column] = source[from + row * strides[last - 1] + column * strides[last]]
        }
      }
    }
  }
}
