import AttentionCore
import AttentionTensors

/// Self-attention and a feed-forward part, each with its residual sum and its norm: the block of BERT-like encoders and,
/// with a causal mask, of GPT-like decoders.
///
///     let block = EncoderBlock(BlockConfiguration(width: 384, heads: 12, activation: .gelu), using: &generator)
///     let y = block(x, layout: layout)   // [tokens, 384]
///
/// Parameters, as PyTorch's `nn.TransformerEncoderLayer`: "self_attn.…", "linear1.…", "linear2.…", "norm1.…", "norm2.…".
public struct EncoderBlock: Layer {
  /// What the block is made of.
  public let configuration: BlockConfiguration
  /// Attention of the rows to each other.
  public var attention: MultiHeadAttention
  /// The position-wise part.
  public var feedForward: FeedForward
  /// Around attention.
  public var norm1: Normalisation
  /// Around the feed-forward part.
  public var norm2: Normalisation

  /// Creates a block with PyTorch's initial values.
  public init(_ configuration: BlockConfiguration, using generator: inout some RandomNumberGenerator) {
    self.configuration = configuration
    attention = configuration.makeAttention(using: &generator)
    feedForward = configuration.makeFeedForward(using: &generator)
    norm1 = configuration.makeNorm()
    norm2 = configuration.makeNorm()
  }

  /// Creates a block from its parts.
  package init(
    _ configuration: BlockConfiguration, attention: MultiHeadAttention, feedForward: FeedForward, norm1: LayerNorm,
    norm2: LayerNorm
  ) {
    self.configuration = configuration
    self.attention = attention
    self.feedForward = feedForward
    self.norm1 = .layer(norm1)
    self.norm2 = .layer(norm2)
  }

  /// `[tokens, width]` to `[tokens, width]`.
  ///
  /// - Parameters:
  ///   - x: the rows.
  ///   - layout: the sequences.
  ///   - mask: which rows of its sequence a row may attend to.
  ///   - key: what decides what is dropped in training; nothing unless given.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, mask: AttentionMask = .none, dropout key: DropoutKey? = nil
  ) -> Tensor {
    run(x, dropout: key) { attention($0, layout: layout, mask: mask, dropout: key?.child(0)) }
  }

  /// As the call, and the weights of attention as well, `[Hq, L, L]` for each sequence; they carry no gradients.
  public func withWeights(
    _ x: Tensor, layout: SequenceLayout, mask: AttentionMask = .none
  ) -> (output: Tensor, weights: [Tensor]) {
    var weights: [Tensor] = []
    let output = run(x, dropout: nil) { x in
      let (output, found) = attention.withWeights(x, layout: layout, mask: mask)
      weights = found
      return output
    }
    return (output, weights)
  }

  /// New rows of sequences whose earlier ones the cache holds; they are added to it. No gradients.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, cache: inout KeyValueCache, mask: AttentionMask = .causal(.end)
  ) -> Tensor {
    run(x, dropout: nil) { attention($0, layout: layout, cache: &cache, mask: mask) }
  }

  private func run(_ x: Tensor, dropout key: DropoutKey?, _ attend: (Tensor) -> Tensor) -> Tensor {
    func dropped(_ x: Tensor, _ place: Int) -> Tensor { configuration.dropped(x, key?.child(place)) }
    switch configuration.normPlacement {
    case .post:
      let attended = norm1(ofSum: dropped(attend(x), 1), x)
      return norm2(ofSum: dropped(feedForward(attended, dropout: key?.child(2)), 3), attended)
    case .pre:
      let (normalised, sum) = norm2(dropped(attend(norm1(x)), 1), adding: x)
      return sum + dropped(feedForward(normalised, dropout: key?.child(2)), 3)
    }
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try attention.visitParameters(under: "self_attn", visit)
    try feedForward.visitParameters(visit)
    try norm1.visitParameters(under: "norm1", visit)
    try norm2.visitParameters(under: "norm2", visit)
  }
}

extension BlockConfiguration {
  func dropped(_ x: Tensor, _ key: DropoutKey?) -> Tensor {
    guard let key, dropout > 0 else { return x }
    return x.dropped(probability: dropout, seed: key.seed)
  }
}
