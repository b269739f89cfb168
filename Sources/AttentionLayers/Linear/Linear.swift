import AttentionTensors

/// A linear map of each row: y = activation(x·Wᵀ + b).
///
///     let layer = Linear(inputs: 384, outputs: 1536, activation: .gelu, using: &generator)
///     let y = layer(x)   // [tokens, 1536] of x [tokens, 384]
///
/// The weight lies in panels from the first use without gradients on, packed once for all tasks; while it is trained, in
/// rows. Parameters: "weight" `[outputs, inputs]` and "bias" `[outputs]`, as PyTorch's `nn.Linear`.
public struct Linear: Layer {
  private var storage: LinearWeight
  /// `[outputs]`, or nil.
  public var bias: Tensor?
  /// What is applied to the result, in the same pass.
  public let activation: Activation?

  /// `[outputs, inputs]`. Reading it copies it out of its panels if need be.
  ///
  /// - Precondition: a new weight has the shape of the old one.
  public var weight: Tensor {
    get { storage.rows }
    set {
      require(newValue.shape == storage.shape, "Linear: a weight \(newValue.shape) for one of \(storage.shape)")
      storage = LinearWeight(newValue)
    }
  }

  /// The width of what goes in.
  public var inputs: Int { storage.shape[1] }
  /// The width of what comes out.
  public var outputs: Int { storage.shape[0] }

  /// Creates a layer from its parameters.
  ///
  /// - Precondition: the weight is `[outputs, inputs]`, and the bias, if there is one, `[outputs]`.
  public init(weight: Tensor, bias: Tensor? = nil, activation: Activation? = nil) {
    storage = LinearWeight(weight)
    require(
      bias.map { $0.shape == [weight.shape[0]] } ?? true,
      "Linear: a bias \(bias?.shape ?? []) for a weight \(weight.shape)")
    self.bias = bias
    self.activation = activation
  }

  /// Creates a layer whose weight is packed already, as a checkpoint's is.
  ///
  /// - Precondition: the bias, if there is one, is `[outputs]`.
  package init(packed: PackedMatrix, bias: Tensor? = nil, activation: Activation? = nil) {
    storage = LinearWeight(packed)
    require(
      bias.map { $0.shape == [packed.columns] } ?? true,
      "Linear: a bias \(bias?.shape ?? []) for \(packed.columns) outputs")
    self.bias = bias
    self.activation = activation
  }

  /// Creates a layer with the initial values that PyTorch draws: uniform on ±1/√inputs.
  ///
  /// - Precondition: the widths are not negative.
  public init(
    inputs: Int, outputs: Int, hasBias: Bool = true, activation: Activation? = nil,
    using generator: inout some RandomNumberGenerator
  ) {
    require(inputs >= 0 && outputs >= 0, "Linear: \(inputs) inputs and \(outputs) outputs")
    self.init(
      weight: Tensor(linearUniform: [outputs, inputs], inputs: inputs, using: &generator),
      bias: hasBias ? Tensor(linearUniform: [outputs], inputs: inputs, using: &generator) : nil,
      activation: activation)
  }

  /// The map of each row of `[…, inputs]`, as `[…, outputs]`. O(rows · inputs · outputs).
  ///
  /// - Precondition: the last axis has `inputs` elements.
  public func callAsFunction(_ x: Tensor) -> Tensor { applied(to: x, outputs: 0..<outputs, bias: bias) }

  /// Some of the outputs with another bias: what the layer of these rows of the weight would give.
  func applied(to x: Tensor, outputs part: Range<Int>, bias: Tensor?) -> Tensor {
    require(x.shape.last == inputs, "Linear: an input \(x.shape) for a weight \(storage.shape)")
    guard storage.isTracked else {
      return linear(x, packed: storage.packed(part), bias: bias, activation: activation)
    }
    let rows = storage.rows
    return linear(
      x, weight: part == 0..<outputs ? rows : rows.sliced(part), bias: bias, activation: activation)
  }

  /// The cross-entropy of labels under the layer's results for some rows, which are never held all at once:
  /// `linearCrossEntropy`. O(rows · inputs · outputs).
  ///
  /// - Parameters:
  ///   - rows: `[rows, inputs]`.
  ///   - labels: the output that each row should choose.
  ///   - ignored: a label whose rows have no loss and no gradient; nil for none.
  ///   - smoothing: the share of each label that all outputs have in common.
  ///   - reduction: what becomes of the rows' losses.
  /// - Returns: a scalar, or `[rows]` losses where they are not reduced.
  /// - Precondition: the layer has no activation; the rows have its width; one label for each row, and each one an output or
  ///   the ignored one; the smoothing lies in 0...1.
  public func crossEntropy(
    _ rows: Tensor, labels: [Int], ignoring ignored: Int? = -100, smoothing: Float = 0,
    reduction: LossReduction = .mean
  ) -> Tensor {
    require(activation == nil, "Linear: the results of an activation are no logits")
    guard storage.isTracked else {
      return linearCrossEntropy(
        rows, packed: storage.packed(0..<outputs), bias: bias, labels: labels, ignoring: ignored,
        smoothing: smoothing, reduction: reduction)
    }
    return linearCrossEntropy(
      rows, weight: storage.rows, bias: bias, labels: labels, ignoring: ignored, smoothing: smoothing,
      reduction: reduction)
  }

  /// Some rows of the weight, `[ids, inputs]`. O(ids · inputs).
  ///
  /// - Precondition: each id is below ``outputs``.
  func weightRows(_ ids: [Int]) -> Tensor { storage.gathered(ids) }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try visitWeight(visit)
    if bias != nil { try visit("bias", .parameter, &bias!) }
  }

  private mutating func visitWeight(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    // Of this value alone: an optimizer writes to it in place.
    if isKnownUniquelyReferenced(&storage), var rows = storage.takeRows() {
      defer { storage.putBack(rows) }
      return try visit("weight", .parameter, &rows)
    }
    let before = weight
    var weight = before
    try visit("weight", .parameter, &weight)
    // Looking at it leaves it packed.
    if !weight.isSame(as: before) { self.weight = weight }
  }
}
