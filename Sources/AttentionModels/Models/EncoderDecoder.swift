import AttentionCore
import AttentionLayers
import AttentionTensors

/// The transformer of Vaswani et al. (1706.03762, §3): an encoder of the source, and a decoder of the target that attends to
/// the encoder's output; embeddings times √d plus sines and cosines of the positions.
///
///     let model = EncoderDecoder(EncoderDecoderConfiguration(beginID: 0, endID: 1), using: &generator)
///     let loss = model.loss(source: [[5, 9, 2]], target: [[7, 4]])
///     let found = try await model.generate(after: [[5, 9, 2]])   // [[7, 4]], once it is trained
///
/// A batch is its tokens end to end, source and target each with a layout of its own: there is no padding, and so no mask
/// for it. Decoding step by step gives what the whole target gives (bit for bit on cores with AVX-512, within float32's
/// rounding elsewhere). Parameters: "source_embedding.weight", unless the target's serve for both, "target_embedding.weight",
/// "transformer.…" as PyTorch's `nn.Transformer`, and "generator.weight", unless the target's embeddings serve.
public struct EncoderDecoder: StoredModel {
  /// What the model is made of.
  public let configuration: EncoderDecoderConfiguration
  /// A row for each token of the source; nil where the target's serve.
  public var sourceTokens: Embedding?
  /// A row for each token of the target, and its scores where they are tied.
  public var targetTokens: TiedEmbedding
  /// Encoder and decoder.
  public var stack: EncoderDecoderStack
  /// From rows to scores of tokens, without a bias; nil where the target's embeddings serve.
  public var head: Linear?

