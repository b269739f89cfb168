import AttentionTensors

/// What a ``GPT2`` is made of; config.json of model type "gpt2".
public struct GPT2Configuration: Sendable, Equatable {
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
  /// The feed-forward part's activation.
  public var activation: Activation
  /// The longest sequence: the rows of the position table.
  public var maximumLength: Int
  /// What the norms add to the variance.
  public var epsilon: Float
  /// Whether the scores of tokens are products with the token embeddings; else the model has a map of its own for them.
  public var isTied: Bool
  /// Whether attention scores are divided by √(d / heads).
  public var scalesScores: Bool
  /// Whether attention scores are divided by the number of their block, counted from 1.
  public var scalesScoresByBlock: Bool
  /// The standard deviation of initial weights.
  public var initialDeviation: Float
  /// The probability with which elements are dropped in training.
  public var dropout: Float
  /// The token that begins a text, if there is one.
  public var beginID: Int?
  /// The tokens that end a text.
  public var endIDs: [Int]

  /// Creates a configuration; the defaults are those of GPT-2 small.
  public init(
    vocabularySize: Int = 50_257, width: Int = 768, blockCount: Int = 12, heads: Int = 12,
    feedForwardWidth: Int? = nil, activation: Activation = .geluTanh, maximumLength: Int = 1024, epsilon: Float = 1e-5,
    isTied: Bool = true, scalesScores: Bool = true, scalesScoresByBlock: Bool = false, initialDeviation: Float = 0.02,
    dropout: Float = 0, beginID: Int? = nil, endIDs: [Int] = []
  ) {
    self.vocabularySize = vocabularySize
    self.width = width
    self.blockCount = blockCount
    self.heads = heads
    self.feedForwardWidth = feedForwardWidth ?? 4 * width
    self.activation = activation
    self.maximumLength = maximumLength
    self.epsilon = epsilon
    self.isTied = isTied
    self.scalesScores = scalesScores
    self.scalesScoresByBlock = scalesScoresByBlock
    self.initialDeviation = initialDeviation
    self.dropout = dropout
    self.beginID = beginID
    self.endIDs = endIDs
  }

  init(_ file: JSONField) throws(ModelFileError) {
    if file["add_cross_attention"].exists {
      guard try !file["add_cross_attention"].boolean() else { throw file["add_cross_attention"].unsupported("true") }
    }
    let limit = 1...(1 << 24)
    let width = try file["n_embd"].integer(in: limit)
    let heads = try file["n_head"].integer(in: 1...width)
    guard width.isMultiple(of: heads) else {
      throw file["n_head"].notExpected("a divisor of n_embd, \(width)")
    }
    let positions = file["n_positions"].exists || !file["n_ctx"].exists ? file["n_positions"] : file["n_ctx"]
    let vocabularySize = try file["vocab_size"].integer(in: limit)
    self.init(
      vocabularySize: vocabularySize, width: width, blockCount: try file["n_layer"].integer(in: 1...10_000),
      heads: heads, feedForwardWidth: try file["n_inner"].exists ? file["n_inner"].integer(in: limit) : 4 * width,
      activation: try file["activation_function"].activation(default: .geluTanh),
      maximumLength: try positions.integer(in: limit),
      epsilon: Float(try file["layer_norm_epsilon"].number(default: 1e-5, in: 0...1)),
      isTied: try file["tie_word_embeddings"].boolean(default: true),
      scalesScores: try file["scale_attn_weights"].boolean(default: true),
      scalesScoresByBlock: try file["scale_attn_by_inverse_layer_idx"].boolean(default: false),
      initialDeviation: Float(try file["initializer_range"].number(default: 0.02, in: 0...1)),
      beginID: try file["bos_token_id"].tokenIDs().first, endIDs: try file["eos_token_id"].tokenIDs())
    // Configurations of small models keep GPT-2's 50256, of which they have no row.
    if let id = beginID, id >= vocabularySize { beginID = nil }
    endIDs.removeAll { $0 >= vocabularySize }
  }

  /// The factor of attention scores in a block; nil for 1/√(d / heads).
  func scale(ofBlock index: Int) -> Float? {
    guard !scalesScores || scalesScoresByBlock else { return nil }
    let width = scalesScores ? 1 / Float(self.width / heads).squareRoot() : 1
    return scalesScoresByBlock ? width / Float(index + 1) : width
  }
}

extension GPT2Configuration {
  /// config.json as transformers reads it.
  var json: JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    json.key("architectures")
    json.beginArray()
    json.string("GPT2LMHeadModel")
    json.endArray()
    json.key("model_type")
    json.string("gpt2")
    for (key, value) in [
      ("vocab_size", vocabularySize), ("n_embd", width), ("n_layer", blockCount), ("n_head", heads),
      ("n_inner", feedForwardWidth), ("n_positions", maximumLength), ("n_ctx", maximumLength),
    ] {
      json.key(key)
      json.integer(value)
    }
    json.key("activation_function")
    json.string(activation.checkpointName)
    for (key, value) in [
      ("layer_norm_epsilon", epsilon), ("initializer_range", initialDeviation), ("resid_pdrop", dropout),
      ("embd_pdrop", dropout), ("attn_pdrop", dropout),
    ] {
      json.key(key)
      json.number(value)
    }
    for (key, value) in [
      ("tie_word_embeddings", isTied), ("scale_attn_weights", scalesScores),
      ("scale_attn_by_inverse_layer_idx", scalesScoresByBlock),
    ] {
      json.key(key)
      json.boolean(value)
    }
    json.key("bos_token_id")
    json.tokenIDs(beginID.map { [$0] } ?? [])
    json.key("eos_token_id")
    json.tokenIDs(endIDs)
    json.endObject()
    return json
  }
}

extension JSONField {
  /// True or false; the default where there is nothing.
  func boolean(default: Bool) throws(ModelFileError) -> Bool { exists ? try boolean() : `default` }
}
