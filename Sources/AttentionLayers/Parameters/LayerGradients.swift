import AttentionTensors

/// The gradients of a loss with respect to the parameters of a layer, by name.
public struct LayerGradients: Sendable {
  /// The parameters' names, in the layer's order.
  public let names: [String]
  /// A gradient for each name, of the parameter's shape.
  public private(set) var tensors: [Tensor]

  /// The gradient of one parameter, or nil if there is none of this name.
  public subscript(name: String) -> Tensor? {
    names.firstIndex(of: name).map { tensors[$0] }
  }

  /// The names of the parameters whose gradient holds a NaN or an infinity. O(scalars).
  public var namesOfNonFinite: [String] {
    zip(names, tensors).filter { !$1.isFinite }.map(\.0)
  }

  /// Adds the gradients of another loss with respect to the same parameters.
  ///
  /// - Precondition: both are of one layer.
  public mutating func add(_ others: LayerGradients) {
    require(names == others.names, "LayerGradients: gradients of different layers cannot be added")
    for index in tensors.indices { tensors[index].add(others.tensors[index]) }
  }
}

/// The gradients of a scalar with respect to all parameters of a layer.
///
///     let model = model.tracked()
///     let loss = (model(x) - wanted).squared().mean()
///     let slopes = gradients(of: loss, withRespectTo: model)
///
/// - Parameters:
///   - result: one scalar, computed with `layer`.
///   - layer: a layer as ``Layer/tracked()`` gave it.
/// - Precondition: the result holds one scalar, and the layer's parameters are tracked.
public func gradients(of result: Tensor, withRespectTo layer: some Layer) -> LayerGradients {
  require(result.count == 1, "gradients: the result is \(result.shape), not one scalar")
  return gradients(of: [result], upstream: [Tensor(repeating: 1, shape: result.shape)], withRespectTo: layer)
}

/// The gradients of Σ results · upstream with respect to all parameters of a layer.
///
/// - Parameters:
///   - results: tensors of any shape, computed with `layer`.
///   - upstream: the gradient of each result, of its shape.
///   - layer: a layer as ``Layer/tracked()`` gave it.
/// - Precondition: as many upstream gradients as results, of their shapes, and the layer's parameters are tracked.
public func gradients(
  of results: [Tensor], upstream: [Tensor], withRespectTo layer: some Layer
) -> LayerGradients {
  let parameters = layer.namedTensors.filter { $0.role == .parameter }
  return LayerGradients(
    names: parameters.map(\.name),
    tensors: gradients(of: results, upstream: upstream, withRespectTo: parameters.map(\.tensor)))
}

extension Layer {
  /// Changes every parameter by its gradient.
  ///
  ///     model.update(by: slopes) { $0 - 0.1 * $1 }
  ///
  /// - Parameters:
  ///   - gradients: of a tracked copy of this layer.
  ///   - step: from a parameter and its gradient to the parameter's new value.
  /// - Precondition: there is a gradient for each parameter, of its shape.
  public mutating func update(
    by gradients: LayerGradients, _ step: (_ parameter: Tensor, _ gradient: Tensor) throws -> Tensor
  ) rethrows {
    var index = 0
    try visitParameters { name, role, tensor in
      guard role == .parameter else { return }
      require(
        index < gradients.names.count && gradients.names[index] == name
          && gradients.tensors[index].shape == tensor.shape,
        "update: no gradient of shape \(tensor.shape) for the parameter \(name)")
      let changed = try step(tensor.detached(), gradients.tensors[index])
      require(changed.shape == tensor.shape, "update: \(name) \(tensor.shape) became \(changed.shape)")
      tensor = changed.detached()
      index += 1
    }
    require(index == gradients.names.count, "update: \(gradients.names.count) gradients for \(index) parameters")
  }
}
