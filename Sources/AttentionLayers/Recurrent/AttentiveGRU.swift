import AttentionCore
import AttentionTensors

/// Gated recurrent units that look at a source before each step: the decoder of Bahdanau et al. (1409.0473, §3.1 and A.1.2).
///
///     let source = layer.attention.prepared(encoded, layout: sources)
///     let output = layer(x, layout: targets, source: source, initial: first)   // states [tokens, hidden]
///
/// Step i aligns the state before it, s_{i−1}, with the source, and reads the context c_i beside the token:
/// s_i = GRU([x_i; c_i], s_{i−1}). The gates are PyTorch's, as of ``GRU``: the reset gate comes after the product, and z keeps
/// the old state where the paper's takes the new one; both only name parameters otherwise.
///
/// What does not depend on the state is one product for all steps: U·h of the source, and the tokens' share of the gates. A step
/// computes the sequences that are that long, the longest first. Parameters: those of ``AdditiveAttention`` under
/// "attention", and "weight_ih" `[3 · hidden, inputs + source]`, "weight_hh", "bias_ih", "bias_hh" as `torch.nn.GRUCell`.
public struct AttentiveGRU: Layer {
  /// What states are aligned with a source by.
  public var attention: AdditiveAttention
  private var weights: RecurrentWeights
  /// The width of a token.
  public let inputWidth: Int
  /// The width of the source's states.
  public let sourceWidth: Int
  /// The width of a state.
  public let hiddenWidth: Int

  /// Creates a layer with the initial values that PyTorch draws: uniform on ±1/√hidden, those of the attention on ±1/√inputs.
  ///
  /// - Parameters:
  ///   - inputWidth: the width of a token.
  ///   - sourceWidth: the width of the source's states.
  ///   - hiddenWidth: the width of a state.
  ///   - attentionWidth: how wide the scores are inside.
  ///   - generator: where the initial values come from.
  /// - Precondition: the widths are positive.
  public init(
    inputWidth: Int, sourceWidth: Int, hiddenWidth: Int, attentionWidth: Int,
    using generator: inout some RandomNumberGenerator
  ) {
    self.init(
      inputWidth: inputWidth, sourceWidth: sourceWidth, hiddenWidth: hiddenWidth, attentionWidth: attentionWidth
    ) { _, shape, inputs in Tensor(linearUniform: shape, inputs: inputs, using: &generator) }
  }

  /// Creates a layer whose parameters come from elsewhere, such as a checkpoint.
  package init<Failure: Error>(
    inputWidth: Int, sourceWidth: Int, hiddenWidth: Int, attentionWidth: Int, from parameter: ParameterMaker<Failure>
  ) throws(Failure) {
    require(
      inputWidth > 0 && sourceWidth > 0 && hiddenWidth > 0 && attentionWidth > 0,
      """
      AttentiveGRU: tokens \(inputWidth), a source \(sourceWidth), states \(hiddenWidth) and scores \(attentionWidth) wide
      """)
    (self.inputWidth, self.sourceWidth, self.hiddenWidth) = (inputWidth, sourceWidth, hiddenWidth)
    attention = try AdditiveAttention(queryWidth: hiddenWidth, sourceWidth: sourceWidth, width: attentionWidth) {
      (name, shape, inputs) throws(Failure) in try parameter("attention.\(name)", shape, inputs)
    }
    weights = try RecurrentWeights(
      AttentiveGRU.kind, inputs: inputWidth + sourceWidth, hidden: hiddenWidth, hasBias: true, from: parameter)
  }

  private static let kind = RecurrentCellKind.gru(resetAfterProduct: true)

  /// What the steps give.
  public struct Output: Sendable {
    /// s_i, `[tokens, hidden]`.
    public let states: Tensor
    /// c_i, which s_i was computed with, `[tokens, source]`.
    public let contexts: Tensor
    /// The state of each sequence after its last token, `[sequences, hidden]`; the initial one where it has none.
    public let final: Tensor
    /// If asked for: for each sequence the weights `[tokens, source tokens]`. No gradient flows back through them.
    public let weights: [Tensor]?
  }

