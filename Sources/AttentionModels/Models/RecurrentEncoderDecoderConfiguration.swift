import AttentionLayers
import AttentionTensors

/// What a ``RecurrentEncoderDecoder`` is made of; config.json of model type "recurrent-encoder-decoder".
public struct RecurrentEncoderDecoderConfiguration: Sendable, Equatable {
  /// The tokens of the source.
  public var sourceVocabularySize: Int
  /// The tokens of the target.
  public var targetVocabularySize: Int
  /// The width of a token's embedding, m.
  public var embeddingWidth: Int
  /// The width of a state, n: of each of the encoder's directions, and of the decoder.
  public var width: Int
  /// How wide the scores of the alignment are inside.
  public var attentionWidth: Int
  /// The width of the rows that tokens are scored from.
  public var readoutWidth: Int
  /// Whether source and target have one table of embeddings.
  public var sharesEmbeddings: Bool
  /// Whether the scores of tokens are products with the target's embeddings, which are as wide as readouts then; else the model
  /// has a map of its own for them.
  public var isTied: Bool
  /// The probability with which elements are dropped in training.
  public var dropout: Float
  /// The token that a target begins with, if there is one.
  public var beginID: Int?
  /// The token that ends a target, if there is one.
  public var endID: Int?

  /// Creates a configuration; the defaults are the sizes of Bahdanau et al., 1409.0473, A.2.3.
  public init(
    sourceVocabularySize: Int = 30_000, targetVocabularySize: Int? = nil, embeddingWidth: Int = 620,
    width: Int = 1000, attentionWidth: Int? = nil, readoutWidth: Int? = nil, sharesEmbeddings: Bool = false,
    isTied: Bool = false, dropout: Float = 0, beginID: Int? = nil, endID: Int? = nil
  ) {
    self.sourceVocabularySize = sourceVocabularySize
    self.targetVocabularySize = targetVocabularySize ?? sourceVocabularySize
    self.embeddingWidth = embeddingWidth
    self.width = width
    self.attentionWidth = attentionWidth ?? width
    self.readoutWidth = readoutWidth ?? (isTied ? embeddingWidth : width)
    self.sharesEmbeddings = sharesEmbeddings
    self.isTied = isTied
    self.dropout = dropout
    self.beginID = beginID
    self.endID = endID
  }

  static let modelType = "recurrent-encoder-decoder"

  init(_ file: JSONField) throws(ModelFileError) {
    let limit = 1...(1 << 24)
    let source = try file["source_vocab_size"].integer(in: limit)
    let target = try file["target_vocab_size"].integer(in: limit)
    let shares = try file["share_embeddings"].boolean(default: false)
    guard !shares || source == target else {
      throw file["target_vocab_size"].notExpected("source_vocab_size, \(source), although they share embeddings")
    }
    let embeddingWidth = try file["embedding_size"].integer(in: limit)
    let readoutWidth = try file["readout_size"].integer(in: limit)
    let isTied = try file["tie_word_embeddings"].boolean(default: false)
    guard !isTied || readoutWidth == embeddingWidth else {
      throw file["readout_size"].notExpected("embedding_size, \(embeddingWidth), although the embeddings are tied")
    }
    func token(_ key: String) throws(ModelFileError) -> Int? {
      try file[key].exists ? file[key].integer(in: 0...(target - 1)) : nil
    }
    self.init(
      sourceVocabularySize: source, targetVocabularySize: target, embeddingWidth: embeddingWidth,
      width: try file["hidden_size"].integer(in: limit), attentionWidth: try file["attention_size"].integer(in: limit),
      readoutWidth: readoutWidth, sharesEmbeddings: shares, isTied: isTied,
      dropout: try file["dropout"].probability(), beginID: try token("bos_token_id"),
      endID: try token("eos_token_id"))
  }

  /// config.json.
  var json: JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    json.key("model_type")
    json.string(Self.modelType)
    for (key, value) in [
      ("source_vocab_size", sourceVocabularySize), ("target_vocab_size", targetVocabularySize),
      ("embedding_size", embeddingWidth), ("hidden_size", width), ("attention_size", attentionWidth),
      ("readout_size", readoutWidth),
    ] {
      json.key(key)
      json.integer(value)
    }
    json.key("dropout")
    json.number(dropout)
    for (key, value) in [("share_embeddings", sharesEmbeddings), ("tie_word_embeddings", isTied)] {
      json.key(key)
      json.boolean(value)
    }
    for (key, value) in [("bos_token_id", beginID), ("eos_token_id", endID)] {
      json.key(key)
      json.tokenIDs(value.map { [$0] } ?? [])
    }
    json.endObject()
    return json
  }
}
