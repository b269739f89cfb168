/// The gradients of a scalar with respect to tensors that it was computed from, by one walk back through the graph.
///
///     let x = Tensor([1, 2], shape: [2]).tracked()
///     let loss = (x * x).sum()
///     gradients(of: loss, withRespectTo: [x])[0]   // [2, 4]
///
/// A tensor that the result does not depend on has a gradient of zeros. The walk changes nothing: it can be repeated, and
/// other tasks may walk the same graph at once. The gradients themselves are not tracked: there are no second derivatives.
/// O(the work of computing the result), a small multiple of it.
///
/// - Parameters:
///   - result: one scalar, tracked or not.
///   - inputs: tracked tensors: leaves, or what was computed from them.
/// - Returns: for each input, a gradient of its shape.
/// - Precondition: the result holds one scalar, and every input is tracked.
public func gradients(of result: Tensor, withRespectTo inputs: [Tensor]) -> [Tensor] {
  require(
    result.count == 1, "gradients: the result is \(result.shape), not one scalar; pass its upstream gradient for others"
  )
  return gradients(of: [result], upstream: [Tensor(repeating: 1, shape: result.shape)], withRespectTo: inputs)
}

/// The gradients of Σ results · upstream with respect to tensors that they were computed from: vector–Jacobian products.
///
/// - Parameters:
///   - results: tensors of any shape.
///   - upstream: the gradient of each result, of its shape.
///   - inputs: tracked tensors.
/// - Returns: for each input, a gradient of its shape.
/// - Precondition: as many upstream gradients as results, of their shapes, and every input is tracked.
public func gradients(of results: [Tensor], upstream: [Tensor], withRespectTo inputs: [Tensor]) -> [Tensor] {
  require(
    results.map(\.shape) == upstream.map(\.shape),
    "gradients: upstream gradients \(upstream.map(\.shape)) for results \(results.map(\.shape))")
  let targets = inputs.map { input in
    guard let source = input.source else {
      fatalError("gradients: an input of shape \(input.shape) is not tracked; call tracked() before computing with it")
    }
    return source
  }
  var walk = GradientWalk(results: results.map(\.source), upstream: upstream, targets: targets)
  return zip(walk.run(), inputs).map { $0 ?? Tensor(zeros: $1.shape) }
}

/// One way back. Nothing in it recurses: a graph may be as deep as memory allows.
private struct GradientWalk {
  private let targets: [GradientSource]
  /// Upstream gradients as they come together, by node.
  private var upstream: [ObjectIdentifier: [Tensor?]] = [:]
  /// The nodes of the results.
  private let roots: [GradientNode]
  private let targetNodes: Set<ObjectIdentifier>

  init(results: [GradientSource?], upstream: [Tensor], targets: [GradientSource]) {
    self.targets = targets
    targetNodes = Set(targets.map { ObjectIdentifier($0.node) })
    roots = results.compactMap { $0?.node }
    for (source, gradient) in zip(results, upstream) { if let source { add(gradient.detached(), to: source) } }
  }

  mutating func run() -> [Tensor?] {
    let order = nodesInOrder()
    let needed = needed(order)
    var found = [Tensor?](repeating: nil, count: targets.count)
    // Every node after all that depend on it.
    for node in order.reversed() {
      guard let gradients = upstream.removeValue(forKey: ObjectIdentifier(node)) else { continue }
      for (index, target) in targets.enumerated() where target.node === node { found[index] = gradients[target.result] }
      guard let pullback = node.pullback else { continue }
      let wanted = node.inputs.map { $0.map { needed.contains(ObjectIdentifier($0.node)) } ?? false }
      guard wanted.contains(true) else { continue }
      let results = pullback(gradients, wanted)
      require(
        results.count == wanted.count,
        "gradients: a pullback gave \(results.count) gradients for \(wanted.count) inputs")
      for (index, input) in node.inputs.enumerated() where wanted[index] {
        if let input, let gradient = results[index] { add(gradient, to: input) }
      }
    }
    return found
  }

  private mutating func add(_ gradient: Tensor, to source: GradientSource) {
    let shapes = source.node.shapes
    require(
      gradient.shape == shapes[source.result],
      "gradients: a pullback gave a gradient \(gradient.shape) for an input \(shapes[source.result])")
    let key = ObjectIdentifier(source.node)
    var gradients = upstream.removeValue(forKey: key) ?? [Tensor?](repeating: nil, count: shapes.count)
    if var sum = gradients[source.result].take() {
      // In place where nobody else holds it.
      sum.add(gradient)
      gradients[source.result] = sum
    } else {
      gradients[source.result] = gradient
    }
    upstream[key] = gradients
  }

  /// All nodes that the results depend on, each after its inputs.
  private func nodesInOrder() -> [GradientNode] {
    var order: [GradientNode] = []
    var seen: Set<ObjectIdentifier> = []
    for root in roots where seen.insert(ObjectIdentifier(root)).inserted {
      var path: [(node: GradientNode, next: Int)] = [(root, 0)]
      while let (node, next) = path.last {
        if next == node.inputs.count {
          order.append(node)
          path.removeLast()
          continue
        }
        path[path.count - 1].next += 1
        if let input = node.inputs[next]?.node, seen.insert(ObjectIdentifier(input)).inserted {
          path.append((input, 0))
        }
      }
    }
    return order
  }

  /// The nodes through which a target can be reached.
  private func needed(_ order: [GradientNode]) -> Set<ObjectIdentifier> {
    var needed: Set<ObjectIdentifier> = []
    for node in order {
      let leads = node.inputs.contains { $0.map { needed.contains(ObjectIdentifier($0.node)) } ?? false }
      if leads || targetNodes.contains(ObjectIdentifier(node)) { needed.insert(ObjectIdentifier(node)) }
    }
    return needed
  }
}
