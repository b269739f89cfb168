import AttentionCore
import AttentionLayers
import AttentionTensors

/// The encoder-decoder of Bahdanau et al. (1409.0473, §3): a bidirectional GRU reads the source, and a GRU writes the target,
/// which before each token aligns its state with the source by `AdditiveAttention`.
///
///     let configuration = RecurrentEncoderDecoderConfiguration(
///       sourceVocabularySize: 30, embeddingWidth: 32, width: 64, beginID: 0, endID: 1)
///     let model = RecurrentEncoderDecoder(configuration, using: &generator)
///     let loss = model.loss(source: [[5, 9, 2]], target: [[7, 4]])
///     let found = try await model.generate(after: [[5, 9, 2]])          // [[7, 4]], once it is trained
///     let weights = model.alignment(source: [5, 9, 2], target: [7, 4])  // [3, 3]: the end token is aligned too
///
/// With h_j the states of both directions side by side: s_0 = tanh(W·←h_1 + b), c_i = attention of s_{i−1} to h,
/// s_i = GRU([E·y_{i−1}; c_i], s_{i−1}), and tokens are scored from tanh(R·[s_i; E·y_{i−1}; c_i] + b). There the paper has
/// the largest of pairs (maxout) of a map twice as wide, of s_{i−1} in place of s_i: one tanh is half the map, and s_i has
/// read all that the step knows. Gates are PyTorch's (see `AttentiveGRU`).
///
/// A batch is its tokens end to end, source and target each with a layout of its own. Decoding step by step gives what the
/// whole target gives (bit for bit on cores with AVX-512, within float32's rounding elsewhere).
///
/// Parameters: "source_embedding.weight", unless the target's serve for both, "target_embedding.weight", "encoder.…" as
/// `torch.nn.GRU`, "bridge.weight" and ".bias", "decoder.…" as `AttentiveGRU`, "readout.weight" and ".bias", and
/// "head.weight", unless the target's embeddings serve.
public struct RecurrentEncoderDecoder: StoredModel {
  /// What the model is made of.
  public let configuration: RecurrentEncoderDecoderConfiguration
  /// A row for each token of the source; nil where the target's serve.
  public var sourceTokens: Embedding?
  /// A row for each token of the target, and its scores where they are tied.
  public var targetTokens: TiedEmbedding
  /// Both directions over the source.
  public var encoder: GRU
  /// From the encoder's state at the source's beginning to the decoder's first one, tanh.
  public var bridge: Linear
  /// Over the target, with the source in sight.
  public var decoder: AttentiveGRU
  /// From a step's state, token and context to the row that tokens are scored from, tanh.
  public var readout: Linear
  /// From rows to scores of tokens, without a bias; nil where the target's embeddings serve.
  public var head: Linear?

