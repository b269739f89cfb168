/// What an optimizer does with some parameters in its own way.
public struct ParameterGroup: Sendable, Equatable {
  /// The weight decay.
  public var weightDecay: Float
  /// What the learning rate is multiplied with.
  public var rateFactor: Float

  /// Creates a group.
  public init(weightDecay: Float, rateFactor: Float = 1) {
    self.weightDecay = weightDecay
    self.rateFactor = rateFactor
  }
}

/// Which group each parameter of a model belongs to.
///
///     // No decay for norms and biases; the embeddings learn more slowly.
///     let groups = ParameterGroups { name, shape in
///       ParameterGroup(
///         weightDecay: shape.count < 2 ? 0 : 0.1, rateFactor: name.hasPrefix("wte.") ? 0.5 : 1)
///     }
public struct ParameterGroups: Sendable {
  private let rule: @Sendable (_ name: String, _ shape: [Int]) -> ParameterGroup

  /// Creates groups from a rule on the names and shapes that a model lists; equal arguments have equal groups.
  public init(_ rule: @escaping @Sendable (_ name: String, _ shape: [Int]) -> ParameterGroup) { self.rule = rule }

  /// Decay for matrices and tables alone: norms and biases, which have fewer than two axes, have none.
  public static func matrices(weightDecay: Float) -> ParameterGroups {
    ParameterGroups { _, shape in ParameterGroup(weightDecay: shape.count < 2 ? 0 : weightDecay) }
  }

  /// One decay for all parameters.
  public static func all(weightDecay: Float) -> ParameterGroups {
    ParameterGroups { _, _ in ParameterGroup(weightDecay: weightDecay) }
  }

  /// The group of a parameter.
  public func group(name: String, shape: [Int]) -> ParameterGroup { rule(name, shape) }
}
