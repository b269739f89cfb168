import AttentionCore
import AttentionLayers
import AttentionTensors

/// BERT (Devlin et al., 1810.04805, §3): token, segment and position embeddings, their norm, and encoder blocks that
/// normalise after each residual sum; a pooler, a masked-token head and a next-sentence head where the checkpoint has them.
///
///     let model = try BERT(ModelFolder(path: "all-MiniLM-L6-v2"))
///     let layout = SequenceLayout(lengths: [4, 3])
///     let hidden = model([101, 7592, 2088, 102, 101, 7592, 102], layout: layout)   // [7, 384]
///
/// A batch is its tokens end to end: there is no padding, and a sequence's result does not depend on its batch mates (bit
/// for bit on cores with AVX-512, within float32's rounding elsewhere).
public struct BERT: StoredModel {
  /// What the model is made of.
  public let configuration: BERTConfiguration
  /// A row for each token.
  public var tokens: Embedding
  /// A row for each position.
  public var positions: Embedding
  /// A row for each segment.
  public var segments: Embedding
  /// Of the embeddings' sum.
  public var norm: LayerNorm
  /// The blocks.
  public var encoder: TransformerEncoder
  /// From the first token's row to the sequence's, tanh; nil if the checkpoint has none.
  public var pooler: Linear?
  /// From rows to scores of tokens; nil if the checkpoint has none.
  public var maskedTokenHead: MaskedTokenHead?
  /// From pooled rows to two scores: that the second part of a pair follows the first, and that it does not; nil if the
  /// checkpoint has none. What has it has a pooler.
  public var nextSentenceHead: Linear?

  /// Scores of tokens for each row: a linear map with an activation, a norm, and the token embeddings once more (or, if the
  /// configuration does not tie them, a table of its own), with a bias (Devlin et al., A.2, and its code).
  public struct MaskedTokenHead: Layer {
    /// With the activation.
    public var transform: Linear
    /// Of the transformed rows.
    public var norm: LayerNorm
    /// A row for each token, `[vocabulary, width]`; nil where the token embeddings serve.
    public var decoder: Tensor?
    /// Of each token.
    public var bias: Tensor

    /// Lists the parameters.
    public mutating func visitParameters(
      _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
    ) rethrows {
      try transform.visitParameters(under: "transform", visit)
      try norm.visitParameters(under: "norm", visit)
      if decoder != nil { try visit("decoder.weight", .parameter, &decoder!) }
      try visit("bias", .parameter, &bias)
    }
  }

