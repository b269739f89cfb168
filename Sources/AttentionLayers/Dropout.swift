import AttentionTensors

/// Dropout: in training each element is 0 with a probability, and else divided by what is left of 1 (Srivastava et al.,
/// Dropout: a simple way to prevent neural networks from overfitting, 2014).
///
///     let dropout = Dropout(probability: 0.1)
///     let y = dropout(x, using: &generator)   // training
///     let z = dropout(x)                      // inference: x itself
public struct Dropout: Layer {
  /// That an element is dropped.
  public var probability: Float

  /// Creates a layer that drops elements with a probability in 0..<1.
  public init(probability: Float = 0.5) {
    require(probability >= 0 && probability < 1, "Dropout: a probability of \(probability) does not lie in 0..<1")
    self.probability = probability
  }

  /// x itself: inference drops nothing.
  public func callAsFunction(_ x: Tensor) -> Tensor { x }

  /// x with elements dropped, as `Tensor.dropped(probability:seed:)`. Pass another seed for every call. O(count).
  public func callAsFunction(_ x: Tensor, seed: UInt64) -> Tensor { x.dropped(probability: probability, seed: seed) }

  /// x with elements dropped by a seed that the generator draws. O(count).
  public func callAsFunction(_ x: Tensor, using generator: inout some RandomNumberGenerator) -> Tensor {
    self(x, seed: generator.next())
  }

  /// Lists nothing: there are no parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {}
}
