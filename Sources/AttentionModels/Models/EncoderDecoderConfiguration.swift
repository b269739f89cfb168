import AttentionLayers
import AttentionTensors

/// What an ``EncoderDecoder`` is made of; config.json of model type "attention-encoder-decoder".
public struct EncoderDecoderConfiguration: Sendable, Equatable {
  /// The tokens of the source.
  public var sourceVocabularySize: Int
  /// The tokens of the target.
  public var targetVocabularySize: Int
  /// The width of a row, d.
  public var width: Int
  /// The number of encoder blocks.
  public var encoderBlocks: Int
  /// The number of decoder blocks.
  public var decoderBlocks: Int
  /// The heads of attention; they divide the width.
  public var heads: Int
  /// The inner width of the feed-forward part.
  public var feedForwardWidth: Int
  /// The feed-forward part's activation.
  public var activation: Activation
  /// What the norms add to the variance.
  public var epsilon: Float
  /// Where blocks normalise.
  public var normPlacement: NormPlacement
  /// Whether the last rows of both stacks are normalised once more, as PyTorch's `nn.Transformer` does.
  public var hasFinalNorms: Bool
  /// Whether source and target have one table of embeddings.
  public var sharesEmbeddings: Bool
  /// Whether the scores of tokens are products with the target's embeddings; else the model has a map of its own for them.
  public var isTied: Bool
  /// The probability with which elements are dropped in training.
  public var dropout: Float
  /// The token that a target begins with, if there is one.
  public var beginID: Int?
  /// The token that ends a target, if there is one.
  public var endID: Int?

  /// Creates a configuration; the defaults are those of the base model of Vaswani et al., 1706.03762, table 3, and one table
  /// of embeddings for all as in §3.4.
  public init(
    sourceVocabularySize: Int = 37_000, targetVocabularySize: Int? = nil, width: Int = 512, encoderBlocks: Int = 6,
    decoderBlocks: Int = 6, heads: Int = 8, feedForwardWidth: Int? = nil, activation: Activation = .relu,
    epsilon: Float = 1e-5, normPlacement: NormPlacement = .post, hasFinalNorms: Bool? = nil,
    sharesEmbeddings: Bool = true, isTied: Bool = true, dropout: Float = 0, beginID: Int? = nil, endID: Int? = nil
  ) {
    self.sourceVocabularySize = sourceVocabularySize
    self.targetVocabularySize = targetVocabularySize ?? sourceVocabularySize
    self.width = width
    self.encoderBlocks = encoderBlocks
    self.decoderBlocks = decoderBlocks
    self.heads = heads
    self.feedForwardWidth = feedForwardWidth ?? 4 * width
    self.activation = activation
    self.epsilon = epsilon
    self.normPlacement = normPlacement
    self.hasFinalNorms = hasFinalNorms ?? (normPlacement == .pre)
    self.sharesEmbeddings = sharesEmbeddings
    self.isTied = isTied
    self.dropout = dropout
    self.beginID = beginID
    self.endID = endID
  }

  static let modelType = "attention-encoder-decoder"

  init(_ file: JSONField) throws(ModelFileError) {
    let limit = 1...(1 << 24)
    let width = try file["d_model"].integer(in: limit)
    let heads = try file["num_heads"].integer(in: 1...width)
    guard width.isMultiple(of: heads) else { throw file["num_heads"].notExpected("a divisor of d_model, \(width)") }
    let source = try file["source_vocab_size"].integer(in: limit)
    let target = try file["target_vocab_size"].integer(in: limit)
    let shares = try file["share_embeddings"].boolean(default: false)
    guard !shares || source == target else {
      throw file["target_vocab_size"].notExpected("source_vocab_size, \(source), although they share embeddings")
    }
    func token(_ key: String) throws(ModelFileError) -> Int? {
      try file[key].exists ? file[key].integer(in: 0...(target - 1)) : nil
    }
    self.init(
      sourceVocabularySize: source, targetVocabularySize: target, width: width,
      encoderBlocks: try file["encoder_layers"].integer(in: 1...10_000),
      decoderBlocks: try file["decoder_layers"].integer(in: 1...10_000), heads: heads,
      feedForwardWidth: try file["ffn_dim"].integer(in: limit),
      activation: try file["activation_function"].activation(default: .relu),
      epsilon: Float(try file["layer_norm_eps"].number(default: 1e-5, in: 0...1)),
      normPlacement: try file["norm_first"].boolean(default: false) ? .pre : .post,
      hasFinalNorms: try file["final_norms"].boolean(default: true), sharesEmbeddings: shares,
      isTied: try file["tie_word_embeddings"].boolean(default: false), beginID: try token("bos_token_id"),
      endID: try token("eos_token_id"))
  }

  /// config.json.
  var json: JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    json.key("model_type")
    json.string(Self.modelType)
    for (key, value) in [
      ("source_vocab_size", sourceVocabularySize), ("target_vocab_size", targetVocabularySize), ("d_model", width),
      ("encoder_layers", encoderBlocks), ("decoder_layers", decoderBlocks), ("num_heads", heads),
      ("ffn_dim", feedForwardWidth),
    ] {
      json.key(key)
      json.integer(value)
    }
    json.key("activation_function")
    json.string(activation.checkpointName)
    for (key, value) in [("layer_norm_eps", epsilon), ("dropout", dropout)] {
      json.key(key)
      json.number(value)
    }
    for (key, value) in [
      ("norm_first", normPlacement == .pre), ("final_norms", hasFinalNorms), ("share_embeddings", sharesEmbeddings),
      ("tie_word_embeddings", isTied),
    ] {
      json.key(key)
      json.boolean(value)
    }
    for (key, value) in [("bos_token_id", beginID), ("eos_token_id", endID)] {
      json.key(key)
      if let value { json.integer(value) } else { json.null() }
    }
    json.endObject()
    return json
  }

  /// Of every block.
  var block: BlockConfiguration {
    BlockConfiguration(
      width: width, heads: heads, feedForwardWidth: feedForwardWidth, activation: activation,
      normPlacement: normPlacement, epsilon: epsilon, dropout: dropout)
  }
}
