import CAttentionKernels

/// activation(x·Wᵀ + b) of each row of `x`: a linear layer.
///
///     let y = linear(x, weight: weight, bias: bias, activation: .gelu)   // [tokens, outputs]
///
/// O(rows · inputs · outputs). Bias and activation are applied to each piece of the product while it is in the nearest cache.
///
/// - Parameters:
///   - x: `[…, inputs]`.
///   - weight: `[outputs, inputs]`, as PyTorch has it.
///   - bias: `[outputs]`, or nil.
///   - activation: what is applied to the result, if anything.
/// - Returns: `[…, outputs]`.
/// - Precondition: the shapes fit.
public func linear(_ x: Tensor, weight: Tensor, bias: Tensor? = nil, activation: Activation? = nil) -> Tensor {
  require(weight.rank == 2, "linear: a weight \(weight.shape) is not [outputs, inputs]")
  let weightRows = MatrixView(matrix: weight)
  let forward = LinearProduct(x, inputs: weight.shape[1], outputs: weight.shape[0], bias: bias, activation: activation)
  let inputs = [x, weight] + (bias.map { [$0] } ?? [])
  let (result, sums) = forward.run(.transposed(weightRows), keepingSums: inputs.isAnyTracked)
  let kept = weight.isTracked ? x.detached() : nil
  let keptWeight = x.isTracked ? weight.detached() : nil
  withExtendedLifetime(weight) {}
  return result.derived(from: inputs) { upstream, wanted in
    let upstream = forward.throughActivation(upstream, sums: sums)
    return [
      wanted[0]
        ? keptWeight.map { weight in
          forward.inputGradient(upstream, .rows(MatrixView(matrix: weight)), owner: weight)
        } : nil,
      wanted[1] ? kept.map { forward.weightGradient(upstream, $0) } : nil,
    ] + (wanted.count == 3 ? [wanted[2] ? upstream.sum(along: 0) : nil] : [])
  }
}

/// ``linear(_:weight:bias:activation:)`` with a weight that was packed, whose gradient nobody wants.
package func linear(_ x: Tensor, packed weight: PackedMatrix, bias: Tensor? = nil, activation: Activation? = nil)
  -> Tensor
{
  let forward = LinearProduct(x, inputs: weight.inner, outputs: weight.columns, bias: bias, activation: activation)
  let inputs = [x] + (bias.map { [$0] } ?? [])
  let (result, sums) = forward.run(.packed(weight), keepingSums: inputs.isAnyTracked)
  return result.derived(from: inputs) { upstream, wanted in
    let upstream = forward.throughActivation(upstream, sums: sums)
    let input: Tensor? = wanted[0] ? forward.inputGradient(upstream, unpacking: weight) : nil
    return [input] + (wanted.count == 2 ? [wanted[1] ? upstream.sum(along: 0) : nil] : [])
  }
}

/// The products of one linear layer, forward and back.
private struct LinearProduct: Sendable {
  /// The input's shape.
  let shape: [Int]
  let rows: Int
  let inputs: Int
  let outputs: Int
  let activation: Activation?
  private let x: Unchecked<UnsafePointer<Float>>
  private let bias: Tensor?

  init(_ x: Tensor, inputs: Int, outputs: Int, bias: Tensor?, activation: Activation?) {
    require(
      x.rank >= 1 && x.shape[x.rank - 1] == inputs, "linear: an input \(x.shape) for a weight [\(outputs), \(inputs)]")
    require(
      bias.map { $0.shape == [outputs] } ?? true,
      "linear: a bias \(bias?.shape ?? []) for a weight [\(outputs), \(inputs)]")
    shape = x.shape
    rows = x.shape.dropLast().reduce(1, *)
    self.inputs = inputs
    self.outputs = outputs
    self.activation = activation
    self.x = Unchecked(x.unsafeBase)
    self.bias = bias?.detached()
  }

  /// The result and, if the way back needs it, what went into the activation.
  func run(_ right: TiledProduct.Right, keepingSums: Bool) -> (result: Tensor, sums: Tensor?) {
    var sums: Tensor?
    let keeps = keepingSums && activation != nil
    if keeps { sums = Tensor(uninitialized: [rows, outputs]) { _ in } }
    let target = sums?.withUnsafeMutableBufferPointer { $0.baseAddress }
    let result = Tensor(uninitialized: shape.dropLast() + [outputs]) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      TiledProduct.multiply(
        MatrixView(base: x.value, rows: rows, columns: inputs, rowStride: max(1, inputs)), right,
        into: MutableMatrixView(base: base, rows: rows, columns: outputs, rowStride: outputs),
        epilogue: .init(bias: bias?.unsafeBase, activation: activation, sums: target ?? nil))
    }
    withExtendedLifetime(sums) {}
    return (result, sums)
  }

  /// The upstream gradient of the sums, `[rows, outputs]`.
  func throughActivation(_ upstream: Tensor, sums: Tensor?) -> Tensor {
    let upstream = upstream.reshaped(to: [rows, outputs])
    guard let activation, let sums else { return upstream }
    return upstream.activationGradient(of: activation, at: sums)
  }

  /// upstream · W.
  func inputGradient(_ upstream: Tensor, _ weight: TiledProduct.Right, owner: some Sendable) -> Tensor {
    defer { withExtendedLifetime((upstream, owner)) {} }
    return Tensor(uninitialized: shape) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      TiledProduct.multiply(
        MatrixView(base: upstream.unsafeBase, rows: rows, columns: outputs, rowStride: max(1, outputs)), weight,
        into: MutableMatrixView(base: base, rows: rows, columns: inputs, rowStride: inputs))
    }
  }

  func inputGradient(_ upstream: Tensor, unpacking weight: PackedMatrix) -> Tensor {
    let rows = weight.unpacked()
    return inputGradient(upstream, .transposed(MatrixView(matrix: rows)), owner: rows)
  }

  /// upstreamᵀ · x.
  func weightGradient(_ upstream: Tensor, _ x: Tensor) -> Tensor {
    defer { withExtendedLifetime((upstream, x)) {} }
    return Tensor(uninitialized: [outputs, inputs]) { buffer in
      guard let base = buffer.baseAddress, !buffer.isEmpty else { return }
      TransposedProduct.multiply(
        MatrixView(base: upstream.unsafeBase, rows: rows, columns: outputs, rowStride: max(1, outputs)),
        MatrixView(base: x.unsafeBase, rows: rows, columns: inputs, rowStride: max(1, inputs)),
        into: MutableMatrixView(base: base, rows: outputs, columns: inputs, rowStride: inputs))
    }
  }
}
