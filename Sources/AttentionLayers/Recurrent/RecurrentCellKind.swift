import AttentionTensors
import CAttentionKernels

/// What a recurrent layer computes in a step. Its weights are `[gates · hidden, …]`, gate after gate.
enum RecurrentCellKind: Sendable, Equatable {
  /// h = f(a), one gate.
  case elman(ElmanActivation)
  /// Gates i, f, g, o.
  case lstm
  /// Gates r, z, n; whether the reset gate comes after the state's product.
  case gru(resetAfterProduct: Bool)

  var gateCount: Int {
    switch self {
    case .elman: 1
    case .lstm: 4
    case .gru: 3
    }
  }

  /// Whether there is a cell beside the hidden state.
  var hasCell: Bool { self == .lstm }

  /// The gates' columns that the way back reads, in units of the hidden width. An Elman cell's output tells all.
  var keptGates: Int {
    switch self {
    case .elman: 0
    case .lstm: 4
    case .gru(let resetAfterProduct): resetAfterProduct ? 4 : 3
    }
  }

  /// Whether the state's bias is added to the input's, since both only ever stand in one sum.
  var sumsBiases: Bool {
    if case .gru = self { false } else { true }
  }

  /// What runs after the product of a step; of a GRU that resets before its product, the first part.
  var kernel: attention_cell {
    switch self {
    case .elman(.tanh): ATTENTION_ELMAN_TANH
    case .elman(.relu): ATTENTION_ELMAN_RELU
    case .lstm: ATTENTION_LSTM
    case .gru(resetAfterProduct: true): ATTENTION_GRU
    case .gru(resetAfterProduct: false): ATTENTION_GRU_RESET
    }
  }

  /// Whether a step has two products, the second of r∘h.
  var isTwoPart: Bool { self == .gru(resetAfterProduct: false) }
}
