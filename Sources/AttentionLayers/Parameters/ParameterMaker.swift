import AttentionTensors

/// Where a layer takes its parameters from: a generator, or a checkpoint.
///
/// Called with the parameter's name in the layer, its shape, and the inputs by whose number the bound of its initial values
/// is chosen: uniform on ±1/√inputs, as PyTorch draws them.
package typealias ParameterMaker<Failure: Error> =
  (_ name: String, _ shape: [Int], _ inputs: Int) throws(Failure) -> Tensor
