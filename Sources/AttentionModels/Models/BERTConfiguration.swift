import AttentionTensors

/// What a ``BERT`` is made of; config.json of model type "bert".
public struct BERTConfiguration: Sendable, Equatable {
  /// The tokens that there are.
  public var vocabularySize: Int
  /// The width of a row, d.
  public var width: Int
  /// The number of blocks.
  public var blockCount: Int
  /// The heads of attention; they divide the width.
  public var heads: Int
  /// The inner width of the feed-forward part.
  public var feedForwardWidth: Int
  /// The feed-forward part's activation, and the masked-token head's.
  public var activation: Activation
  /// The longest sequence: the rows of the position table.
  public var maximumLength: Int
  /// The rows of the segment table.
  public var segmentCount: Int
  /// What the norms add to the variance.
  public var epsilon: Float
  /// Whether the masked-token head scores by the token embeddings.
  public var tiesTokenHead: Bool
  /// The standard deviation of initial weights.
  public var initialDeviation: Float
  /// The probability with which elements are dropped in training.
  public var dropout: Float

  /// Creates a configuration; the defaults are those of BERT base.
  public init(
    vocabularySize: Int = 30_522, width: Int = 768, blockCount: Int = 12, heads: Int = 12,
    feedForwardWidth: Int? = nil, activation: Activation = .gelu, maximumLength: Int = 512, segmentCount: Int = 2,
    epsilon: Float = 1e-12, tiesTokenHead: Bool = true, initialDeviation: Float = 0.02, dropout: Float = 0
  ) {
    self.vocabularySize = vocabularySize
    self.width = width
    self.blockCount = blockCount
    self.heads = heads
    self.feedForwardWidth = feedForwardWidth ?? 4 * width
    self.activation = activation
    self.maximumLength = maximumLength
    self.segmentCount = segmentCount
    self.epsilon = epsilon
    self.tiesTokenHead = tiesTokenHead
    self.initialDeviation = initialDeviation
    self.dropout = dropout
  }

  init(_ file: JSONField) throws(ModelFileError) {
    let position = file["position_embedding_type"]
    if position.exists {
      guard try position.string() == "absolute" else { throw position.unsupported(try position.string()) }
    }
    for key in ["is_decoder", "add_cross_attention"] where file[key].exists {
      guard try !file[key].boolean() else { throw file[key].unsupported("true") }
    }
    let limit = 1...(1 << 24)
    let width = try file["hidden_size"].integer(in: limit)
    let heads = try file["num_attention_heads"].integer(in: 1...width)
    guard width.isMultiple(of: heads) else {
      throw file["num_attention_heads"].notExpected("a divisor of hidden_size, \(width)")
    }
    self.init(
      vocabularySize: try file["vocab_size"].integer(in: limit), width: width,
      blockCount: try file["num_hidden_layers"].integer(in: 0...10_000), heads: heads,
      feedForwardWidth: try file["intermediate_size"].integer(in: limit),
      activation: try file["hidden_act"].activation(default: .gelu),
      maximumLength: try file["max_position_embeddings"].integer(in: limit),
      segmentCount: try file["type_vocab_size"].integer(in: limit),
      epsilon: Float(try file["layer_norm_eps"].number(default: 1e-12, in: 0...1)),
      tiesTokenHead: try file["tie_word_embeddings"].exists ? file["tie_word_embeddings"].boolean() : true,
      initialDeviation: Float(try file["initializer_range"].number(default: 0.02, in: 0...1)))
  }
}

extension BERTConfiguration {
  /// config.json as transformers reads it.
  func json(architecture: String) -> JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    json.key("architectures")
    json.beginArray()
    json.string(architecture)
    json.endArray()
    json.key("model_type")
    json.string("bert")
    for (key, value) in [
      ("vocab_size", vocabularySize), ("hidden_size", width), ("num_hidden_layers", blockCount),
      ("num_attention_heads", heads), ("intermediate_size", feedForwardWidth),
      ("max_position_embeddings", maximumLength), ("type_vocab_size", segmentCount),
    ] {
      json.key(key)
      json.integer(value)
    }
    json.key("hidden_act")
    json.string(activation.checkpointName)
    for (key, value) in [
      ("layer_norm_eps", epsilon), ("initializer_range", initialDeviation), ("hidden_dropout_prob", dropout),
      ("attention_probs_dropout_prob", dropout),
    ] {
      json.key(key)
      json.number(value)
    }
    json.key("tie_word_embeddings")
    json.boolean(tiesTokenHead)
    json.key("position_embedding_type")
    json.string("absolute")
    json.endObject()
    return json
  }
}
