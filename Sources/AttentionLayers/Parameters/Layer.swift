import AttentionTensors

/// What a tensor of a layer is to those who train it.
public enum ParameterRole: String, Sendable {
  /// Learned: gradients flow to it, and an optimizer changes it.
  case parameter
  /// Kept by the layer itself while it trains, such as a running mean: saved and loaded, and never optimised.
  case statistic
}

/// A value that holds parameters, all of which it lists in one method.
///
/// Loading, saving, counting, optimising and the tracking of gradients all go through ``visitParameters(_:)``. A layer
/// made of layers lists theirs under its own names:
///
///     public mutating func visitParameters(
///       _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
///     ) rethrows {
///       try norm.visitParameters(under: "norm", visit)
///       try visit("weight", .parameter, &weight)
///     }
public protocol Layer: Sendable {
  /// Calls `visit` with each parameter's name, in an order that never changes, and its place.
  ///
  /// Names are PyTorch's where a checkpoint has them, such as "self_attn.in_proj_weight".
  mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows
}

extension Layer {
  /// Lists the parameters under the name of the place that this layer has in another.
  public mutating func visitParameters(
    under name: String, _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try visitParameters { try visit("\(name).\($0)", $1, &$2) }
  }
}
