extension SubwordTokenizer {
  public init(_ folder: ModelFolder) throws(ModelFileError) {
    try self.init(contentsOf: folder.path(of: "tokenizer.json"))
  }
}
