import AttentionLayers
import AttentionTensors

/// Watches whether the loss of a run rises far above what it was.
struct DivergenceWatch: Sendable {
  /// The sum and the weight of an exponential mean, and the least that it was.
  struct State: Sendable, Equatable {
    var sum = 0.0
    var weight = 0.0
    var least = Double.infinity
    var steps = 0
  }

  private let rise: Double
  private(set) var state = State()
  /// Of the latest steps' mean: some 20 of them count.
  private static let memory = 0.95

  init(rise: Float) { self.rise = Double(rise) }

  mutating func restore(_ state: State) { self.state = state }

  /// The mean loss of the latest steps.
  var latest: Float { Float(state.sum / state.weight) }

  /// Takes a step's loss, and answers the least mean so far if the latest lies too far above it.
  mutating func leastIfDiverged(with loss: Float) -> Float? {
    state.sum = DivergenceWatch.memory * state.sum + Double(loss)
    state.weight = DivergenceWatch.memory * state.weight + 1
    state.steps += 1
    // The first few are no mean.
    guard state.steps >= 10 else { return nil }
    let mean = state.sum / state.weight
    if mean > state.least + rise { return Float(state.least) }
    state.least = min(state.least, mean)
    return nil
  }
}

extension LayerGradients {
  /// The parameter whose gradient is the largest beside the parameter itself, by their norms.
  func nameOfLargest(beside model: some Layer) -> String {
    func norm(_ tensor: Tensor) -> Double { tensor.sumOfSquares.squareRoot() }
    let parameters = model.namedTensors.filter { $0.role == .parameter }
    let shares = zip(parameters, tensors).map { norm($1) / max(norm($0.tensor), 1e-12) }
    guard let largest = shares.indices.max(by: { shares[$0] < shares[$1] }) else { return "" }
    return names[largest]
  }
}

extension Duration {
  /// The duration as a number of seconds.
  var inSeconds: Double {
    Double(components.seconds) + Double(components.attoseconds) * 1e-18
  }
}
