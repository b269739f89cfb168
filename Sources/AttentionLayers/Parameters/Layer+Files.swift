import AttentionTensors

extension Layer {
  /// Takes its parameters and statistics from tensors, by name; the layer is unchanged when one does not fit.
  ///
  /// - Parameters:
  ///   - tensors: one for each name that the layer lists.
  ///   - source: what error messages call their origin.
  ///   - allowsOthers: whether tensors of other names are passed over.
  public mutating func load(
    _ tensors: [String: Tensor], from source: String = "parameters", allowsOthers: Bool = false
  ) throws(ParameterError) {
    try check(tensors.mapValues(\.shape), source: source, allowsOthers: allowsOthers)
    visitParameters { name, _, tensor in tensor = tensors[name]!.detached() }
  }

  /// Reads its parameters and statistics from a safetensors file; the layer is unchanged when one does not fit.
  ///
  /// - Parameters:
  ///   - path: the file.
  ///   - prefix: what stands before the layer's own names in the file, such as "encoder.layer.0.".
  ///   - allowsOthers: whether tensors of other names are passed over.
  public mutating func load(
    path: String, prefix: String = "", allowsOthers: Bool = false
  ) throws(LayerLoadingError) {
    var shapes: [String: [Int]] = [:]
    let file = try reading { () throws(TensorFileError) in try SafetensorsFile(path: path) }
    for entry in file.entries where entry.name.hasPrefix(prefix) {
      shapes[String(entry.name.dropFirst(prefix.count))] = entry.shape
    }
    do throws(ParameterError) {
      try check(shapes, source: path, allowsOthers: allowsOthers)
    } catch {
      throw .parameters(error)
    }
    var tensors: [String: Tensor] = [:]
    for (name, _, _) in namedTensors {
      tensors[name] = try reading { () throws(TensorFileError) in try file.tensor(named: prefix + name) }
    }
    visitParameters { name, _, tensor in tensor = tensors[name]! }
  }

  private func reading<Result>(_ body: () throws(TensorFileError) -> Result) throws(LayerLoadingError) -> Result {
    do throws(TensorFileError) { return try body() } catch { throw .file(error) }
  }

  /// Writes its parameters and statistics to a safetensors file, under their names.
  public func save(to path: String, metadata: [String: String] = [:]) throws(TensorFileError) {
    try SafetensorsFile.write(
      namedTensors.map { ($0.name, .float32($0.tensor)) }, metadata: metadata, to: path)
  }

  private func check(
    _ shapes: [String: [Int]], source: String, allowsOthers: Bool
  ) throws(ParameterError) {
    let expected = namedTensors
    let names = Set(expected.map(\.name))
    let error = ParameterError(
      source: source,
      missing: expected.map(\.name).filter { shapes[$0] == nil },
      unexpected: allowsOthers ? [] : shapes.keys.filter { !names.contains($0) }.sorted(),
      mismatched: expected.compactMap { name, _, tensor in
        guard let shape = shapes[name], shape != tensor.shape else { return nil }
        return ParameterError.Mismatch(name: name, expected: tensor.shape, found: shape)
      })
    guard error.missing.isEmpty, error.unexpected.isEmpty, error.mismatched.isEmpty else { throw error }
  }
}
