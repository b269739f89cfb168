extension Tensor {
  /// Whether gradients flow back through this tensor: it was made by ``tracked()``, or computed from one that was.
  public var isTracked: Bool { source != nil }

  /// The same scalars as a new leaf, whose gradient ``gradients(of:withRespectTo:)`` can be asked for. O(1).
  ///
  ///     let weight = Tensor(randomNormal: [3, 3], using: &generator).tracked()
  ///     let loss = matmul(x, weight).sum()
  ///     let gradient = gradients(of: loss, withRespectTo: [weight])[0]
  ///
  /// What is computed from it is tracked too, and keeps what the way back needs. Where nothing is tracked, nothing is
  /// kept and nothing is paid. Writing to a tracked tensor makes it an untracked one.
  public func tracked() -> Tensor {
    var leaf = self
    leaf.source = GradientSource(node: GradientNode(leaf: shape), result: 0)
    return leaf
  }

  /// The same scalars as a constant: no gradient flows back through it. O(1).
  public func detached() -> Tensor {
    guard source != nil else { return self }
    var constant = self
    constant.source = nil
    return constant
  }

  /// Whether both are the same value for certain: of one storage and one origin. O(1).
  package func isSame(as other: Tensor) -> Bool {
    storage === other.storage && shape == other.shape && source?.node === other.source?.node
      && source?.result == other.source?.result
  }

  /// This tensor as the result of an operation on `inputs`: tracked if one of them is.
  ///
  /// - Parameter pullback: from the upstream gradient, and which inputs' gradients are wanted, to the gradients: of each
  ///   wanted input, of its shape; nil is a gradient of zeros. What it captures must be ``detached()``: a node must not
  ///   hold other nodes but by its inputs.
  package func derived(
    from inputs: [Tensor], _ pullback: @escaping @Sendable (_ upstream: Tensor, _ wanted: [Bool]) -> [Tensor?]
  ) -> Tensor {
    Tensor.derived([self], from: inputs) { upstream, wanted in
      upstream[0].map { pullback($0, wanted) } ?? [Tensor?](repeating: nil, count: wanted.count)
    }[0]
  }

  /// The same for an operation of one input.
  package func derived(from input: Tensor, _ pullback: @escaping @Sendable (_ upstream: Tensor) -> Tensor?) -> Tensor {
    derived(from: [input]) { upstream, _ in [pullback(upstream)] }
  }

  /// Several results of one operation on `inputs`. The upstream gradient of a result that nothing depends on is nil.
  package static func derived(
    _ results: [Tensor], from inputs: [Tensor], _ pullback: @escaping GradientNode.Pullback
  ) -> [Tensor] {
    guard inputs.contains(where: \.isTracked) else { return results.map { $0.detached() } }
    let node = GradientNode(inputs: inputs.map(\.source), shapes: results.map(\.shape), pullback: pullback)
    return results.enumerated().map { index, result in
      var tracked = result
      tracked.source = GradientSource(node: node, result: index)
      return tracked
    }
  }
}

extension Array where Element == Tensor {
  /// Whether one of them is tracked, so that an operation on them has to keep what its way back needs.
  package var isAnyTracked: Bool { contains(where: \.isTracked) }
}
