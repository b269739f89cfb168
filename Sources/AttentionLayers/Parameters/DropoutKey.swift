/// What decides which elements are dropped in one training step: a number from which every place of a model derives its own.
///
///     let key = DropoutKey(seed: generator.next())
///     let y = block(x, layout: layout, dropout: key)
///
/// Equal keys drop equal elements: the way back recomputes what was dropped, and a step can be repeated. Without a key
/// nothing is dropped.
public struct DropoutKey: Sendable, Hashable {
  /// The bits of the key.
  public let seed: UInt64

  /// Creates a key; each training step takes another.
  public init(seed: UInt64) { self.seed = seed }

  /// The key of one of several places: different for each, and unlike its neighbours' (SplitMix64's finaliser).
  public func child(_ place: Int) -> DropoutKey {
    var bits = seed &+ (UInt64(truncatingIfNeeded: place) &+ 1) &* 0x9E37_79B9_7F4A_7C15
    bits = (bits ^ (bits >> 30)) &* 0xBF58_476D_1CE4_E5B9
    bits = (bits ^ (bits >> 27)) &* 0x94D0_49BB_1331_11EB
    return DropoutKey(seed: bits ^ (bits >> 31))
  }
}
