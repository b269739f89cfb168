/// One operation of a computation that gradients flow back through: its inputs, and how upstream gradients become theirs.
///
/// A node never changes once its result exists, and nothing global knows of it: it lives as long as a result that
/// depends on it does. So tasks that share no tensor share no state, and the graph's memory is freed as results die.
package final class GradientNode: @unchecked Sendable {
  // @unchecked: `inputs` and `pullback` are written in `deinit` alone, by the thread that held the last reference.

  /// From the upstream gradient of each result (nil where none came) to the gradient of each input that is wanted.
  package typealias Pullback = @Sendable (_ upstream: [Tensor?], _ wanted: [Bool]) -> [Tensor?]

  /// Where each input comes from; nil for one that is not tracked.
  private(set) var inputs: [GradientSource?]
  /// Nil for a leaf.
  private(set) var pullback: Pullback?
  /// The shape of each result, of which an upstream gradient has the same.
  let shapes: [[Int]]

  /// A leaf: a tensor whose gradient is asked for.
  init(leaf shape: [Int]) {
    inputs = []
    pullback = nil
    shapes = [shape]
  }

  init(inputs: [GradientSource?], shapes: [[Int]], pullback: @escaping Pullback) {
    self.inputs = inputs
    self.shapes = shapes
    self.pullback = pullback
  }

  deinit {
    // A chain that only this node held would be freed by a call for each link: a long one overflows the stack.
    var orphans: [GradientNode] = []
    GradientNode.unlink(&inputs, into: &orphans)
    pullback = nil
    while let orphan = orphans.popLast() {
      GradientNode.unlink(&orphan.inputs, into: &orphans)
      orphan.pullback = nil
    }
  }

  /// Takes the references out, and keeps those nodes that nobody else holds.
  private static func unlink(_ sources: inout [GradientSource?], into orphans: inout [GradientNode]) {
    for index in sources.indices {
      guard var node = sources[index]?.node else { continue }
      sources[index] = nil
      if isKnownUniquelyReferenced(&node) { orphans.append(node) }
    }
    sources = []
  }
}

/// The result of a node that a tensor is.
package struct GradientSource: Sendable {
  let node: GradientNode
  /// Which of the node's results.
  let result: Int
}