  /// All steps over a ragged batch, with gradients.
  ///
  /// O(tokens · hidden · (inputs + source + hidden)), and for the alignment O(Σ tokens · source tokens · attention width).
  ///
  /// - Parameters:
  ///   - x: the tokens, `[tokens, inputs]`.
  ///   - layout: the sequences in x.
  ///   - source: what ``attention`` prepared of as many sources.
  ///   - initial: the states before the first tokens, `[sequences, hidden]`.
  ///   - returningWeights: whether the weights of the alignment are returned.
  /// - Precondition: the shapes fit, and the source is a ragged batch.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, source: AlignmentSource, initial: Tensor, returningWeights: Bool = false
  ) -> Output {
    require(
      x.shape == [layout.tokenCount, inputWidth] && initial.shape == [layout.sequenceCount, hiddenWidth]
        && source.layout?.sequenceCount == layout.sequenceCount && source.value.shape[1] == sourceWidth,
      """
      AttentiveGRU: tokens \(x.shape) in \(layout.sequenceCount) sequences, states \(initial.shape) and a source \
      \(source.value.shape) in \(source.layout.map { "\($0.sequenceCount)" } ?? "no") sequences
      """)
    let order = TimeMajorOrder(layout, isReversed: false)
    let given = linear(
      order.ordered(x), weight: weights.input.sliced(0..<inputWidth, along: 1), bias: weights.inputBias
    ).split(at: order.offsets)
    let ofContext = weights.input.sliced(inputWidth..<inputWidth + sourceWidth, along: 1)
    var source = source.selecting(sequences: order.sequences)
    let keys = source.layout!.lengths
    let first = initial.gathered(rows: order.sequences)
    var state = first
    var (states, contexts, shares): ([Tensor], [Tensor], [Tensor]) = ([], [], [])
    for step in 0..<order.stepCount {
      let active = order.active(step)
      if state.shape[0] > active {
        state = state.sliced(0..<active)
        source = source.selecting(sequences: Array(0..<active))
      }
      let single = SequenceLayout(lengths: [Int](repeating: 1, count: active))
      let aligned = attention(query: state, layout: single, source: source, returningWeights: returningWeights)
      state =
        Recurrence.run(
          AttentiveGRU.kind, order: TimeMajorOrder(single, isReversed: false),
          inputs: given[step] + linear(aligned.context, weight: ofContext), weight: weights.state,
          bias: weights.stateBias, initial: state, initialCell: nil
        ).output
      states.append(state)
      contexts.append(aligned.context)
      if let weights = aligned.weights { shares.append(weights.detached()) }
    }
    // A sequence's final state is that of its last token, or where it has none the first one: rows behind the others.
    let tokens = order.tokens.count
    var places = [Int](repeating: 0, count: order.sequences.count)
    for (index, sequence) in order.sequences.enumerated() {
      places[sequence] = order.lastPlace(index) ?? tokens + index
    }
    func whole(_ steps: [Tensor], _ width: Int) -> Tensor {
      order.restored(steps.isEmpty ? Tensor(zeros: [0, width]) : Tensor.concatenated(steps))
    }
    return Output(
      states: whole(states, hiddenWidth), contexts: whole(contexts, sourceWidth),
      final: Tensor.concatenated(states + [first]).gathered(rows: places),
      weights: returningWeights ? alignment(shares, order, keys) : nil)
  }

  /// The weights of all steps, by sequence in the batch's order.
  ///
  /// - Parameter shares: of each step, the weights of its sequences one after the other.
  private func alignment(_ shares: [Tensor], _ order: TimeMajorOrder, _ lengths: [Int]) -> [Tensor] {
    var weights = [Tensor?](repeating: nil, count: order.sequences.count)
    var first = 0
    for (index, sequence) in order.sequences.enumerated() {
      let keys = lengths[index]
      weights[sequence] = Tensor(uninitialized: [order.lengths[index], keys]) { buffer in
        for step in 0..<order.lengths[index] {
          shares[step].withUnsafeBufferPointer { row in
            for key in 0..<keys { buffer[step * keys + key] = row[first + key] }
          }
        }
      }
      first += keys
    }
    return weights.map { $0! }
  }

  /// Lists the parameters, by the names above.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try attention.visitParameters(under: "attention", visit)
    try weights.visit(suffix: "", visit)
  }
}

extension Tensor {
  /// Ranges of rows that cover all of them, as one operation: the way back writes each row once, however many parts there are.
  ///
  /// - Parameter offsets: where each part begins, and the end of the last one.
  fileprivate func split(at offsets: [Int]) -> [Tensor] {
    let ranges = zip(offsets, offsets.dropFirst()).map { $0..<$1 }
    guard !ranges.isEmpty else { return [] }
    let plain = detached()
    let width = shape[1]
    return Tensor.derived(ranges.map { plain.sliced($0) }, from: [self]) { upstream, _ in
      [Tensor.concatenated(zip(upstream, ranges).map { $0 ?? Tensor(zeros: [$1.count, width]) })]
    }
  }
}
