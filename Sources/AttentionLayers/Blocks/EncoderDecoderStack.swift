import AttentionCore
import AttentionTensors

/// An encoder, and a decoder that attends to its output (Vaswani et al., 1706.03762, §3).
///
/// Rows go in and come out: embeddings and the output map are the model's that it is part of. Parameters, as PyTorch's
/// `nn.Transformer`: "encoder.…", "decoder.…".
public struct EncoderDecoderStack: Layer {
  /// Of the source.
  public var encoder: TransformerEncoder
  /// Of the target.
  public var decoder: TransformerDecoder

  /// Creates both stacks with PyTorch's initial values.
  ///
  /// - Parameters:
  ///   - configuration: of every block.
  ///   - encoderBlocks: the number of encoder blocks.
  ///   - decoderBlocks: the number of decoder blocks.
  ///   - hasFinalNorms: whether both outputs are normalised, as PyTorch's `nn.Transformer` does always; where blocks
  ///     normalise first unless given.
  ///   - generator: where the initial values come from.
  public init(
    _ configuration: BlockConfiguration, encoderBlocks: Int, decoderBlocks: Int, hasFinalNorms: Bool? = nil,
    using generator: inout some RandomNumberGenerator
  ) {
    encoder = TransformerEncoder(
      configuration, blockCount: encoderBlocks, hasFinalNorm: hasFinalNorms, using: &generator)
    decoder = TransformerDecoder(
      configuration, blockCount: decoderBlocks, hasFinalNorm: hasFinalNorms, using: &generator)
  }

  /// Creates a pair of stacks.
  package init(encoder: TransformerEncoder, decoder: TransformerDecoder) {
    self.encoder = encoder
    self.decoder = decoder
  }

  /// The decoder's rows, `[tokens, width]`, for training and for whole sequences.
  ///
  /// - Parameters:
  ///   - source: rows of the source, `[source tokens, width]`.
  ///   - sourceLayout: its sequences.
  ///   - target: rows of the target, `[tokens, width]`.
  ///   - targetLayout: its sequences, as many.
  ///   - key: what decides what is dropped in training; nothing unless given.
  public func callAsFunction(
    source: Tensor, sourceLayout: SequenceLayout, target: Tensor, targetLayout: SequenceLayout,
    dropout key: DropoutKey? = nil
  ) -> Tensor {
    let memory = encoder(source, layout: sourceLayout, dropout: key?.child(0))
    return decoder(
      target, layout: targetLayout, memory: memory, memoryLayout: sourceLayout, dropout: key?.child(1))
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try encoder.visitParameters(under: "encoder", visit)
    try decoder.visitParameters(under: "decoder", visit)
  }
}
