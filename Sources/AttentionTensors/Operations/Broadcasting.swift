/// How two shapes meet: axes are aligned from the right, and an axis of length 1, or none, is repeated.
struct Broadcast: Sendable {
  /// The result's shape.
  let shape: [Int]
  /// The result's axes, outermost first, those merged that both sides go through alike; none has length 1.
  private(set) var extents: [Int] = []
  private(set) var left: [Int] = []
  private(set) var right: [Int] = []

  /// - Precondition: the shapes broadcast.
  init(_ a: [Int], _ b: [Int], operation: String) {
    let rank = max(a.count, b.count)
    let (a, b) = (Broadcast.padded(a, to: rank), Broadcast.padded(b, to: rank))
    require(
      zip(a, b).allSatisfy { $0 == $1 || $0 == 1 || $1 == 1 }, "\(operation): the shapes \(a) and \(b) do not broadcast"
    )
    shape = zip(a, b).map { $0 == 1 ? $1 : $0 }
    guard Tensor.scalarCount(of: shape) > 0 else { return }
    var (leftStride, rightStride) = (1, 1)
    for axis in (0..<rank).reversed() where shape[axis] != 1 {
      let steps = (a[axis] == 1 ? 0 : leftStride, b[axis] == 1 ? 0 : rightStride)
      leftStride *= a[axis]
      rightStride *= b[axis]
      // One run with the axis before it, where both sides go on as they went.
      if let extent = extents.first, left[0] * extent == steps.0, right[0] * extent == steps.1 {
        extents[0] *= shape[axis]
      } else {
        extents.insert(shape[axis], at: 0)
        left.insert(steps.0, at: 0)
        right.insert(steps.1, at: 0)
      }
    }
    if extents.isEmpty { (extents, left, right) = ([1], [1], [1]) }
  }

  static func padded(_ shape: [Int], to rank: Int) -> [Int] {
    [Int](repeating: 1, count: rank - shape.count) + shape
  }

  /// Where a run of the innermost axis begins on either side.
  func places(ofRun run: Int) -> (left: Int, right: Int) {
    var (rest, a, b) = (run, 0, 0)
    for axis in extents.indices.dropLast().reversed() {
      let (quotient, index) = rest.quotientAndRemainder(dividingBy: extents[axis])
      a += index * left[axis]
      b += index * right[axis]
      rest = quotient
    }
    return (a, b)
  }
}

extension Tensor {
  /// The sum over the axes that a tensor of another shape was repeated along to come to this one's: what a gradient of
  /// the result is to the operand.
  func summed(to target: [Int]) -> Tensor {
    guard shape != target else { return self }
    let padded = Broadcast.padded(target, to: rank)
    var sum = self
    for axis in 0..<rank where padded[axis] == 1 && sum.shape[axis] != 1 {
      // Neighbouring axes at once.
      var last = axis
      while last + 1 < rank, padded[last + 1] == 1, sum.shape[last + 1] != 1 { last += 1 }
      let merged = sum.shape[axis...last].reduce(1, *)
      let outer = Array(sum.shape[..<axis])
      let inner = Array(sum.shape[(last + 1)...])
      sum = sum.reshaped(to: outer + [merged] + inner).sum(along: axis, keepingAxis: true)
        .reshaped(to: outer + [Int](repeating: 1, count: last - axis + 1) + inner)
    }
    return sum.reshaped(to: target)
  }
}
