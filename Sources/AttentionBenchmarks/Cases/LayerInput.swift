import Attention

/// A case of a layer with its numbers, and the ways to run it.
package struct LayerInput: Sendable {
  package let sizes: LayerCase
  package let layout: SequenceLayout
  package let x: Tensor
  /// The gradient of the output.
  package let upstream: Tensor
  private let layer: Subject

  private enum Subject: Sendable {
    case block(EncoderBlock)
    case rnn(RNN)
    case lstm(LSTM)
    case gru(GRU)
    case layerNorm(weight: Tensor, bias: Tensor)
    case rmsNorm(weight: Tensor)
    case softmax
    case gelu
  }

  /// Draws a case: normal variates, and parameters as a new layer has them, but for those of norms.
  package init(_ sizes: LayerCase, seed: UInt64) {
    self.sizes = sizes
    var generator = SeededGenerator(seed: seed ^ drawingHash(of: sizes.description))
    layout = SequenceLayout(lengths: sizes.lengths)
    x = Tensor(randomNormal: [sizes.rows, sizes.inputs], using: &generator)
    upstream =
      sizes.kind.isRowwise
      ? Tensor(zeros: [0]) : Tensor(randomNormal: [sizes.rows, sizes.outputs], using: &generator)
    let numbers = sizes.sizes
    func drawn(_ width: Int, about mean: Float) -> Tensor {
      Tensor(randomUniform: [width], in: mean - 0.5..<mean + 0.5, using: &generator)
    }
    switch sizes.kind {
    case .block, .preblock:
      var block = EncoderBlock(
        BlockConfiguration(
          width: numbers[1], heads: numbers[2], feedForwardWidth: numbers[3], activation: .gelu,
          normPlacement: sizes.kind == .block ? .post : .pre), using: &generator)
      block.visitParameters { name, _, tensor in
        if name.hasPrefix("norm") { tensor = drawn(numbers[1], about: name.hasSuffix("weight") ? 1 : 0) }
      }
      layer = .block(block)
    case .rnn: layer = .rnn(RNN(inputWidth: numbers[2], hiddenWidth: numbers[3], using: &generator))
    case .lstm: layer = .lstm(LSTM(inputWidth: numbers[2], hiddenWidth: numbers[3], using: &generator))
    case .gru: layer = .gru(GRU(inputWidth: numbers[2], hiddenWidth: numbers[3], using: &generator))
    case .layernorm: layer = .layerNorm(weight: drawn(numbers[1], about: 1), bias: drawn(numbers[1], about: 0))
    case .rmsnorm: layer = .rmsNorm(weight: drawn(numbers[1], about: 1))
    case .softmax: layer = .softmax
    case .gelu: layer = .gelu
    }
  }

  /// The parameters by name.
  package var parameters: [(name: String, tensor: Tensor)] {
    switch layer {
    case .block(let layer): layer.namedTensors.map { ($0.name, $0.tensor) }
    case .rnn(let layer): layer.namedTensors.map { ($0.name, $0.tensor) }
    case .lstm(let layer): layer.namedTensors.map { ($0.name, $0.tensor) }
    case .gru(let layer): layer.namedTensors.map { ($0.name, $0.tensor) }
    case .layerNorm(let weight, let bias): [("weight", weight), ("bias", bias)]
    case .rmsNorm(let weight): [("weight", weight)]
    case .softmax, .gelu: []
    }
  }

  /// The output, without gradients: as a layer that was loaded runs.
  package func forward() -> Tensor {
    switch layer {
    case .block(let layer): layer(x, layout: layout)
    case .rnn(let layer): layer(x, layout: layout).output
    case .lstm(let layer): layer(x, layout: layout).output
    case .gru(let layer): layer(x, layout: layout).output
    case .layerNorm(let weight, let bias): layerNorm(x, weight: weight, bias: bias)
    case .rmsNorm(let weight): rmsNorm(x, weight: weight, epsilon: 1e-5)
    case .softmax: x.softmax()
    case .gelu: x.gelu()
    }
  }

  /// The output, and the gradients of all parameters in their order and of the input.
  package func training(upstream: Tensor? = nil) -> (output: Tensor, gradients: [Tensor]) {
    let x = x.tracked()
    func run(_ layer: some Layer, _ output: Tensor) -> (Tensor, [Tensor]) {
      let leaves = layer.namedTensors.filter { $0.role == .parameter }.map(\.tensor) + [x]
      return (output, gradients(of: [output], upstream: [upstream ?? self.upstream], withRespectTo: leaves))
    }
    switch layer {
    case .block(let layer):
      let tracked = layer.tracked()
      return run(tracked, tracked(x, layout: layout))
    case .rnn(let layer):
      let tracked = layer.tracked()
      return run(tracked, tracked(x, layout: layout).output)
    case .lstm(let layer):
      let tracked = layer.tracked()
      return run(tracked, tracked(x, layout: layout).output)
    case .gru(let layer):
      let tracked = layer.tracked()
      return run(tracked, tracked(x, layout: layout).output)
    default: return (forward(), [])
    }
  }
}

/// How a layer is run.
package enum LayerWay: String, CaseIterable, Sendable {
  /// Without gradients.
  case forward
  /// Forward, and the gradients of all parameters and of the input for a given gradient of the output.
  case training
}
