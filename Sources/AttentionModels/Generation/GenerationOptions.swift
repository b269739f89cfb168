/// How text is generated.
public struct GenerationOptions: Sendable, Equatable {
  /// Tokens at the most.
  public var maximumNewTokens: Int
  /// What scores are divided by before the softmax; 0 takes the best token always, and of equal ones that with the lowest
  /// id.
  public var temperature: Double
  /// How many of the best tokens may be chosen; of equal ones those with the lowest ids. All unless given.
  public var topK: Int?
  /// The probability that the tokens to choose from have together: the fewest best ones that reach it (Holtzman et al.,
  /// 1904.09751, §3.1). All for 1.
  public var topP: Double
  /// What positive scores of tokens that are in the sequence already, the prompt among it, are divided by, and negative ones
  /// multiplied with (Keskar et al., 1909.05858, §4.1). None for 1.
  public var repetitionPenalty: Double
  /// What choices are drawn from, for each prompt anew: a prompt's text depends on the prompt and on these options, not on
  /// the other prompts.
  public var seed: UInt64
  /// Texts at which generation ends; they are not part of the result.
  public var stopStrings: [String]
  /// Tokens at which generation ends; those of the model unless given. Their text is not part of the result.
  public var endIDs: [Int]?

  /// Creates options; the defaults are 256 tokens, the best each time.
  public init(
    maximumNewTokens: Int = 256, temperature: Double = 0, topK: Int? = nil, topP: Double = 1,
    repetitionPenalty: Double = 1, seed: UInt64 = 0, stopStrings: [String] = [], endIDs: [Int]? = nil
  ) {
    self.maximumNewTokens = maximumNewTokens
    self.temperature = temperature
    self.topK = topK
    self.topP = topP
    self.repetitionPenalty = repetitionPenalty
    self.seed = seed
    self.stopStrings = stopStrings
    self.endIDs = endIDs
  }

  /// - Throws: ``GenerationError/invalidOption(name:value:expected:)`` for the first that is out of its range.
  public func check() throws(GenerationError) {
    func check(_ name: String, _ value: some Any, _ isValid: Bool, _ expected: String) throws(GenerationError) {
      guard isValid else { throw .invalidOption(name: name, value: "\(value)", expected: expected) }
    }
    try check("maximumNewTokens", maximumNewTokens, maximumNewTokens >= 0, "a whole number from 0")
    try check("temperature", temperature, temperature >= 0 && temperature.isFinite, "a number from 0")
    try check("topK", topK ?? 1, topK ?? 1 >= 1, "a whole number from 1")
    try check("topP", topP, topP > 0 && topP <= 1, "a number above 0, up to 1")
    try check(
      "repetitionPenalty", repetitionPenalty, (1e-6...1e6).contains(repetitionPenalty),
      "a number from 0.000001 to 1000000")
    try check("stopStrings", stopStrings, !stopStrings.contains(""), "texts that are not empty")
  }
}

/// Why generation ended.
public enum GenerationEnd: String, Sendable, Equatable {
  /// The model gave an end token.
  case endToken
  /// A stop string was in the text.
  case stopString
  /// There are as many tokens as were asked for.
  case maximumNewTokens
  /// The model has no positions left.
  case maximumLength
}

/// Why text could not be generated.
public enum GenerationError: Error, Sendable, Equatable, CustomStringConvertible {
  /// An option is out of its range.
  case invalidOption(name: String, value: String, expected: String)
  /// A prompt has no tokens, and the model no token to begin with.
  case emptyPrompt(index: Int)
  /// A prompt has more tokens than the model has positions.
  case promptTooLong(index: Int, limit: Int)
  /// A prompt has a token that the model does not know: tokenizer and model do not belong together.
  case unknownToken(index: Int, id: Int, vocabularySize: Int)
  /// No score of a token is a number, as of weights with NaN.
  case scoresNotFinite(index: Int)

  /// What is wrong, in one line.
  public var description: String {
    switch self {
    case .invalidOption(let name, let value, let expected): "\(name) is \(value), not \(expected)"
    case .emptyPrompt: "the prompt is empty, and the model has no token to begin with"
    case .promptTooLong(_, let limit): "the prompt has more tokens than the \(limit) that the model reads"
    case .unknownToken(_, let id, let size):
      "the prompt has the token \(id), and the model knows 0..<\(size): the tokenizer is not the model's"
    case .scoresNotFinite: "the model's scores are no finite numbers: its weights are damaged"
    }
  }
}