  /// Reads a model from a folder that ``save(to:)`` wrote, or one like it.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts the configuration.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let configuration = try RecurrentEncoderDecoderConfiguration(
      folder.configuration(ofType: RecurrentEncoderDecoderConfiguration.modelType))
    var checkpoint = try folder.checkpoint()
    try checkpoint.requireNoBlock(from: 1, under: "encoder.weight_ih_l", "the encoder's number of layers")
    try checkpoint.requireNone("head.weight", if: configuration.isTied, "tie_word_embeddings is true")
    try checkpoint.requireNone(
      "source_embedding.weight", if: configuration.sharesEmbeddings, "share_embeddings is true")
    try self.init(configuration, from: &checkpoint)
  }

  /// Creates a model with random weights as PyTorch draws those of its layers: uniform on ±1/√width, or ±1/√inputs of linear
  /// maps, and embeddings normal with the deviation 1; 0.1 where they serve as the head, whose scores begin small so.
  ///
  /// - Precondition: sizes are positive; embeddings that are shared have one vocabulary, and tied ones are as wide as readouts.
  public init(
    _ configuration: RecurrentEncoderDecoderConfiguration, using generator: inout some RandomNumberGenerator
  ) {
    var source = PyTorchParameters(generator: generator, embeddingDeviation: configuration.isTied ? 0.1 : 1)
    self.init(configuration, from: &source)
    generator = source.generator
  }

  private init<Source: ParameterSource>(
    _ configuration: RecurrentEncoderDecoderConfiguration, from source: inout Source
  ) throws(Source.Failure) {
    let (inputs, width, count) = (
      configuration.embeddingWidth, configuration.width, configuration.targetVocabularySize
    )
    require(
      (!configuration.sharesEmbeddings || configuration.sourceVocabularySize == count)
        && (!configuration.isTied || configuration.readoutWidth == inputs),
      """
      RecurrentEncoderDecoder: \(configuration.sourceVocabularySize) and \(count) tokens that share embeddings, or readouts \
      \(configuration.readoutWidth) wide that embeddings \(inputs) wide score
      """)
    self.configuration = configuration
    if !configuration.sharesEmbeddings {
      sourceTokens = try source.embedding(
        "source_embedding", count: configuration.sourceVocabularySize, width: inputs)
    }
    targetTokens = TiedEmbedding(weight: try source.embedding("target_embedding", count: count, width: inputs).weight)
    encoder = try GRU(inputWidth: inputs, hiddenWidth: width, isBidirectional: true) {
      (name, shape, inputs) throws(Source.Failure) in try source.uniform("encoder.\(name)", shape, inputs: inputs)
    }
    bridge = try source.linear("bridge", inputs: width, outputs: width, activation: .tanh)
    decoder = try AttentiveGRU(
      inputWidth: inputs, sourceWidth: 2 * width, hiddenWidth: width, attentionWidth: configuration.attentionWidth
    ) { (name, shape, inputs) throws(Source.Failure) in
      try source.uniform("decoder.\(name)", shape, inputs: inputs)
    }
    readout = try source.linear(
      "readout", inputs: 3 * width + inputs, outputs: configuration.readoutWidth, activation: .tanh)
    if !configuration.isTied {
      head = try source.plainLinear("head", inputs: configuration.readoutWidth, outputs: count)
    }
  }

  /// Writes config.json and model.safetensors, under the names of ``visitParameters(_:)``; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    try folder.write(configuration: configuration.json, CheckpointTensors(of: self))
  }

  // MARK: Forward

  /// The source as the decoder sees it, and the decoder's first states, `[sources, width]`.
  ///
  /// O(tokens · width · (width + attention width)).
  ///
  /// - Parameters:
  ///   - ids: the tokens of all sources, end to end.
  ///   - layout: the sources.
  ///   - key: what decides what is dropped in training; nothing unless given.
  /// - Precondition: there are as many ids as the layout has tokens, each below the vocabulary's size.
  public func encoded(
    _ ids: [Int], layout: SequenceLayout, dropout key: DropoutKey? = nil
  ) -> (source: AlignmentSource, state: Tensor) {
    require(
      ids.count == layout.tokenCount, "RecurrentEncoderDecoder: \(ids.count) ids for \(layout.tokenCount) tokens")
    let rows = dropped(sourceTokens?(ids) ?? targetTokens(ids), key?.child(0))
    let (annotations, states) = encoder(rows, layout: layout)
    // The direction from the end has read everything when it stands at the beginning.
    let first = states.sliced(1..<2).reshaped(to: [layout.sequenceCount, configuration.width])
    return (decoder.attention.prepared(annotations, layout: layout), bridge(first))
  }

  /// The readout's rows, `[target tokens, readout width]`, after states and a source; the states are those after the last
  /// tokens then.
  func decoded(
    _ ids: [Int], layout: SequenceLayout, source: AlignmentSource, state: inout Tensor, dropout key: DropoutKey?,
    returningWeights: Bool = false
  ) -> (rows: Tensor, weights: [Tensor]?) {
    require(
      ids.count == layout.tokenCount, "RecurrentEncoderDecoder: \(ids.count) ids for \(layout.tokenCount) tokens")
    let embedded = dropped(targetTokens(ids), key?.child(1))
    let output = decoder(
      embedded, layout: layout, source: source, initial: state, returningWeights: returningWeights)
    state = output.final
    let rows = readout(Tensor.concatenated([output.states, embedded, output.contexts], along: 1))
    return (dropped(rows, key?.child(2)), output.weights)
  }

  private func dropped(_ rows: Tensor, _ key: DropoutKey?) -> Tensor {
    guard let key, configuration.dropout > 0 else { return rows }
    return rows.dropped(probability: configuration.dropout, seed: key.seed)
  }

  /// How the target is aligned with the source: row i are the weights with which the context of target token i was made, the
  /// last row that of the end token. `[target + 1, source]`; each row's sum is 1.
  ///
  /// - Precondition: the model has a begin token, and each id is below its vocabulary's size.
  public func alignment(source: [Int], target: [Int]) -> Tensor {
    guard let begin = configuration.beginID else {
      preconditionFailure("RecurrentEncoderDecoder: a model without a begin token aligns no target")
    }
    var (memory, state) = encoded(source, layout: SequenceLayout(lengths: [source.count]))
    return decoded(
      [begin] + target, layout: SequenceLayout(lengths: [target.count + 1]), source: memory, state: &state,
      dropout: nil, returningWeights: true
    ).weights![0]
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    if sourceTokens != nil { try sourceTokens!.visitParameters(under: "source_embedding", visit) }
    try targetTokens.visitParameters(under: "target_embedding", visit)
    try encoder.visitParameters(under: "encoder", visit)
    try bridge.visitParameters(under: "bridge", visit)
    try decoder.visitParameters(under: "decoder", visit)
    try readout.visitParameters(under: "readout", visit)
    if head != nil { try head!.visitParameters(under: "head", visit) }
  }
}

/// What ``RecurrentEncoderDecoder`` keeps of the source, and of the target's tokens that it has read.
public struct RecurrentEncoderDecoderState: DecodingState {
  var source: AlignmentSource
  /// s, `[sequences, width]`: the latest, and the first.
  var state: Tensor
  var first: Tensor
  /// The tokens read of each target.
  public internal(set) var lengths: [Int]