  /// Reads a model from a folder that ``save(to:)`` wrote, or one like it.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts the configuration.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let file = try folder.configuration(ofType: EncoderDecoderConfiguration.modelType)
    var checkpoint = try folder.checkpoint()
    try self.init(EncoderDecoderConfiguration(file), from: &checkpoint)
  }

  /// Creates a model with random weights: uniform by Xavier's bound, biases 0, embeddings normal with the variance 1/d.
  ///
  /// - Precondition: the heads divide the width, and embeddings that are shared have one vocabulary.
  public init(_ configuration: EncoderDecoderConfiguration, using generator: inout some RandomNumberGenerator) {
    var source = XavierParameters(generator: generator)
    self.init(configuration, from: &source)
    generator = source.generator
  }

  private init<Source: ParameterSource>(
    _ configuration: EncoderDecoderConfiguration, from source: inout Source
  ) throws(Source.Failure) {
    let (width, count) = (configuration.width, configuration.targetVocabularySize)
    require(
      !configuration.sharesEmbeddings || configuration.sourceVocabularySize == count,
      "EncoderDecoder: \(configuration.sourceVocabularySize) and \(count) tokens cannot share embeddings")
    self.configuration = configuration
    if !configuration.sharesEmbeddings {
      sourceTokens = try source.embedding(
        "source_embedding", count: configuration.sourceVocabularySize, width: width)
    }
    if configuration.isTied {
      targetTokens = TiedEmbedding(map: try source.plainLinear("target_embedding", inputs: width, outputs: count))
    } else {
      targetTokens = TiedEmbedding(weight: try source.embedding("target_embedding", count: count, width: width).weight)
      head = try source.plainLinear("generator", inputs: width, outputs: count)
    }
    let block = configuration.block
    func finalNorm(_ name: String) throws(Source.Failure) -> LayerNorm? {
      guard configuration.hasFinalNorms else { return nil }
      return try source.norm("transformer.\(name).norm", width: width, epsilon: configuration.epsilon)
    }
    var encoders: [EncoderBlock] = []
    for index in 0..<configuration.encoderBlocks {
      let name = "transformer.encoder.layers.\(index)"
      encoders.append(
        EncoderBlock(
          block, attention: try Self.attention("\(name).self_attn", block, from: &source),
          feedForward: try Self.feedForward(name, block, from: &source),
          norm1: try source.norm("\(name).norm1", width: width, epsilon: configuration.epsilon),
          norm2: try source.norm("\(name).norm2", width: width, epsilon: configuration.epsilon)))
    }
    let encoder = TransformerEncoder(blocks: encoders, norm: try finalNorm("encoder"))
    var decoders: [DecoderBlock] = []
    for index in 0..<configuration.decoderBlocks {
      let name = "transformer.decoder.layers.\(index)"
      var norms: [LayerNorm] = []
      for norm in ["norm1", "norm2", "norm3"] {
        norms.append(try source.norm("\(name).\(norm)", width: width, epsilon: configuration.epsilon))
      }
      decoders.append(
        DecoderBlock(
          block, selfAttention: try Self.attention("\(name).self_attn", block, from: &source),
          crossAttention: try Self.attention("\(name).multihead_attn", block, from: &source),
          feedForward: try Self.feedForward(name, block, from: &source), norms: norms))
    }
    stack = EncoderDecoderStack(
      encoder: encoder, decoder: TransformerDecoder(blocks: decoders, norm: try finalNorm("decoder")))
  }

  private static func attention<Source: ParameterSource>(
    _ name: String, _ block: BlockConfiguration, from source: inout Source
  ) throws(Source.Failure) -> MultiHeadAttention {
    MultiHeadAttention(
      heads: block.heads,
      projection: try source.linear("\(name).in_proj", inputs: block.width, outputs: 3 * block.width),
      outputProjection: try source.linear("\(name).out_proj", inputs: block.width, outputs: block.width),
      dropout: block.dropout)
  }

  private static func feedForward<Source: ParameterSource>(
    _ name: String, _ block: BlockConfiguration, from source: inout Source
  ) throws(Source.Failure) -> FeedForward {
    FeedForward(
      linear1: try source.linear(
        "\(name).linear1", inputs: block.width, outputs: block.feedForwardWidth, activation: block.activation),
      linear2: try source.linear("\(name).linear2", inputs: block.feedForwardWidth, outputs: block.width),
      dropout: block.dropout)
  }

  /// Writes config.json and model.safetensors, under the names of ``visitParameters(_:)``; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    try folder.write(configuration: configuration.json, CheckpointTensors(of: self))
  }

  // MARK: Forward

  /// The encoder's output, `[source tokens, width]`. O(tokens · width² + Σ length² · width) for each block.
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sources, end to end.
  ///   - layout: the sources.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layout has tokens, each below the vocabulary's size.
  public func encoded(_ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey? = nil) -> Tensor {
    let rows = embedded(ids, layout, after: nil, dropout: key?.child(2)) { sourceTokens?($0) ?? targetTokens($0) }
    return stack.encoder(rows, layout: layout, dropout: key?.child(0))
  }

  /// The decoder's rows, `[target tokens, width]`, for training and for whole targets.
  ///
  /// - Parameters:
  ///   - source: the tokens of all sources, end to end.
  ///   - sourceLayout: the sources.
  ///   - target: what the decoder reads, end to end: the begin token and the target, but for its last token.
  ///   - targetLayout: the targets, as many.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layouts have tokens, each below its vocabulary's size.
  public func callAsFunction(
    source: [Int], sourceLayout: SequenceLayout, target: [Int], targetLayout: SequenceLayout,
    dropout key: DropoutKey? = nil
  ) -> Tensor {
    require(
      sourceLayout.sequenceCount == targetLayout.sequenceCount,
      "EncoderDecoder: \(sourceLayout.sequenceCount) sources and \(targetLayout.sequenceCount) targets")
    let memory = encoded(source, layout: sourceLayout, dropout: key)
    let rows = embedded(target, targetLayout, after: nil, dropout: key?.child(3)) { targetTokens($0) }
    return stack.decoder(
      rows, layout: targetLayout, memory: memory, memoryLayout: sourceLayout, dropout: key?.child(1))
  }

  /// The scores of every target token to come next, for each row: `[rows, target vocabulary]`.
  ///
  /// - Precondition: the rows are the decoder's.
  public func scores(_ hidden: Tensor) -> Tensor { head.map { $0(hidden) } ?? targetTokens.scores(hidden) }

  /// The summed cross-entropy of labels under the scores of the decoder's rows, in nats, without those scores ever being
  /// there as a whole. O(rows · vocabulary · width).
  ///
  /// - Parameters:
  ///   - hidden: the decoder's rows.
  ///   - labels: one for each row; -100 is ignored.
  ///   - smoothing: the share of each label that all tokens have in common (Vaswani et al., 1706.03762, §5.4).
  /// - Precondition: one label for each row, and each one a token of the target or -100; the smoothing lies in 0...1.
  public func crossEntropy(ofHidden hidden: Tensor, labels: [Int], smoothing: Float = 0) -> Tensor {
    head?.crossEntropy(hidden, labels: labels, smoothing: smoothing, reduction: .sum)
      ?? targetTokens.crossEntropy(hidden, labels: labels, smoothing: smoothing, reduction: .sum)
  }

  /// The rows of the target's next tokens, `[tokens, width]`; the state has read them then. No gradients.
  func decoded(_ ids: [Int], layout: SequenceLayout, state: inout TransformerDecoder.State) -> Tensor {
    let rows = embedded(ids, layout, after: state.lengths, dropout: nil) { targetTokens($0) }
    return stack.decoder(rows, layout: layout, state: &state)
  }

  private func embedded(
    _ ids: [Int], _ layout: SequenceLayout, after lengths: [Int]?, dropout key: DropoutKey?,
    _ table: ([Int]) -> Tensor
  ) -> Tensor {
    require(ids.count == layout.tokenCount, "EncoderDecoder: \(ids.count) ids for \(layout.tokenCount) tokens")
    let width = configuration.width
    let rows =
      Float(width).squareRoot() * table(ids)
      + SinusoidalPositions(width: width)(layout.positions(startingAt: lengths))
    guard let key, configuration.dropout > 0 else { return rows }
    return rows.dropped(probability: configuration.dropout, seed: key.seed)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if sourceTokens != nil { try sourceTokens!.visitParameters(under: "source_embedding", visit) }
    try targetTokens.visitParameters(under: "target_embedding", visit)
    try stack.visitParameters(under: "transformer", visit)
    if head != nil { try head!.visitParameters(under: "generator", visit) }
  }
}
