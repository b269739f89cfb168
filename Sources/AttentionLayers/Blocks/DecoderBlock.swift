import AttentionCore
import AttentionTensors

/// Causal self-attention, attention to an encoder's output, and a feed-forward part, each with its residual sum and its
/// norm (Vaswani et al., 1706.03762, §3.1).
///
/// Parameters, as PyTorch's `nn.TransformerDecoderLayer`: "self_attn.…", "multihead_attn.…", "linear1.…", "linear2.…",
/// "norm1.…", "norm2.…", "norm3.…".
public struct DecoderBlock: Layer {
  /// What the block is made of.
  public let configuration: BlockConfiguration
  /// Attention of the rows to those before them.
  public var selfAttention: MultiHeadAttention
  /// Attention to the memory.
  public var crossAttention: MultiHeadAttention
  /// The position-wise part.
  public var feedForward: FeedForward
  /// Around self-attention.
  public var norm1: Normalisation
  /// Around attention to the memory.
  public var norm2: Normalisation
  /// Around the feed-forward part.
  public var norm3: Normalisation

  /// Creates a block with PyTorch's initial values.
  public init(_ configuration: BlockConfiguration, using generator: inout some RandomNumberGenerator) {
    self.configuration = configuration
    selfAttention = configuration.makeAttention(using: &generator)
    crossAttention = configuration.makeAttention(using: &generator, isCross: true)
    feedForward = configuration.makeFeedForward(using: &generator)
    norm1 = configuration.makeNorm()
    norm2 = configuration.makeNorm()
    norm3 = configuration.makeNorm()
  }

  /// Creates a block from its parts.
  package init(
    _ configuration: BlockConfiguration, selfAttention: MultiHeadAttention, crossAttention: MultiHeadAttention,
    feedForward: FeedForward, norms: [LayerNorm]
  ) {
    require(norms.count == 3, "DecoderBlock: \(norms.count) norms")
    self.configuration = configuration
    self.selfAttention = selfAttention
    self.crossAttention = crossAttention
    self.feedForward = feedForward
    norm1 = .layer(norms[0])
    norm2 = .layer(norms[1])
    norm3 = .layer(norms[2])
  }

  /// What one block keeps between the steps of incremental decoding.
  public struct State: Sendable {
    /// Keys and values of the rows so far.
    public var cache: KeyValueCache
    /// Keys and values of the memory, computed once.
    public internal(set) var memory: KeyValueCache
  }

  /// `[tokens, width]` to `[tokens, width]`, for training and for whole sequences.
  ///
  /// - Parameters:
  ///   - x: the rows.
  ///   - layout: the sequences.
  ///   - memory: the encoder's output, `[memory tokens, width]`.
  ///   - memoryLayout: its sequences, as many.
  ///   - mask: of self-attention; causal unless given.
  ///   - memoryMask: of attention to the memory: padding of the source, if any.
  ///   - key: what decides what is dropped in training; nothing unless given.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, memory: Tensor, memoryLayout: SequenceLayout,
    mask: AttentionMask = .causal(.start), memoryMask: AttentionMask = .none, dropout key: DropoutKey? = nil
  ) -> Tensor {
    run(x, dropout: key) {
      selfAttention($0, layout: layout, mask: mask, dropout: key?.child(0))
    } cross: {
      crossAttention(
        $0, layout: layout, memory: memory, memoryLayout: memoryLayout, mask: memoryMask, dropout: key?.child(4))
    }
  }

  /// The state before the first row.
  public func makeState(memory: Tensor, layout: SequenceLayout) -> State {
    State(
      cache: selfAttention.makeCache(sequenceCount: layout.sequenceCount),
      memory: crossAttention.prepared(memory: memory, layout: layout))
  }

  /// The next rows of each sequence, after those that the state holds. No gradients.
  public func callAsFunction(_ x: Tensor, layout: SequenceLayout, state: inout State) -> Tensor {
    var cache = state.cache
    let memory = state.memory
    defer { state.cache = cache }
    return run(x, dropout: nil) {
      selfAttention($0, layout: layout, cache: &cache)
    } cross: {
      crossAttention($0, layout: layout, prepared: memory)
    }
  }

  private func run(
    _ x: Tensor, dropout key: DropoutKey?, attend: (Tensor) -> Tensor, cross: (Tensor) -> Tensor
  ) -> Tensor {
    func dropped(_ x: Tensor, _ place: Int) -> Tensor { configuration.dropped(x, key?.child(place)) }
    switch configuration.normPlacement {
    case .post:
      let attended = norm1(ofSum: dropped(attend(x), 1), x)
      let crossed = norm2(ofSum: dropped(cross(attended), 5), attended)
      return norm3(ofSum: dropped(feedForward(crossed, dropout: key?.child(2)), 3), crossed)
    case .pre:
      let (first, sum) = norm2(dropped(attend(norm1(x)), 1), adding: x)
      let (second, total) = norm3(dropped(cross(first), 5), adding: sum)
      return total + dropped(feedForward(second, dropout: key?.child(2)), 3)
    }
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try selfAttention.visitParameters(under: "self_attn", visit)
    try crossAttention.visitParameters(under: "multihead_attn", visit)
    try feedForward.visitParameters(visit)
    try norm1.visitParameters(under: "norm1", visit)
    try norm2.visitParameters(under: "norm2", visit)
    try norm3.visitParameters(under: "norm3", visit)
  }
}
