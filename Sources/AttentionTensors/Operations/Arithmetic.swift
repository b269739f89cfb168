import CAttentionKernels

extension Tensor {
  /// The sum, by element. Axes are aligned from the right, and one of length 1 is repeated, as NumPy does it.
  ///
  /// - Precondition: the shapes broadcast.
  public static func + (left: Tensor, right: Tensor) -> Tensor {
    let (a, b) = (left.shape, right.shape)
    return combined(left, right, "+", KernelSet.kernels.pointee.add).derived(from: [left, right]) { upstream, wanted in
      [wanted[0] ? upstream.summed(to: a) : nil, wanted[1] ? upstream.summed(to: b) : nil]
    }
  }

  /// The difference, by element; shapes broadcast as for ``+(_:_:)-(Tensor,Tensor)``.
  public static func - (left: Tensor, right: Tensor) -> Tensor {
    let (a, b) = (left.shape, right.shape)
    return combined(left, right, "-", KernelSet.kernels.pointee.subtract).derived(from: [left, right]) {
      upstream, wanted in
      [wanted[0] ? upstream.summed(to: a) : nil, wanted[1] ? (-upstream).summed(to: b) : nil]
    }
  }

  /// The product, by element; shapes broadcast as for ``+(_:_:)-(Tensor,Tensor)``. Not a matrix product.
  public static func * (left: Tensor, right: Tensor) -> Tensor {
    let (a, b) = (left.shape, right.shape)
    // Each is kept for the other's gradient alone.
    let keptLeft = right.isTracked ? left.detached() : nil
    let keptRight = left.isTracked ? right.detached() : nil
    return combined(left, right, "*", KernelSet.kernels.pointee.multiply).derived(from: [left, right]) {
      upstream, wanted in
      [
        wanted[0] ? keptRight.map { (upstream * $0).summed(to: a) } : nil,
        wanted[1] ? keptLeft.map { (upstream * $0).summed(to: b) } : nil,
      ]
    }
  }

  /// The quotient, by element; shapes broadcast as for ``+(_:_:)-(Tensor,Tensor)``.
  public static func / (left: Tensor, right: Tensor) -> Tensor {
    let (a, b) = (left.shape, right.shape)
    let result = combined(left, right, "/", KernelSet.kernels.pointee.divide)
    let divisor = [left, right].isAnyTracked ? right.detached() : nil
    let quotient = right.isTracked ? result : nil
    return result.derived(from: [left, right]) { upstream, wanted in
      guard let divisor else { return [nil, nil] }
      let share = upstream / divisor
      return [
        wanted[0] ? share.summed(to: a) : nil,
        wanted[1] ? quotient.map { (-(share * $0)).summed(to: b) } : nil,
      ]
    }
  }

  /// The negative of each element.
  public static prefix func - (tensor: Tensor) -> Tensor { tensor * -1 }

  /// Adds a number to each element.
  public static func + (left: Tensor, right: Float) -> Tensor { left + Tensor([right], shape: []) }
  /// Adds each element to a number.
  public static func + (left: Float, right: Tensor) -> Tensor { Tensor([left], shape: []) + right }
  /// Takes a number from each element.
  public static func - (left: Tensor, right: Float) -> Tensor { left - Tensor([right], shape: []) }
  /// Takes each element from a number.
  public static func - (left: Float, right: Tensor) -> Tensor { Tensor([left], shape: []) - right }
  /// Multiplies each element by a number.
  public static func * (left: Tensor, right: Float) -> Tensor { left * Tensor([right], shape: []) }
  /// Multiplies a number by each element.
  public static func * (left: Float, right: Tensor) -> Tensor { Tensor([left], shape: []) * right }
  /// Divides each element by a number.
  public static func / (left: Tensor, right: Float) -> Tensor { left / Tensor([right], shape: []) }
  /// Divides a number by each element.
  public static func / (left: Float, right: Tensor) -> Tensor { Tensor([left], shape: []) / right }

  /// Adds another tensor; shapes as for ``+(_:_:)-(Tensor,Tensor)``.
  public static func += (left: inout Tensor, right: Tensor) { left = left + right }
  /// Takes away another tensor; shapes as for ``+(_:_:)-(Tensor,Tensor)``.
  public static func -= (left: inout Tensor, right: Tensor) { left = left - right }

  private typealias Kernel =
    @convention(c) (
      UnsafePointer<Float>, Bool, UnsafePointer<Float>, Bool, UnsafeMutablePointer<Float>, Int
    ) -> Void

  /// The plain result, by runs of the innermost axis.
  private static func combined(_ a: Tensor, _ b: Tensor, _ operation: String, _ kernel: @escaping Kernel) -> Tensor {
    let broadcast = Broadcast(a.shape, b.shape, operation: operation)
    return Tensor(uninitialized: broadcast.shape) { buffer in
      guard !buffer.isEmpty, let length = broadcast.extents.last else { return }
      let (left, right, result) = (
        Unchecked(a.unsafeBase), Unchecked(b.unsafeBase), Unchecked(buffer.baseAddress!)
      )
      let leftIsOne = broadcast.left.last == 0
      let rightIsOne = broadcast.right.last == 0
      @Sendable func run(_ index: Int, _ columns: Range<Int>) {
        let place = broadcast.places(ofRun: index)
        kernel(
          left.value + place.left + (leftIsOne ? 0 : columns.lowerBound), leftIsOne,
          right.value + place.right + (rightIsOne ? 0 : columns.lowerBound), rightIsOne,
          result.value + index * length + columns.lowerBound, columns.count)
      }
      let runs = buffer.count / length
      guard runs > 1 else { return forEachChunk(of: length) { run(0, $0) } }
      let perTask = max(1, (1 << 14) / length)
      WorkerPool.shared.forEachWithoutProducts((runs + perTask - 1) / perTask, inline: buffer.count < 1 << 15) { task in
        for index in task * perTask..<min(runs, (task + 1) * perTask) { run(index, 0..<length) }
      }
    }
  }
}
