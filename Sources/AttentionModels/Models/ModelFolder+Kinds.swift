import AttentionTensors

/// Models of whatever kind a folder holds, as "model_type" in config.json names it.
extension ModelFolder {
  /// What config.json calls the kind of the model, such as "gpt2".
  ///
  /// - Throws: ``ModelFileError`` when there is no such file, or nothing in it that names a kind.
  public func modelType() throws(ModelFileError) -> String { try document("config.json")["model_type"].string() }

  /// Reads a language model: ``GPT2`` of type "gpt2", ``RecurrentLanguageModel`` of "recurrent-lm".
  ///
  ///     let model = try folder.languageModel()
  ///     func use(_ model: some CausalLanguageModel) { … }
  ///     use(model)
  ///
  /// - Throws: ``ModelFileError`` when the model is of another kind, or cannot be read.
  public func languageModel() throws(ModelFileError) -> any CausalLanguageModel {
    switch try modelType() {
    case "gpt2": return try GPT2(self)
    case RecurrentLanguageModelConfiguration.modelType: return try RecurrentLanguageModel(self)
    case let type:
      throw try unsupported(type, "a language model is gpt2 or \(RecurrentLanguageModelConfiguration.modelType)")
    }
  }

  /// Reads a model of sources and targets: ``EncoderDecoder`` of type "attention-encoder-decoder",
  /// ``RecurrentEncoderDecoder`` of "recurrent-encoder-decoder".
  ///
  /// - Throws: ``ModelFileError`` when the model is of another kind, or cannot be read.
  public func sequenceToSequenceModel() throws(ModelFileError) -> any SequenceToSequenceModel {
    let (plain, recurrent) = (EncoderDecoderConfiguration.modelType, RecurrentEncoderDecoderConfiguration.modelType)
    switch try modelType() {
    case plain: return try EncoderDecoder(self)
    case recurrent: return try RecurrentEncoderDecoder(self)
    case let type: throw try unsupported(type, "a model of sources and targets is \(plain) or \(recurrent)")
    }
  }

  /// Reads what makes vectors of texts: ``WordVectors`` of type "skip-gram"; everything else is a ``SentenceEncoder``, whose
  /// model may lie in a folder of its own.
  ///
  /// - Throws: ``ModelFileError`` when the model is of another kind, or cannot be read.
  public func textEmbedder() throws(ModelFileError) -> any TextEmbedder {
    if let type = try optionalDocument("config.json")?["model_type"], type.exists,
      try type.string() == SkipGramConfiguration.modelType
    {
      return try WordVectors(self)
    }
    return try SentenceEncoder(self)
  }

  private func unsupported(_ type: String, _ known: String) throws(ModelFileError) -> ModelFileError {
    try document("config.json")["model_type"].unsupported("\(type) (\(known))")
  }
}
