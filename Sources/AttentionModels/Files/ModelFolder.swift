import AttentionTensors

/// A folder as Hugging Face lays out a model: config.json, the weights, tokenizer.json, and what belongs to them.
///
///     let folder = try ModelFolder(path: ".build/models/all-MiniLM-L6-v2")
///     let model = try BERT(folder)
///     let tokenizer = try SubwordTokenizer(folder)
///
/// Nothing is fetched from anywhere.
public struct ModelFolder: Sendable {
  /// The path, as it was given.
  public let path: String

  /// A folder, which is looked into when something is read from it.
  public init(path: String) { self.path = path }

  /// The path of a file in the folder.
  package func path(of name: String) -> String { path.isEmpty || path.hasSuffix("/") ? path + name : "\(path)/\(name)" }

  /// A folder in the folder; itself for an empty name.
  func folder(_ name: String) -> ModelFolder { name.isEmpty ? self : ModelFolder(path: path(of: name)) }

  /// A JSON document in the folder.
  func document(_ name: String) throws(ModelFileError) -> JSONField { try JSONField(contentsOf: path(of: name)) }

  /// A JSON document that need not be there.
  func optionalDocument(_ name: String) throws(ModelFileError) -> JSONField? {
    fileExists(path(of: name)) ? try document(name) : nil
  }

  /// The configuration, of which the model type is known.
  func configuration(ofType expected: String) throws(ModelFileError) -> JSONField {
    let configuration = try document("config.json")
    let type = configuration["model_type"]
    guard try type.string() == expected else { throw type.unsupported("\(try type.string()) (for \(expected))") }
    return configuration
  }

  /// The names of all weights, which lie in model.safetensors or in the files that its index lists.
  package func weightNames() throws(ModelFileError) -> [String] { try Checkpoint(self).names }

  /// The weights.
  func checkpoint() throws(ModelFileError) -> Checkpoint { try Checkpoint(self) }
}
