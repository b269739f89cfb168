import AttentionCore
import AttentionLayers
import AttentionTensors

/// A language model of recurrent layers (Mikolov et al., 2010, "Recurrent neural network based language model"; with LSTM,
/// Zaremba et al., 1409.2329): token embeddings, stacked layers of one kind of cell, and the scores of the next token.
///
///     let configuration = RecurrentLanguageModelConfiguration(vocabularySize: 4096, cell: .lstm, width: 512)
///     let model = RecurrentLanguageModel(configuration, using: &generator)
///     let hidden = model.hidden([464, 329, 40], layout: SequenceLayout(lengths: [3]), dropout: nil)   // [3, 512]
///     let scores = model.scores(hidden)                                                               // [3, 4096]
///
/// A batch is its tokens end to end: there is no padding, and a sequence's result does not depend on its batch mates, nor on
/// whether its first tokens were read before (bit for bit on cores with AVX-512, within float32's rounding elsewhere).
/// In training, elements are dropped between layers as by `torch.nn.LSTM`, and of the embeddings and the last rows too, as
/// Zaremba et al. do it (§3.2): never on the way from step to step.
///
/// Parameters: "embedding.weight", "rnn.weight_ih_l0" and so on as `torch.nn.LSTM`, `GRU` or `RNN`, and "head.weight" unless
/// the embeddings serve.
public struct RecurrentLanguageModel: StoredModel {
  /// What the model is made of.
  public let configuration: RecurrentLanguageModelConfiguration
  /// A row for each token, and its scores where they are tied.
  public var tokens: TiedEmbedding
  /// The recurrent layers.
  public var layers: RecurrentLayers
  /// From rows to scores of tokens, without a bias; nil where the token embeddings serve.
  public var head: Linear?

  /// Reads a model from a folder that ``save(to:)`` wrote, or one like it.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts the configuration.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let configuration = try RecurrentLanguageModelConfiguration(
      folder.configuration(ofType: RecurrentLanguageModelConfiguration.modelType))
    var checkpoint = try folder.checkpoint()
    try checkpoint.requireNoBlock(from: configuration.layerCount, under: "rnn.weight_ih_l", "num_layers")
    try checkpoint.requireNone("head.weight", if: configuration.isTied, "tie_word_embeddings is true")
    try self.init(configuration, from: &checkpoint)
  }

  /// Creates a model with random weights: those of the layers and the head as PyTorch draws them, uniform on ±1/√width, and
  /// embeddings normal with the deviation 1; 0.1 where they serve as the head, whose scores begin small so.
  ///
  /// - Precondition: sizes are positive; tied embeddings are as wide as states.
  public init(
    _ configuration: RecurrentLanguageModelConfiguration, using generator: inout some RandomNumberGenerator
  ) {
    var source = PyTorchParameters(generator: generator, embeddingDeviation: configuration.isTied ? 0.1 : 1)
    self.init(configuration, from: &source)
    generator = source.generator
  }

  private init<Source: ParameterSource>(
    _ configuration: RecurrentLanguageModelConfiguration, from source: inout Source
  ) throws(Source.Failure) {
    let (width, count) = (configuration.width, configuration.vocabularySize)
    require(
      !configuration.isTied || configuration.embeddingWidth == width,
      "RecurrentLanguageModel: embeddings \(configuration.embeddingWidth) wide cannot score states \(width) wide")
    self.configuration = configuration
    tokens = TiedEmbedding(
      weight: try source.embedding("embedding", count: count, width: configuration.embeddingWidth).weight)
    layers = try RecurrentLayers(configuration, from: &source)
    if !configuration.isTied { head = try source.plainLinear("head", inputs: width, outputs: count) }
  }

  /// Writes config.json and model.safetensors, under the names of ``visitParameters(_:)``; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    try folder.write(configuration: configuration.json, CheckpointTensors(of: self))
  }

  // MARK: Forward

  /// Embeddings through all layers, `[tokens, width]`; the state has read them then.
  func rows(
    _ ids: [Int], layout: SequenceLayout, state: inout RecurrentState, dropout key: DropoutKey?
  ) -> Tensor {
    require(
      ids.count == layout.tokenCount, "RecurrentLanguageModel: \(ids.count) ids for \(layout.tokenCount) tokens")
    let probability = configuration.dropout
    func dropped(_ rows: Tensor, _ place: Int) -> Tensor {
      guard let key, probability > 0 else { return rows }
      return rows.dropped(probability: probability, seed: key.child(place).seed)
    }
    let rows = layers(
      dropped(tokens(ids), 1), layout: layout, state: &state, dropout: probability > 0 ? key?.child(0) : nil)
    return dropped(rows, 2)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try tokens.visitParameters(under: "embedding", visit)
    try layers.visitParameters(under: "rnn", visit)
    if head != nil { try head!.visitParameters(under: "head", visit) }
  }
}

extension RecurrentLanguageModel: CausalLanguageModel {
  /// The tokens that there are.
  public var vocabularySize: Int { configuration.vocabularySize }
  /// A state goes on for ever.
  public var maximumLength: Int? { nil }
  /// The token that begins a text, if there is one.
  public var beginID: Int? { configuration.beginID }
  /// The tokens that end a text.
  public var endIDs: [Int] { configuration.endIDs }

  /// A state that has read nothing: zeros.
  public func makeState(sequenceCount: Int) -> RecurrentState {
    RecurrentState(
      layers: configuration.layerCount, sequences: sequenceCount, width: configuration.width,
      hasCell: configuration.cell == .lstm)
  }

  /// Reads tokens, and scores all tokens to come next, `[sequences with new tokens, vocabulary]`.
  ///
  /// O(layers · new tokens · width²), however many were read before.
  ///
  /// - Precondition: the layout has the state's sequences, and each id is below the vocabulary's size.
  public func scores(after ids: [Int], layout: SequenceLayout, state: inout RecurrentState) -> Tensor {
    let hidden = rows(ids, layout: layout, state: &state, dropout: nil)
    let rows = layout.lastRows
    return scores(rows.count == hidden.shape[0] ? hidden : hidden.gathered(rows: rows))
  }

  /// The last layer's state at each token, `[tokens, width]`, of sequences that begin with a state of zeros.
  ///
  /// O(layers · tokens · width²), and as many dependent steps for each layer as the longest sequence has tokens.
  ///
  /// - Precondition: there are as many ids as the layout has tokens, each below the vocabulary's size.
  public func hidden(_ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey?) -> Tensor {
    var state = makeState(sequenceCount: layout.sequenceCount)
    return rows(ids, layout: layout, state: &state, dropout: key)
  }

  /// The scores of every token to come next, for each row: `[rows, vocabulary]`. O(rows · vocabulary · width).
  ///
  /// - Precondition: the rows are the model's.
  public func scores(_ hidden: Tensor) -> Tensor { head.map { $0(hidden) } ?? tokens.scores(hidden) }

  /// The summed cross-entropy of labels under the scores of some rows, which are never held all at once.
  ///
  /// - Precondition: the rows are the model's; one label for each row, and each one a token or -100.
  public func crossEntropy(ofHidden hidden: Tensor, labels: [Int], smoothing: Float = 0) -> Tensor {
    head?.crossEntropy(hidden, labels: labels, smoothing: smoothing, reduction: .sum)
      ?? tokens.crossEntropy(hidden, labels: labels, smoothing: smoothing, reduction: .sum)
  }
}