  /// Reads a model from a folder.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts the configuration.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let configuration = try BERTConfiguration(folder.configuration(ofType: "bert"))
    var checkpoint = try folder.checkpoint()
      .removing(prefix: "bert.", ifBefore: "embeddings.word_embeddings.weight")
    try checkpoint.requireNoBlock(from: configuration.blockCount, under: "encoder.layer.", "num_hidden_layers")
    let hasHead = checkpoint.contains("cls.predictions.transform.dense.weight")
    let judgesPairs = checkpoint.contains("cls.seq_relationship.weight")
    // The head alone has nothing to judge by: what it lacks is named.
    let hasPooler = judgesPairs || checkpoint.contains("pooler.dense.weight")
    // A head whose table is its own adds the bias beside that.
    let (shared, own) = ("cls.predictions.bias", "cls.predictions.decoder.bias")
    let usesOwn = checkpoint.contains(own) && (!configuration.tiesTokenHead || !checkpoint.contains(shared))
    try self.init(
      configuration, hasPooler: hasPooler, hasMaskedTokenHead: hasHead, hasNextSentenceHead: judgesPairs,
      headBias: usesOwn ? own : shared, from: &checkpoint)
  }

  /// Creates a model with random weights.
  ///
  /// - Precondition: with a next-sentence head there is a pooler.
  public init(
    _ configuration: BERTConfiguration, hasPooler: Bool = true, hasMaskedTokenHead: Bool = false,
    hasNextSentenceHead: Bool = false, using generator: inout some RandomNumberGenerator
  ) {
    require(hasPooler || !hasNextSentenceHead, "BERT: a next-sentence head without a pooler")
    var source = RandomParameters(generator: generator, deviation: configuration.initialDeviation)
    self.init(
      configuration, hasPooler: hasPooler, hasMaskedTokenHead: hasMaskedTokenHead,
      hasNextSentenceHead: hasNextSentenceHead, from: &source)
    generator = source.generator
  }

  private init<Source: ParameterSource>(
    _ configuration: BERTConfiguration, hasPooler: Bool, hasMaskedTokenHead: Bool, hasNextSentenceHead: Bool,
    headBias: String = "cls.predictions.bias", from source: inout Source
  ) throws(Source.Failure) {
    let (width, epsilon) = (configuration.width, configuration.epsilon)
    self.configuration = configuration
    tokens = try source.embedding("embeddings.word_embeddings", count: configuration.vocabularySize, width: width)
    positions = try source.embedding("embeddings.position_embeddings", count: configuration.maximumLength, width: width)
    segments = try source.embedding("embeddings.token_type_embeddings", count: configuration.segmentCount, width: width)
    norm = try source.norm("embeddings.LayerNorm", width: width, epsilon: epsilon)
    let block = BlockConfiguration(
      width: width, heads: configuration.heads, feedForwardWidth: configuration.feedForwardWidth,
      activation: configuration.activation, epsilon: epsilon, dropout: configuration.dropout)
    var blocks: [EncoderBlock] = []
    for index in 0..<configuration.blockCount {
      blocks.append(try BERT.block(block, "encoder.layer.\(index)", from: &source))
    }
    encoder = TransformerEncoder(blocks: blocks)
    if hasPooler { pooler = try source.linear("pooler.dense", inputs: width, outputs: width, activation: .tanh) }
    if hasMaskedTokenHead {
      let count = configuration.vocabularySize
      maskedTokenHead = MaskedTokenHead(
        transform: try source.linear(
          "cls.predictions.transform.dense", inputs: width, outputs: width, activation: configuration.activation),
        norm: try source.norm("cls.predictions.transform.LayerNorm", width: width, epsilon: epsilon),
        decoder: configuration.tiesTokenHead
          ? nil : try source.embedding("cls.predictions.decoder", count: count, width: width).weight,
        bias: try source.vector(headBias, width: count))
    }
    if hasNextSentenceHead { nextSentenceHead = try source.linear("cls.seq_relationship", inputs: width, outputs: 2) }
  }

  private static func block<Source: ParameterSource>(
    _ configuration: BlockConfiguration, _ name: String, from source: inout Source
  ) throws(Source.Failure) -> EncoderBlock {
    let (width, inner) = (configuration.width, configuration.feedForwardWidth)
    let attention = MultiHeadAttention(
      heads: configuration.heads,
      projection: try source.linear(
        ["query", "key", "value"].map { "\(name).attention.self.\($0)" }, inputs: width,
        outputs: [width, width, width],
        order: .outputsFirst, activation: nil, deviationFactor: 1),
      outputProjection: try source.linear("\(name).attention.output.dense", inputs: width, outputs: width),
      dropout: configuration.dropout)
    let norm1 = try source.norm("\(name).attention.output.LayerNorm", width: width, epsilon: configuration.epsilon)
    let feedForward = FeedForward(
      linear1: try source.linear(
        "\(name).intermediate.dense", inputs: width, outputs: inner, activation: configuration.activation),
      linear2: try source.linear("\(name).output.dense", inputs: inner, outputs: width),
      dropout: configuration.dropout)
    let norm2 = try source.norm("\(name).output.LayerNorm", width: width, epsilon: configuration.epsilon)
    return EncoderBlock(configuration, attention: attention, feedForward: feedForward, norm1: norm1, norm2: norm2)
  }

  /// Writes config.json and model.safetensors as transformers lays them out; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    var parameters = CheckpointTensors()
    let prefix = maskedTokenHead == nil && nextSentenceHead == nil ? "" : "bert."
    parameters.embedding("\(prefix)embeddings.word_embeddings", tokens)
    parameters.embedding("\(prefix)embeddings.position_embeddings", positions)
    parameters.embedding("\(prefix)embeddings.token_type_embeddings", segments)
    parameters.norm("\(prefix)embeddings.LayerNorm", norm)
    for (index, block) in encoder.blocks.enumerated() {
      let name = "\(prefix)encoder.layer.\(index)"
      parameters.linear(
        ["query", "key", "value"].map { "\(name).attention.self.\($0)" }, block.attention.projectionWeight,
        block.attention.projectionBias)
      parameters.linear("\(name).attention.output.dense", block.attention.outputProjection)
      parameters.norm("\(name).attention.output.LayerNorm", block.norm1)
      parameters.linear("\(name).intermediate.dense", block.feedForward.linear1)
      parameters.linear("\(name).output.dense", block.feedForward.linear2)
      parameters.norm("\(name).output.LayerNorm", block.norm2)
    }
    if let pooler { parameters.linear("\(prefix)pooler.dense", pooler) }
    if let head = maskedTokenHead {
      parameters.linear("cls.predictions.transform.dense", head.transform)
      parameters.norm("cls.predictions.transform.LayerNorm", head.norm)
      if let decoder = head.decoder {
        parameters.vector("cls.predictions.decoder.weight", decoder)
        parameters.vector("cls.predictions.decoder.bias", head.bias)
      }
      parameters.vector("cls.predictions.bias", head.bias)
    }
    if let nextSentenceHead { parameters.linear("cls.seq_relationship", nextSentenceHead) }
    try folder.write(configuration: configuration.json(architecture: architecture), parameters)
  }

  /// The class of transformers whose parameters these are. (Of a pooler beside a masked-token head there is none but with a
  /// next-sentence head; `BertForMaskedLM` leaves it aside, and nothing begins at random.)
  private var architecture: String {
    switch (maskedTokenHead != nil, nextSentenceHead != nil) {
    case (true, true): "BertForPreTraining"
    case (true, false): "BertForMaskedLM"
    case (false, true): "BertForNextSentencePrediction"
    case (false, false): "BertModel"
    }
  }

  // MARK: Forward

  /// The rows of the last block, `[tokens, width]`.
  ///
  /// O(tokens · width² + Σ length² · width) for each block.
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sequences, end to end.
  ///   - segments: the segment of each token; 0 for all unless given.
  ///   - layout: the sequences.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layout has tokens, each below its table's count, and no sequence is longer
  ///   than the model's maximum.
  public func callAsFunction(
    _ ids: [Int], segments: [Int]? = nil, layout: SequenceLayout, dropout key: DropoutKey? = nil
  ) -> Tensor {
    encoder(embedded(ids, segments: segments, layout: layout, dropout: key), layout: layout, dropout: key?.child(0))
  }

  /// What a forward pass looked like inside.
  public struct Inspection: Sendable {
    /// The rows of the last block, `[tokens, width]`.
    public let output: Tensor
    /// Rows by number: 0 are the embeddings, n the output of block n.
    public let hiddenStates: [Int: Tensor]
    /// By block, from 0: for each sequence the weights `[heads, L, L]`.
    public let attentionWeights: [Int: [Tensor]]
  }

  /// A forward pass that keeps the rows and the weights of some blocks. No gradients flow through the weights.
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sequences, end to end.
  ///   - segments: the segment of each token; 0 for all unless given.
  ///   - layout: the sequences.
  ///   - hiddenStates: which rows to keep: 0 for the embeddings, n for the output of block n.
  ///   - attentionWeights: the blocks whose weights to keep, from 0.
  /// - Precondition: as of the call, and the model has such blocks.
  public func inspect(
    _ ids: [Int], segments: [Int]? = nil, layout: SequenceLayout, hiddenStates: Set<Int> = [],
    attentionWeights: Set<Int> = []
  ) -> Inspection {
    let count = encoder.blocks.count
    precondition(
      hiddenStates.allSatisfy { (0...count).contains($0) } && attentionWeights.allSatisfy { (0..<count).contains($0) },
      "BERT: states \(hiddenStates.sorted()) and weights \(attentionWeights.sorted()) of \(count) blocks")
    var x = embedded(ids, segments: segments, layout: layout, dropout: nil)
    var states: [Int: Tensor] = [:]
    var weights: [Int: [Tensor]] = [:]
    if hiddenStates.contains(0) { states[0] = x }
    for (index, block) in encoder.blocks.enumerated() {
      if attentionWeights.contains(index) {
        (x, weights[index]) = block.withWeights(x, layout: layout)
      } else {
        x = block(x, layout: layout)
      }
      if hiddenStates.contains(index + 1) { states[index + 1] = x }
    }
    return Inspection(output: x, hiddenStates: states, attentionWeights: weights)
  }

  /// The pooler's row for each sequence, `[sequences, width]`: of the first token's row.
  ///
  /// - Precondition: there is a pooler, and no sequence is empty.
  public func pooled(_ hidden: Tensor, layout: SequenceLayout) -> Tensor {
    guard let pooler else { preconditionFailure("BERT: the model has no pooler") }
    precondition(!layout.lengths.contains(0), "BERT: an empty sequence has no first token: \(layout.lengths)")
    return pooler(hidden.gathered(rows: Array(layout.offsets.dropLast())))
  }

  /// Scores of every token for each row, `[rows, vocabulary]`.
  ///
  /// - Precondition: there is a masked-token head.
  public func maskedTokenScores(_ hidden: Tensor) -> Tensor {
    guard let head = maskedTokenHead else { preconditionFailure("BERT: the model has no masked-token head") }
    return linear(head.norm(head.transform(hidden)), weight: head.decoder ?? tokens.weight, bias: head.bias)
  }

  /// The summed cross-entropy of labels under the masked-token scores of some rows, in nats, without those scores ever
  /// being there as a whole. O(rows · vocabulary · width).
  ///
  /// - Precondition: there is a masked-token head; one label for each row, and each one a token or -100.
  public func maskedTokenCrossEntropy(_ hidden: Tensor, labels: [Int]) -> Tensor {
    guard let head = maskedTokenHead else { preconditionFailure("BERT: the model has no masked-token head") }
    return linearCrossEntropy(
      head.norm(head.transform(hidden)), weight: head.decoder ?? tokens.weight, bias: head.bias, labels: labels,
      reduction: .sum)
  }

  /// Two scores for each pooled row, `[sequences, 2]`: first that the second part of the sequence follows the first one, then
  /// that it does not (transformers' order).
  ///
  /// - Precondition: there is a next-sentence head.
  public func nextSentenceScores(_ pooled: Tensor) -> Tensor {
    guard let nextSentenceHead else { preconditionFailure("BERT: the model has no next-sentence head") }
    return nextSentenceHead(pooled)
  }

  /// Bytes that a forward pass without gradients takes for each token at the most: its rows between the layers, and what
  /// attention needs beside them.
  var bytesPerToken: Int {
    // The inner rows of the feed-forward part beside three of the block's, or queries, keys, values and two.
    let rows = max(3 * configuration.width + configuration.feedForwardWidth, 6 * configuration.width)
    return rows * MemoryLayout<Float>.stride * 5 / 4
  }

  private func embedded(
    _ ids: [Int], segments: [Int]?, layout: SequenceLayout, dropout key: DropoutKey?
  ) -> Tensor {
    precondition(
      ids.count == layout.tokenCount && segments?.count ?? ids.count == ids.count,
      "BERT: \(ids.count) ids and \(segments?.count ?? ids.count) segments for \(layout.tokenCount) tokens")
    precondition(
      layout.lengths.allSatisfy { $0 <= configuration.maximumLength },
      "BERT: a sequence of \(layout.lengths.max() ?? 0) tokens, and the model has \(configuration.maximumLength) positions"
    )
    let sums = summedRows(of: [
      (tokens.weight, ids), (positions.weight, layout.positions()),
      (self.segments.weight, segments ?? [Int](repeating: 0, count: ids.count)),
    ])
    let rows = norm(sums)
    guard let key, configuration.dropout > 0 else { return rows }
    return rows.dropped(probability: configuration.dropout, seed: key.child(1).seed)
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try tokens.visitParameters(under: "embeddings.word_embeddings", visit)
    try positions.visitParameters(under: "embeddings.position_embeddings", visit)
    try segments.visitParameters(under: "embeddings.token_type_embeddings", visit)
    try norm.visitParameters(under: "embeddings.LayerNorm", visit)
    try encoder.visitParameters(under: "encoder", visit)
    if pooler != nil { try pooler!.visitParameters(under: "pooler.dense", visit) }
    if maskedTokenHead != nil { try maskedTokenHead!.visitParameters(under: "cls.predictions", visit) }
    if nextSentenceHead != nil { try nextSentenceHead!.visitParameters(under: "cls.seq_relationship", visit) }
  }
}
