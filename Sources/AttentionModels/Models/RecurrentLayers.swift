import AttentionCore
import AttentionLayers
import AttentionTensors

/// Recurrent layers of one of three kinds, one on top of the other.
public enum RecurrentLayers: Layer {
  /// Long short-term memory.
  case lstm(LSTM)
  /// Gated recurrent units.
  case gru(GRU)
  /// Simple networks of Elman.
  case rnn(RNN)

  init<Source: ParameterSource>(
    _ configuration: RecurrentLanguageModelConfiguration, from source: inout Source
  ) throws(Source.Failure) {
    let (inputs, width, layers) = (configuration.embeddingWidth, configuration.width, configuration.layerCount)
    let dropout = configuration.dropout
    func parameter(_ name: String, _ shape: [Int], _ inputs: Int) throws(Source.Failure) -> Tensor {
      try source.uniform("rnn.\(name)", shape, inputs: inputs)
    }
    switch configuration.cell {
    case .lstm:
      self = .lstm(
        try LSTM(
          inputWidth: inputs, hiddenWidth: width, layers: layers, dropoutProbability: dropout, from: parameter))
    case .gru:
      self = .gru(
        try GRU(inputWidth: inputs, hiddenWidth: width, layers: layers, dropoutProbability: dropout, from: parameter))
    case .rnn(let activation):
      self = .rnn(
        try RNN(
          inputWidth: inputs, hiddenWidth: width, activation: activation, layers: layers, dropoutProbability: dropout,
          from: parameter))
    }
  }

  /// The last layer's states at every token, `[tokens, width]`; the state is that after each sequence's last token then.
  ///
  /// - Precondition: the shapes fit, and the state has the layout's sequences.
  func callAsFunction(
    _ x: Tensor, layout: SequenceLayout, state: inout RecurrentState, dropout: DropoutKey?
  ) -> Tensor {
    let output: Tensor
    switch self {
    case .lstm(let layer):
      let initial = LSTMState(hidden: state.hidden, cell: state.cell!)
      let (rows, final) = layer(x, layout: layout, initial: initial, dropout: dropout)
      (output, state.hidden, state.cell) = (rows, final.hidden, final.cell)
    case .gru(let layer):
      (output, state.hidden) = layer(x, layout: layout, initial: state.hidden, dropout: dropout)
    case .rnn(let layer):
      (output, state.hidden) = layer(x, layout: layout, initial: state.hidden, dropout: dropout)
    }
    for (sequence, length) in layout.lengths.enumerated() { state.lengths[sequence] += length }
    return output
  }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    switch self {
    case .lstm(var layer):
      defer { self = .lstm(layer) }
      try layer.visitParameters(visit)
    case .gru(var layer):
      defer { self = .gru(layer) }
      try layer.visitParameters(visit)
    case .rnn(var layer):
      defer { self = .rnn(layer) }
      try layer.visitParameters(visit)
    }
  }
}

/// What a ``RecurrentLanguageModel`` keeps of the tokens that it has read: the states of its layers, whatever their number.
public struct RecurrentState: DecodingState {
  /// h, `[layers, sequences, width]`.
  public internal(set) var hidden: Tensor
  /// c of an LSTM, of the same shape.
  public internal(set) var cell: Tensor?
  /// The tokens read of each sequence.
  public internal(set) var lengths: [Int]

  init(layers: Int, sequences: Int, width: Int, hasCell: Bool) {
    hidden = Tensor(zeros: [layers, sequences, width])
    cell = hasCell ? hidden : nil
    lengths = [Int](repeating: 0, count: sequences)
  }

  /// Keeps these sequences, in this order. O(layers · sequences · width).
  ///
  /// - Precondition: every sequence exists.
  public mutating func select(sequences: [Int]) {
    require(
      sequences.allSatisfy(lengths.indices.contains),
      "RecurrentState: sequences \(sequences) of \(lengths.count)")
    hidden = RecurrentState.selected(hidden, sequences)
    cell = cell.map { RecurrentState.selected($0, sequences) }
    lengths = sequences.map { lengths[$0] }
  }

  private static func selected(_ states: Tensor, _ sequences: [Int]) -> Tensor {
    let (layers, count, width) = (states.shape[0], states.shape[1], states.shape[2])
    let rows = (0..<layers).flatMap { layer in sequences.map { layer * count + $0 } }
    return states.reshaped(to: [layers * count, width]).gathered(rows: rows)
      .reshaped(to: [layers, sequences.count, width])
  }

  /// Forgets the tokens of a sequence from `length` on: possible only for none of them and for all, since a state holds all
  /// that it has read in one.
  ///
  /// - Returns: whether it was possible; nothing is changed if not.
  /// - Precondition: the sequence exists, and has read as many.
  public mutating func truncate(sequence: Int, toLength length: Int) -> Bool {
    require(
      lengths.indices.contains(sequence) && length >= 0 && length <= lengths[sequence],
      "RecurrentState: \(length) tokens of sequence \(sequence), where \(lengths) were read")
    if length == lengths[sequence] { return true }
    guard length == 0 else { return false }
    hidden = RecurrentState.cleared(hidden, sequence)
    cell = cell.map { RecurrentState.cleared($0, sequence) }
    lengths[sequence] = 0
    return true
  }

  private static func cleared(_ states: Tensor, _ sequence: Int) -> Tensor {
    var states = states
    let (layers, count, width) = (states.shape[0], states.shape[1], states.shape[2])
    states.withUnsafeMutableBufferPointer { buffer in
      for layer in 0..<layers {
        let first = (layer * count + sequence) * width
        buffer[first..<first + width].update(repeating: 0)
      }
    }
    return states
  }
}
