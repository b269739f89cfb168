import AttentionTensors

/// The result of a part of a model of which the way back keeps nothing but the input: it computes the part again
/// (activation checkpointing, Chen et al., 1604.06174).
///
///     let y = recomputed(block, x) { block, x in block(x, layout: layout) }
///
/// The gradients are those of `body(layer, x)`, bit for bit. Costs another forward pass on the way back.
///
/// - Parameters:
///   - layer: the part's parameters, tracked or not.
///   - x: its input.
///   - body: what is computed; the same for equal arguments, and from nothing tracked but these.
public func recomputed<Part: Layer>(
  _ layer: Part, _ x: Tensor, _ body: @escaping @Sendable (Part, Tensor) -> Tensor
) -> Tensor {
  let parameters = layer.namedTensors.filter { $0.role == .parameter }.map(\.tensor)
  let inputs = parameters + [x]
  let (plainLayer, plainInput) = (layer.detached(), x.detached())
  // Before the pack of anything: a part that will train keeps its rows.
  let result = body(inputs.isAnyTracked ? layer.detached() : layer, plainInput)
  require(!result.isTracked, "recomputed: the body uses a tracked tensor that is not among its arguments")
  return result.derived(from: inputs) { upstream, wanted in
    // Only what is wanted is tracked again.
    var leaves = [Tensor?](repeating: nil, count: wanted.count)
    var again = plainLayer
    var index = 0
    again.visitParameters { _, role, tensor in
      guard role == .parameter else { return }
      if wanted[index] {
        tensor = tensor.tracked()
        leaves[index] = tensor
      }
      index += 1
    }
    var input = plainInput
    if wanted[index] {
      input = input.tracked()
      leaves[index] = input
    }
    let found = gradients(
      of: [body(again, input)], upstream: [upstream], withRespectTo: leaves.compactMap(\.self))
    var next = found.makeIterator()
    return leaves.map { $0 == nil ? nil : next.next() }
  }
}
