extension TextGenerator where Model == GPT2, Text == SubwordTokenizer {
  /// Reads a model of type gpt2 and its tokenizer from a folder as Hugging Face lays it out.
  ///
  /// - Throws: ``ModelFileError`` when a file is missing, is none of its kind, contradicts another, or asks for what this
  ///   package does not do.
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    // The smaller of the two first: its faults are found at once.
    let tokenizer = try SubwordTokenizer(folder)
    self.init(model: try GPT2(folder), tokenizer: tokenizer)
  }
}
