import AttentionTensors

extension Layer {
  /// The parameters and statistics in their order, with their names.
  public var namedTensors: [(name: String, role: ParameterRole, tensor: Tensor)] {
    var copy = self
    var tensors: [(name: String, role: ParameterRole, tensor: Tensor)] = []
    copy.visitParameters { name, role, tensor in tensors.append((name, role, tensor)) }
    return tensors
  }

  /// The number of scalars that are learned. O(tensors).
  public var parameterCount: Int {
    namedTensors.reduce(0) { $0 + ($1.role == .parameter ? $1.tensor.count : 0) }
  }

  /// The layer with every parameter as a new leaf: what is computed with it keeps what
  /// ``gradients(of:withRespectTo:)-(Tensor,_)`` needs.
  public func tracked() -> Self { mappingParameters { $0.tracked() } }

  /// The layer with every parameter as a constant.
  public func detached() -> Self { mappingParameters { $0.detached() } }

  /// The layer with other values for its parameters, of the same shapes.
  public func mappingParameters(_ transform: (Tensor) throws -> Tensor) rethrows -> Self {
    var copy = self
    try copy.visitParameters { _, role, tensor in
      if role == .parameter { tensor = try transform(tensor) }
    }
    return copy
  }
}