  /// Keeps these sequences with their sources, in this order. O(source tokens · width).
  ///
  /// - Precondition: every sequence exists.
  public mutating func select(sequences: [Int]) {
    require(
      sequences.allSatisfy(lengths.indices.contains),
      "RecurrentEncoderDecoderState: sequences \(sequences) of \(lengths.count)")
    source = source.selecting(sequences: sequences)
    state = state.gathered(rows: sequences)
    first = first.gathered(rows: sequences)
    lengths = sequences.map { lengths[$0] }
  }

  /// Forgets the tokens of a target from `length` on: possible only for none of them and for all, since a state holds all
  /// that it has read in one.
  ///
  /// - Returns: whether it was possible; nothing is changed if not.
  /// - Precondition: the sequence exists, and has read as many.
  public mutating func truncate(sequence: Int, toLength length: Int) -> Bool {
    require(
      lengths.indices.contains(sequence) && length >= 0 && length <= lengths[sequence],
      "RecurrentEncoderDecoderState: \(length) tokens of sequence \(sequence), where \(lengths) were read")
    if length == lengths[sequence] { return true }
    guard length == 0 else { return false }
    // Row by row from two tables: the first state for the sequence that forgets.
    let rows = lengths.indices.map { $0 == sequence ? lengths.count + $0 : $0 }
    state = Tensor.concatenated([state, first]).gathered(rows: rows)
    lengths[sequence] = 0
    return true
  }
}

extension RecurrentEncoderDecoder: SequenceToSequenceModel {
  /// The tokens of the source.
  public var sourceVocabularySize: Int { configuration.sourceVocabularySize }
  /// The tokens of the target.
  public var vocabularySize: Int { configuration.targetVocabularySize }
  /// A state goes on for ever.
  public var maximumLength: Int? { nil }
  /// The token that a target begins with, if there is one.
  public var beginID: Int? { configuration.beginID }
  /// The token that ends a target, if there is one.
  public var endIDs: [Int] { configuration.endID.map { [$0] } ?? [] }

  /// What the decoder makes of sources, before the first token of their targets.
  ///
  /// - Precondition: there are as many ids as the layout has tokens, each below the vocabulary's size.
  public func makeState(source ids: [Int], layout: SequenceLayout) -> RecurrentEncoderDecoderState {
    let (source, state) = encoded(ids, layout: layout)
    return RecurrentEncoderDecoderState(
      source: source, state: state, first: state, lengths: [Int](repeating: 0, count: layout.sequenceCount))
  }

  /// Reads target tokens, and scores all tokens to come next, `[sequences with new tokens, target vocabulary]`.
  ///
  /// - Precondition: the layout has the state's sequences, and each id is below the vocabulary's size.
  public func scores(
    after ids: [Int], layout: SequenceLayout, state: inout RecurrentEncoderDecoderState
  ) -> Tensor {
    let hidden = decoded(ids, layout: layout, source: state.source, state: &state.state, dropout: nil).rows
    for (sequence, length) in layout.lengths.enumerated() { state.lengths[sequence] += length }
    let rows = layout.lastRows
    return scores(rows.count == hidden.shape[0] ? hidden : hidden.gathered(rows: rows))
  }

  /// The readout's rows, `[target tokens, readout width]`: teacher forcing, the decoder reads what it should have written.
  ///
  /// As many dependent steps as the longest target has tokens, each for the targets that are that long.
  ///
  /// - Precondition: there are as many sources as targets, as many ids as the layouts have tokens, each below its vocabulary's
  ///   size.
  public func hidden(
    source: [Int], sourceLayout: SequenceLayout, target: [Int], targetLayout: SequenceLayout, dropout key: DropoutKey?
  ) -> Tensor {
    require(
      sourceLayout.sequenceCount == targetLayout.sequenceCount,
      "RecurrentEncoderDecoder: \(sourceLayout.sequenceCount) sources and \(targetLayout.sequenceCount) targets")
    var (memory, state) = encoded(source, layout: sourceLayout, dropout: key)
    return decoded(target, layout: targetLayout, source: memory, state: &state, dropout: key).rows
  }

  /// The scores of every target token to come next, for each row: `[rows, target vocabulary]`.
  ///
  /// - Precondition: the rows are the readout's.
  public func scores(_ hidden: Tensor) -> Tensor { head.map { $0(hidden) } ?? targetTokens.scores(hidden) }

  /// The summed cross-entropy of labels under the scores of some rows, which are never held all at once.
  ///
  /// - Precondition: the rows are the readout's; one label for each row, and each one a token of the target or -100; the
  ///   smoothing lies in 0...1.
  public func crossEntropy(ofHidden hidden: Tensor, labels: [Int], smoothing: Float = 0) -> Tensor {
    head?.crossEntropy(hidden, labels: labels, smoothing: smoothing, reduction: .sum)
      ?? targetTokens.crossEntropy(hidden, labels: labels, smoothing: smoothing, reduction: .sum)
  }
}
