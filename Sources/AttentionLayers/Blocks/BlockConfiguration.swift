import AttentionCore
import AttentionTensors

/// Where a block normalises.
public enum NormPlacement: String, Sendable, CaseIterable {
  /// After each residual sum: norm(x + f(x)), as in Vaswani et al. (1706.03762) and BERT.
  case post
  /// Before each sublayer: x + f(norm(x)), as in GPT-2 (Xiong et al., 2002.04745).
  case pre
}

/// What an encoder's or a decoder's block is made of.
public struct BlockConfiguration: Sendable {
  /// The width of a row.
  public var width: Int
  /// The query heads of attention.
  public var heads: Int
  /// The kv heads; as many as heads if nil.
  public var keyValueHeads: Int?
  /// The inner width of the feed-forward part.
  public var feedForwardWidth: Int
  /// The feed-forward part's activation.
  public var activation: Activation
  /// Whether the feed-forward part is gated (Shazeer, 2002.05202).
  public var isGated: Bool
  /// Where the block normalises.
  public var normPlacement: NormPlacement
  /// How it normalises.
  public var norm: Normalisation.Kind
  /// What the norms add to the variance.
  public var epsilon: Float
  /// Whether linear maps and layer norms have biases.
  public var hasBias: Bool
  /// The probability with which elements are dropped in training: attention weights, inner activations, and what each
  /// sublayer adds.
  public var dropout: Float
  /// How queries and keys of self-attention are turned by their positions, if they are.
  public var rotary: RotaryEmbedding?
  /// Scale, softcap and path of attention.
  public var options: AttentionOptions

  /// Creates a configuration; the defaults are those of PyTorch's `nn.TransformerEncoderLayer`, but for dropout.
  ///
  /// - Precondition: the widths are positive, and the dropout lies in 0..<1.
  public init(
    width: Int, heads: Int, keyValueHeads: Int? = nil, feedForwardWidth: Int? = nil, activation: Activation = .relu,
    isGated: Bool = false, normPlacement: NormPlacement = .post, norm: Normalisation.Kind = .layer,
    epsilon: Float = 1e-5, hasBias: Bool = true, dropout: Float = 0, rotary: RotaryEmbedding? = nil,
    options: AttentionOptions = .init()
  ) {
    require(
      width > 0 && feedForwardWidth ?? 1 > 0 && dropout >= 0 && dropout < 1,
      "BlockConfiguration: width \(width), feed-forward \(feedForwardWidth ?? 4 * width), dropout \(dropout)")
    self.width = width
    self.heads = heads
    self.keyValueHeads = keyValueHeads
    self.feedForwardWidth = feedForwardWidth ?? 4 * width
    self.activation = activation
    self.isGated = isGated
    self.normPlacement = normPlacement
    self.norm = norm
    self.epsilon = epsilon
    self.hasBias = hasBias
    self.dropout = dropout
    self.rotary = rotary
    self.options = options
  }

  func makeAttention(using generator: inout some RandomNumberGenerator, isCross: Bool = false) -> MultiHeadAttention {
    MultiHeadAttention(
      width: width, heads: heads, keyValueHeads: keyValueHeads, hasBias: hasBias, dropout: dropout,
      rotary: isCross ? nil : rotary, options: options, using: &generator)
  }

  func makeFeedForward(using generator: inout some RandomNumberGenerator) -> FeedForward {
    FeedForward(
      width: width, innerWidth: feedForwardWidth, activation: activation, isGated: isGated, hasBias: hasBias,
      dropout: dropout, using: &generator)
  }

  func makeNorm() -> Normalisation { Normalisation(norm, width: width, epsilon: epsilon, hasBias: hasBias) }
}
