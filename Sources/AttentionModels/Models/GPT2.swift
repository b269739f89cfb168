import AttentionCore
import AttentionLayers
import AttentionTensors

/// GPT-2 (Radford et al., 2019, "Language models are unsupervised multitask learners", §2.3): token and position
/// embeddings, blocks that normalise first and attend to what is before them, a last norm, and the scores of the next
/// token.
///
///     let model = try GPT2(ModelFolder(path: "gpt2"))
///     let layout = SequenceLayout(lengths: [2, 3])
///     let hidden = model([464, 3290, 40, 588, 284], layout: layout)   // [5, 768]
///     let scores = model.scores(hidden)                                // [5, 50257]
///
/// A batch is its tokens end to end: there is no padding. A sequence's result does not depend on its batch mates, nor on
/// whether its first tokens came from a cache (bit for bit on cores with AVX-512, within float32's rounding elsewhere).
public struct GPT2: Layer {
  /// What the model is made of.
  public let configuration: GPT2Configuration
  /// A row for each token, and its scores where they are tied.
  public var tokens: TiedEmbedding
  /// A row for each position.
  public var positions: Embedding
  /// The blocks, and the last norm.
  public var decoder: TransformerEncoder
  /// From rows to scores of tokens, without a bias; nil where the token embeddings serve.
  public var head: Linear?

