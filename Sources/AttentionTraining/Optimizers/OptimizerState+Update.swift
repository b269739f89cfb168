import AttentionLayers
import AttentionTensors

/// Some scalars of a parameter, and what belongs to them: what one call of an optimizer's kernel works on.
struct ParameterChunk: @unchecked Sendable {
  // @unchecked: each task has scalars of its own.
  let count: Int
  let gradient: UnsafePointer<Float>
  /// The parameter before the step and after it, in one place or in two.
  let old: UnsafePointer<Float>
  let new: UnsafeMutablePointer<Float>
  /// What is kept in the first slot and the second; nil where there are fewer.
  let first: UnsafeMutablePointer<Float>?
  let second: UnsafeMutablePointer<Float>?
}

extension OptimizerState {
  /// Counts a step, and changes every parameter of a model and what is kept for it, in place where nobody else holds them.
  ///
  /// - Parameters:
  ///   - model: the model.
  ///   - gradients: of it.
  ///   - names: the slots, two at the most.
  ///   - optimizer: what error messages call the optimizer.
  ///   - kernel: from a parameter's name and shape to what is done with its scalars, piece by piece on several threads.
  /// - Precondition: there is a gradient for each parameter, of its shape, and the state is of this model or empty.
  mutating func update(
    _ model: inout some Layer, by gradients: LayerGradients, slots names: [String], _ optimizer: String,
    _ kernel: (_ name: String, _ shape: [Int]) -> @Sendable (ParameterChunk) -> Void
  ) {
    // Out of the dictionary: they are written to in place.
    var kept = names.map { slots.removeValue(forKey: $0) ?? gradients.tensors.map { Tensor(zeros: $0.shape) } }
    for (name, tensors) in zip(names, kept) {
      require(
        tensors.map(\.shape) == gradients.tensors.map(\.shape),
        "\(optimizer): what is kept as \(name) is not of the parameters whose gradients came")
    }
    steps += 1
    var index = 0
    model.visitParameters { name, role, parameter in
      guard role == .parameter else { return }
      require(
        index < gradients.names.count && gradients.names[index] == name
          && gradients.tensors[index].shape == parameter.shape,
        "\(optimizer): no gradient of shape \(parameter.shape) for the parameter \(name)")
      let kernel = kernel(name, parameter.shape)
      let pointers = kept.indices.map { slot in
        kept[slot][index].withUnsafeMutableBufferPointer { Unchecked($0.baseAddress!) }
      }
      let gradient = gradients.tensors[index]
      let (first, second, slopes) = (pointers.first, pointers.dropFirst().first, Unchecked(gradient.unsafeBase))
      parameter.rewrite { old, new in
        let (old, new) = (Unchecked(old), Unchecked(new))
        forEachChunk(of: gradient.count) { range in
          let start = range.lowerBound
          kernel(
            ParameterChunk(
              count: range.count, gradient: slopes.value + start, old: old.value + start, new: new.value + start,
              first: first.map { $0.value + start }, second: second.map { $0.value + start }))
        }
      }
      withExtendedLifetime(gradient) {}
      index += 1
    }
    require(
      index == gradients.names.count, "\(optimizer): \(gradients.names.count) gradients for \(index) parameters")
    for (slot, name) in names.enumerated() { slots[name] = kept[slot] }
  }
}
