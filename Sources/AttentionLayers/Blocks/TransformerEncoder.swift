import AttentionCore
import AttentionTensors

/// Encoder blocks one after the other, and a last norm where blocks normalise first.
///
/// (Swift's `Encoder` is the protocol of `Codable`.) With a causal mask, and caches, the same stack is a GPT-like decoder. Parameters, as PyTorch's
/// `nn.TransformerEncoder`: "layers.0.…", "layers.1.…", and "norm.…" if there is a last norm.
public struct TransformerEncoder: Layer {
  /// The blocks, first to last.
  public var blocks: [EncoderBlock]
  /// After the last block.
  public var norm: Normalisation?

  /// Creates a stack with PyTorch's initial values.
  ///
  /// - Parameters:
  ///   - configuration: of every block.
  ///   - blockCount: the number of blocks.
  ///   - hasFinalNorm: whether the last block's output is normalised; where blocks normalise first unless given.
  ///   - generator: where the initial values come from.
  public init(
    _ configuration: BlockConfiguration, blockCount: Int, hasFinalNorm: Bool? = nil,
    using generator: inout some RandomNumberGenerator
  ) {
    require(blockCount >= 0, "TransformerEncoder: \(blockCount) blocks")
    blocks = (0..<blockCount).map { _ in EncoderBlock(configuration, using: &generator) }
    norm = hasFinalNorm ?? (configuration.normPlacement == .pre) ? configuration.makeNorm() : nil
  }

  /// Creates a stack from its blocks.
  package init(blocks: [EncoderBlock], norm: LayerNorm? = nil) {
    self.blocks = blocks
    self.norm = norm.map { .layer($0) }
  }

  /// `[tokens, width]` to `[tokens, width]`.
  ///
  /// - Parameters:
  ///   - x: the rows.
  ///   - layout: the sequences.
  ///   - mask: which rows of its sequence a row may attend to.
  ///   - key: what decides what is dropped in training; nothing unless given.
  ///   - recomputing: whether the way back computes each block again instead of keeping what it needs: the memory of one
  ///     block instead of all, for a third more time.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, mask: AttentionMask = .none, dropout key: DropoutKey? = nil,
    recomputing: Bool = false
  ) -> Tensor {
    var x = x
    for (index, block) in blocks.enumerated() {
      let key = key?.child(index)
      x =
        recomputing
        ? recomputed(block, x) { $0($1, layout: layout, mask: mask, dropout: key) }
        : block(x, layout: layout, mask: mask, dropout: key)
    }
    return norm.map { $0(x) } ?? x
  }

  /// An empty cache for each block.
  public func makeCaches(sequenceCount: Int, window: Int? = nil) -> [KeyValueCache] {
    blocks.map { $0.attention.makeCache(sequenceCount: sequenceCount, window: window) }
  }

  /// New rows of sequences whose earlier ones the caches hold, one for each block. No gradients.
  ///
  /// - Precondition: there is a cache for each block.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, caches: inout [KeyValueCache], mask: AttentionMask = .causal(.end)
  ) -> Tensor {
    require(caches.count == blocks.count, "TransformerEncoder: \(caches.count) caches for \(blocks.count) blocks")
    var x = x
    for (index, block) in blocks.enumerated() { x = block(x, layout: layout, cache: &caches[index], mask: mask) }
    return norm.map { $0(x) } ?? x
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    for index in blocks.indices { try blocks[index].visitParameters(under: "layers.\(index)", visit) }
    if norm != nil { try norm!.visitParameters(under: "norm", visit) }
  }
}
