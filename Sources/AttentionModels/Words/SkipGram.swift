import AttentionLayers
import AttentionTensors

/// What a ``SkipGram`` is made of; config.json of model type "skip-gram".
struct SkipGramConfiguration: Sendable, Equatable {
  var vocabularySize: Int
  var width: Int

  static let modelType = "skip-gram"

  init(vocabularySize: Int, width: Int) {
    self.vocabularySize = vocabularySize
    self.width = width
  }

  init(_ file: JSONField) throws(ModelFileError) {
    self.init(
      vocabularySize: try file["vocab_size"].integer(in: 1...WordVocabulary.maximumCount),
      width: try file["embedding_size"].integer(in: 1...(1 << 24)))
  }

  var json: JSONWriter {
    var json = JSONWriter()
    json.beginObject()
    json.key("model_type")
    json.string(Self.modelType)
    json.key("vocab_size")
    json.integer(vocabularySize)
    json.key("embedding_size")
    json.integer(width)
    json.endObject()
    return json
  }

  /// The words of a folder, as many as the configuration says.
  func vocabulary(in folder: ModelFolder) throws(ModelFileError) -> WordVocabulary {
    let path = folder.path(of: "vocab.txt")
    let vocabulary = try WordVocabulary(contentsOf: path)
    guard vocabulary.count == vocabularySize else {
      throw ModelFileError(
        file: path,
        reason: .inconsistent(problem: "it has \(vocabulary.count) words, and vocab_size is \(vocabularySize)"))
    }
    return vocabulary
  }
}

/// word2vec's skip-gram model (Mikolov et al., 1301.3781, §3.2), as it is trained with negative samples (1310.4546, §2.2):
/// two vectors for each word, one for the word in the middle and one for those around it.
///
///     let model = SkipGram(vocabulary: vocabulary, width: 100, using: &generator)
///     …                                                   // trained
///     try model.save(to: ModelFolder(path: "bible-vectors"))
///     let vectors = model.wordVectors
///
/// The score of a word w beside a word c in the middle is output_w · embedding_c. Parameters: "embeddings.weight" and
/// "outputs.weight", both `[words, width]`.
public struct SkipGram: StoredModel {
  /// The words.
  public let vocabulary: WordVocabulary
  /// Of each word in the middle: what ``WordVectors`` reads.
  public var embeddings: Embedding
  /// Of each word around it.
  public var outputs: Embedding

  /// The length of a vector.
  public var width: Int { embeddings.width }

  /// Creates a model with initial values as word2vec's own program draws them: embeddings uniform on ±0.5/width, outputs 0.
  ///
  /// - Precondition: there is a word, and the width is positive.
  public init(vocabulary: WordVocabulary, width: Int = 100, using generator: inout some RandomNumberGenerator) {
    require(vocabulary.count > 0 && width > 0, "SkipGram: \(vocabulary.count) words of width \(width)")
    self.vocabulary = vocabulary
    let bound = 0.5 / Float(width)
    embeddings = Embedding(
      weight: Tensor(randomUniform: [vocabulary.count, width], in: -bound..<bound, using: &generator))
    outputs = Embedding(weight: Tensor(zeros: [vocabulary.count, width]))
  }

  /// Reads a model from a folder that ``save(to:)`` wrote.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, or contradicts another.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    let configuration = try SkipGramConfiguration(folder.configuration(ofType: SkipGramConfiguration.modelType))
    vocabulary = try configuration.vocabulary(in: folder)
    let checkpoint = try folder.checkpoint()
    let (count, width) = (configuration.vocabularySize, configuration.width)
    embeddings = try checkpoint.embedding("embeddings", count: count, width: width)
    outputs = try checkpoint.embedding("outputs", count: count, width: width)
  }

  /// Writes vocab.txt, model.safetensors and config.json; the folder is made if need be.
  ///
  /// - Throws: ``ModelFileError`` when the system refuses.
  public func save(to folder: ModelFolder) throws(ModelFileError) {
    do throws(TensorFileError) {
      try makeFolder(folder.path)
      try AttentionTensors.write(vocabulary.file, toFile: folder.path(of: "vocab.txt"))
    } catch {
      throw ModelFileError(error)
    }
    let configuration = SkipGramConfiguration(vocabularySize: vocabulary.count, width: width)
    try folder.write(configuration: configuration.json, CheckpointTensors(of: self))
  }

  /// The embeddings with their words.
  public var wordVectors: WordVectors { WordVectors(vocabulary: vocabulary, rows: embeddings.weight) }

  /// Lists the parameters.
  public mutating func visitParameters(
    _ visit: (_ name: String, _ role: ParameterRole, _ tensor: inout Tensor) throws -> Void
  ) rethrows {
    try embeddings.visitParameters(under: "embeddings", visit)
    try outputs.visitParameters(under: "outputs", visit)
  }
}