  /// Reads a model from a folder. Weights of linear maps may be `[inputs, outputs]`, as GPT-2's, or `[outputs, inputs]`,
  /// as `nn.Linear`'s; names may begin with "transformer.".
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts the configuration.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    var configuration = try GPT2Configuration(folder.configuration(ofType: "gpt2"))
    // What ends a text is said here first, as in transformers.
    if let file = try folder.optionalDocument("generation_config.json"), file["eos_token_id"].exists {
      configuration.endIDs = try file["eos_token_id"].tokenIDs().filter { $0 < configuration.vocabularySize }
    }
    var checkpoint = try folder.checkpoint().removing(prefix: "transformer.", ifBefore: "wte.weight")
    try checkpoint.requireNoBlock(from: configuration.blockCount, under: "h.", "n_layer")
    let width = configuration.width
    let isTransposed = checkpoint.shape(of: "h.0.attn.c_attn.weight") == [3 * width, width]
    try self.init(configuration, order: isTransposed ? .outputsFirst : .inputsFirst, from: &checkpoint)
  }

  /// Creates a model with random weights as its authors drew them: those that write to the sum of the blocks smaller, by
  /// 1/√(2 · blocks).
  ///
  /// - Precondition: there is a block, and the heads divide the width.
  public init(_ configuration: GPT2Configuration, using generator: inout some RandomNumberGenerator) {
    var source = RandomParameters(generator: generator, deviation: configuration.initialDeviation)
    self.init(configuration, order: .inputsFirst, from: &source)
    generator = source.generator
  }

  private init<Source: ParameterSource>(
    _ configuration: GPT2Configuration, order: WeightOrder, from source: inout Source
  ) throws(Source.Failure) {
    require(configuration.blockCount > 0, "GPT2: \(configuration.blockCount) blocks")
    let (width, epsilon) = (configuration.width, configuration.epsilon)
    self.configuration = configuration
    if configuration.isTied {
      tokens = TiedEmbedding(
        map: try source.plainLinear("wte", inputs: width, outputs: configuration.vocabularySize))
    } else {
      // Gathered from alone: rows are the better form.
      tokens = TiedEmbedding(
        weight: try source.embedding("wte", count: configuration.vocabularySize, width: width).weight)
    }
    positions = try source.embedding("wpe", count: configuration.maximumLength, width: width)
    var blocks: [EncoderBlock] = []
    for index in 0..<configuration.blockCount {
      blocks.append(try GPT2.block(configuration, index, order, from: &source))
    }
    decoder = TransformerEncoder(
      blocks: blocks, norm: try source.norm("ln_f", width: width, epsilon: epsilon))
    if !configuration.isTied {
      head = try source.plainLinear("lm_head", inputs: width, outputs: configuration.vocabularySize)
    }
  }

  private static func block<Source: ParameterSource>(
    _ model: GPT2Configuration, _ index: Int, _ order: WeightOrder, from source: inout Source
  ) throws(Source.Failure) -> EncoderBlock {
    let (width, inner, name) = (model.width, model.feedForwardWidth, "h.\(index)")
    let configuration = BlockConfiguration(
      width: width, heads: model.heads, feedForwardWidth: inner, activation: model.activation, normPlacement: .pre,
      epsilon: model.epsilon, dropout: model.dropout, options: AttentionOptions(scale: model.scale(ofBlock: index)))
    let residualFactor = 1 / Float(2 * model.blockCount).squareRoot()
    let norm1 = try source.norm("\(name).ln_1", width: width, epsilon: model.epsilon)
    let attention = MultiHeadAttention(
      heads: model.heads,
      projection: try source.linear("\(name).attn.c_attn", inputs: width, outputs: 3 * width, order: order),
      outputProjection: try source.linear(
        "\(name).attn.c_proj", inputs: width, outputs: width, order: order, deviationFactor: residualFactor),
      dropout: model.dropout, options: configuration.options)
    let norm2 = try source.norm("\(name).ln_2", width: width, epsilon: model.epsilon)
    let feedForward = FeedForward(
      linear1: try source.linear(
        "\(name).mlp.c_fc", inputs: width, outputs: inner, order: order, activation: model.activation),
      linear2: try source.linear(
        "\(name).mlp.c_proj", inputs: inner, outputs: width, order: order, deviationFactor: residualFactor),
      dropout: model.dropout)
    return EncoderBlock(configuration, attention: attention, feedForward: feedForward, norm1: norm1, norm2: norm2)
  }

  /// Writes config.json and model.safetensors as transformers lays them out; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    var parameters = CheckpointTensors()
    parameters.vector("transformer.wte.weight", tokens.weight)
    parameters.embedding("transformer.wpe", positions)
    for (index, block) in decoder.blocks.enumerated() {
      let name = "transformer.h.\(index)"
      parameters.norm("\(name).ln_1", block.norm1)
      parameters.linear(
        ["\(name).attn.c_attn"], block.attention.projectionWeight, block.attention.projectionBias, order: .inputsFirst)
      parameters.linear("\(name).attn.c_proj", block.attention.outputProjection, order: .inputsFirst)
      parameters.norm("\(name).ln_2", block.norm2)
      parameters.linear("\(name).mlp.c_fc", block.feedForward.linear1, order: .inputsFirst)
      parameters.linear("\(name).mlp.c_proj", block.feedForward.linear2, order: .inputsFirst)
    }
    if let norm = decoder.norm { parameters.norm("transformer.ln_f", norm) }
    if let head { parameters.vector("lm_head.weight", head.weight) }
    try folder.write(configuration: configuration.json, parameters)
  }

  // MARK: Forward

  /// The rows of the last norm, `[tokens, width]`.
  ///
  /// O(tokens · width² + Σ length² · width) for each block.
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sequences, end to end.
  ///   - layout: the sequences.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layout has tokens, each below the vocabulary's size, and no sequence is
  ///   longer than the model's maximum.
  public func callAsFunction(_ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey? = nil) -> Tensor {
    var rows = embedded(ids, layout: layout, after: nil)
    if let key, configuration.dropout > 0 {
      rows = rows.dropped(probability: configuration.dropout, seed: key.child(1).seed)
    }
    return decoder(rows, layout: layout, mask: .causal(.start), dropout: key?.child(0))
  }

  /// An empty cache for each block.
  public func makeCaches(sequenceCount: Int) -> [KeyValueCache] { decoder.makeCaches(sequenceCount: sequenceCount) }

  /// The rows of tokens that come after those that the caches hold, `[tokens, width]`; the caches hold them too then. No
  /// gradients.
  ///
  /// - Parameters:
  ///   - ids: the new tokens of all sequences, end to end.
  ///   - layout: the new tokens of each sequence; a length may be 0.
  ///   - caches: what ``makeCaches(sequenceCount:)`` gave, and earlier calls filled.
  /// - Precondition: as for the call without caches; positions count what the caches hold.
  public func callAsFunction(_ ids: [Int], layout: SequenceLayout, caches: inout [KeyValueCache]) -> Tensor {
    decoder(embedded(ids, layout: layout, after: caches.first?.lengths), layout: layout, caches: &caches)
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

  private func embedded(_ ids: [Int], layout: SequenceLayout, after lengths: [Int]?) -> Tensor {
    require(ids.count == layout.tokenCount, "GPT2: \(ids.count) ids for \(layout.tokenCount) tokens")
    let longest = zip(layout.lengths, lengths ?? layout.lengths.map { _ in 0 }).map { $0 + $1 }.max() ?? 0
    require(
      longest <= configuration.maximumLength,
      "GPT2: a sequence of \(longest) tokens, and the model has \(configuration.maximumLength) positions")
    return tokens(ids) + positions(layout.positions(startingAt: lengths))
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try tokens.visitParameters(under: "wte", visit)
    try positions.visitParameters(under: "wpe", visit)
    try decoder.visitParameters(under: "decoder", visit)
    if head != nil { try head!.visitParameters(under: "lm_head", visit) }
  }
}
