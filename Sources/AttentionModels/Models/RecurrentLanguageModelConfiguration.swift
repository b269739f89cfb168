import AttentionLayers
import AttentionTensors

/// What a ``RecurrentLanguageModel`` is made of; config.json of model type "recurrent-lm".
public struct RecurrentLanguageModelConfiguration: Sendable, Equatable {
  /// What a step computes.
  public enum Cell: Sendable, Equatable {
    /// Long short-term memory.
    case lstm
    /// Gated recurrent units.
    case gru
    /// The simple network of Elman.
    case rnn(ElmanActivation)
  }

  /// The tokens that there are.
  public var vocabularySize: Int
  /// What a step computes.
  public var cell: Cell
  /// The width of a token's embedding.
  public var embeddingWidth: Int
  /// The width of a state.
  public var width: Int
  /// The number of layers, each reading the states of the one below.
  public var layerCount: Int
  /// Whether the scores of tokens are products with the token embeddings, which are as wide as states then; else the model has
  /// a map of its own for them.
  public var isTied: Bool
  /// The probability with which elements are dropped in training.
  public var dropout: Float
  /// The token that begins a text, if there is one.
  public var beginID: Int?
  /// The tokens that end a text.
  public var endIDs: [Int]

  /// Creates a configuration; embeddings are as wide as states unless their width is given.
  public init(
    vocabularySize: Int, cell: Cell = .lstm, width: Int = 256, embeddingWidth: Int? = nil, layerCount: Int = 2,
    isTied: Bool = false, dropout: Float = 0, beginID: Int? = nil, endIDs: [Int] = []
  ) {
    self.vocabularySize = vocabularySize
    self.cell = cell
    self.embeddingWidth = embeddingWidth ?? width
    self.width = width
    self.layerCount = layerCount
    self.isTied = isTied
    self.dropout = dropout
    self.beginID = beginID
    self.endIDs = endIDs
  }

  static let modelType = "recurrent-lm"

  init(_ file: JSONField) throws(ModelFileError) {
    let limit = 1...(1 << 24)
    let vocabularySize = try file["vocab_size"].integer(in: limit)
    let width = try file["hidden_size"].integer(in: limit)
    let embeddingWidth = try file["embedding_size"].exists ? file["embedding_size"].integer(in: limit) : width
    let isTied = try file["tie_word_embeddings"].boolean(default: false)
    guard !isTied || embeddingWidth == width else {
      throw file["embedding_size"].notExpected("hidden_size, \(width), although the embeddings are tied")
    }
    let tokens = 0...(vocabularySize - 1)
    self.init(
      vocabularySize: vocabularySize, cell: try Self.cell(file), width: width, embeddingWidth: embeddingWidth,
      layerCount: try file["num_layers"].integer(in: 1...10_000), isTied: isTied,
      dropout: try file["dropout"].probability(), beginID: try file["bos_token_id"].tokenIDs(in: tokens).first,
      endIDs: try file["eos_token_id"].tokenIDs(in: tokens))
  }

  private static func cell(_ file: JSONField) throws(ModelFileError) -> Cell {
    let name = try file["cell"].string()
    switch name {
    case "lstm": return .lstm
    case "gru": return .gru
    case "rnn":
      guard file["nonlinearity"].exists else { return .rnn(.tanh) }
      let activation = try file["nonlinearity"].string()
      guard let known = ElmanActivation(rawValue: activation) else {
        throw file["nonlinearity"].unsupported(activation)
      }
      return .rnn(known)
    default: throw file["cell"].unsupported(name)
    }
  }

  /// config.json.
  var json: JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    json.key("model_type")
    json.string(Self.modelType)
    json.key("cell")
    switch cell {
    case .lstm: json.string("lstm")
    case .gru: json.string("gru")
    case .rnn(let activation):
      json.string("rnn")
      json.key("nonlinearity")
      json.string(activation.rawValue)
    }
    for (key, value) in [
      ("vocab_size", vocabularySize), ("embedding_size", embeddingWidth), ("hidden_size", width),
      ("num_layers", layerCount),
    ] {
      json.key(key)
      json.integer(value)
    }
    json.key("dropout")
    json.number(dropout)
    json.key("tie_word_embeddings")
    json.boolean(isTied)
    json.key("bos_token_id")
    json.tokenIDs(beginID.map { [$0] } ?? [])
    json.key("eos_token_id")
    json.tokenIDs(endIDs)
    json.endObject()
    return json
  }
}
