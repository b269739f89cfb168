import AttentionCore
import AttentionTensors

/// Decoder blocks one after the other, and a last norm where blocks normalise first.
///
/// Parameters, as PyTorch's `nn.TransformerDecoder`: "layers.0.…", "layers.1.…", and "norm.…" if there is a last norm.
public struct TransformerDecoder: Layer {
  /// The blocks, first to last.
  public var blocks: [DecoderBlock]
  /// After the last block.
  public var norm: Normalisation?

  /// What every block keeps between the steps of incremental decoding.
  public struct State: Sendable {
    /// One for each block.
    public internal(set) var blocks: [DecoderBlock.State]
    /// The rows that were taken in of each sequence.
    public private(set) var lengths: [Int]

    init(blocks: [DecoderBlock.State], sequenceCount: Int) {
      self.blocks = blocks
      lengths = [Int](repeating: 0, count: sequenceCount)
    }

    mutating func add(_ layout: SequenceLayout) {
      for sequence in lengths.indices { lengths[sequence] += layout.lengths[sequence] }
    }

    /// Keeps these sequences with their memories, in this order; one that is named several times shares its pages with its
    /// copies until they are written to.
    ///
    /// - Precondition: every sequence exists.
    public mutating func select(sequences: [Int]) {
      for index in blocks.indices {
        blocks[index].cache.select(sequences: sequences)
        blocks[index].memory.select(sequences: sequences)
      }
      lengths = sequences.map { lengths[$0] }
    }

    /// Forgets the rows of a sequence from `length` on.
    ///
    /// - Precondition: the sequence exists, and has taken in as many.
    public mutating func truncate(sequence: Int, toLength length: Int) {
      for index in blocks.indices { blocks[index].cache.truncate(sequence: sequence, toLength: length) }
      lengths[sequence] = length
    }
  }

  /// Creates a stack from its blocks.
  package init(blocks: [DecoderBlock], norm: LayerNorm? = nil) {
    self.blocks = blocks
    self.norm = norm.map { .layer($0) }
  }

  /// Creates a stack with PyTorch's initial values.
  ///
  /// - Parameters:
  ///   - configuration: of every block.
  ///   - blockCount: the number of blocks.
  ///   - hasFinalNorm: whether the last block's output is normalised; where blocks normalise first unless given.
  ///   - generator: where the initial values come from.
  public init(
    _ configuration: BlockConfiguration, blockCount: Int, hasFinalNorm: Bool? = nil,
    using generator: inout some RandomNumberGenerator
  ) {
    require(blockCount >= 0, "TransformerDecoder: \(blockCount) blocks")
    blocks = (0..<blockCount).map { _ in DecoderBlock(configuration, using: &generator) }
    norm = hasFinalNorm ?? (configuration.normPlacement == .pre) ? configuration.makeNorm() : nil
  }

  /// `[tokens, width]` to `[tokens, width]`, for training and for whole sequences.
  ///
  /// - Parameters:
  ///   - x: the rows.
  ///   - layout: the sequences.
  ///   - memory: the encoder's output, `[memory tokens, width]`.
  ///   - memoryLayout: its sequences, as many.
  ///   - mask: of self-attention; causal unless given.
  ///   - memoryMask: of attention to the memory: padding of the source, if any.
  ///   - key: what decides what is dropped in training; nothing unless given.
  public func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, memory: Tensor, memoryLayout: SequenceLayout,
    mask: AttentionMask = .causal(.start), memoryMask: AttentionMask = .none, dropout key: DropoutKey? = nil
  ) -> Tensor {
    var x = x
    for (index, block) in blocks.enumerated() {
      x = block(
        x, layout: layout, memory: memory, memoryLayout: memoryLayout, mask: mask, memoryMask: memoryMask,
        dropout: key?.child(index))
    }
    return norm.map { $0(x) } ?? x
  }

  /// The state before the first row: what every block makes of the memory.
  public func makeState(memory: Tensor, layout: SequenceLayout) -> State {
    State(
      blocks: blocks.map { $0.makeState(memory: memory, layout: layout) }, sequenceCount: layout.sequenceCount)
  }

  /// The next rows of each sequence, after those that the state holds. No gradients.
  ///
  /// - Precondition: the state comes from this stack.
  public func callAsFunction(_ x: Tensor, layout: SequenceLayout, state: inout State) -> Tensor {
    require(
      state.blocks.count == blocks.count,
      "TransformerDecoder: a state of \(state.blocks.count) blocks for \(blocks.count)")
    var x = x
    for (index, block) in blocks.enumerated() { x = block(x, layout: layout, state: &state.blocks[index]) }
    state.add(layout)
    return norm.map { $0(x) } ?? x
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    for index in blocks.indices { try blocks[index].visitParameters(under: "layers.\(index)", visit) }
    if norm != nil { try norm!.visitParameters(under: "norm", visit) }
  }
}
