import AttentionModels
import Testing

/// Tokens that are found in text before it is split.
@Suite("Added tokens")
struct AddedTokenTests {
  struct Example: Sendable, CustomTestStringConvertible {
    let flags: String
    let text: String
    let tokens: [String]
    let offsets: [Range<Int>]

    var testDescription: String { "\(flags) '\(text)'" }
  }

  static let examples = [
    Example(flags: "", text: "the <m> cat", tokens: ["the", "<m>", "cat"], offsets: [0..<3, 4..<7, 8..<11]),
    Example(flags: "", text: "the<m>cat", tokens: ["the", "<m>", "cat"], offsets: [0..<3, 3..<6, 6..<9]),
    Example(flags: "", text: "<m><m>", tokens: ["<m>", "<m>"], offsets: [0..<3, 3..<6]),
    Example(flags: "", text: "<M>", tokens: ["[UNK]", "[UNK]", "[UNK]"], offsets: [0..<1, 1..<2, 2..<3]),
    Example(
      flags: #","lstrip":true"#, text: "the \t<m> cat", tokens: ["the", "<m>", "cat"], offsets: [0..<3, 3..<8, 9..<12]),
    Example(
      flags: #","rstrip":true"#, text: "the <m> \u{A0}cat", tokens: ["the", "<m>", "cat"],
      offsets: [0..<3, 4..<9, 9..<12]),
    Example(
      flags: #","lstrip":true,"rstrip":true"#, text: " <m>  <m> ", tokens: ["<m>", "<m>"], offsets: [0..<6, 6..<10]),
    Example(
      flags: #","single_word":true"#, text: "a<m> <m>", tokens: ["a", "[UNK]", "[UNK]", "[UNK]", "<m>"],
      offsets: [0..<1, 1..<2, 2..<3, 3..<4, 5..<8]),
    Example(flags: #","single_word":true"#, text: ",<m>!", tokens: [",", "<m>", "!"], offsets: [0..<1, 1..<4, 4..<5]),
    Example(
      flags: #","normalized":true"#, text: "é<M>É", tokens: ["[UNK]", "<m>", "[UNK]"], offsets: [0..<1, 1..<4, 4..<5]),
    Example(
      flags: #","normalized":true"#, text: "世 <\u{0}M\u{301}> a", tokens: ["世", "<m>", "a"],
      offsets: [0..<1, 2..<7, 8..<9]),
  ]

  @Test(arguments: examples)
  func areFoundByTheirFlags(example: Example) throws {
    var flags = example.flags
    if !flags.contains("normalized") { flags += #","normalized":false"# }
    let tokenizer = try SampleTokenizers.read(
      SampleTokenizers.wordPiece(added: [SampleTokenizers.added(22, "<m>", flags: flags)]))
    let encoding = tokenizer.encode(example.text, options: EncodingOptions(addsTemplate: false))
    #expect(tokenizer.tokens(encoding) == example.tokens)
    #expect(encoding.offsets == example.offsets)
    // Only special ones are text where none is to be recognized.
    let strict = EncodingOptions(addsTemplate: false, recognizesSpecialTokens: false)
    #expect(tokenizer.encode(example.text, options: strict) == encoding)
  }

  @Test func theLongestOfTheLeftmostIsFound() throws {
    let added = ["<a", "<a>", "<a>>", "a>>b"].enumerated().map { SampleTokenizers.added(300 + $0, $1) }
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs(added: added))
    func found(_ text: String) -> [Int] { tokenizer.encode(text).ids.filter { $0 >= 300 } }
    #expect(
      found("<a>>b") == [302] && found("<a>") == [301] && found("<ax") == [300] && found("xa>>b<a") == [303, 300])
    #expect(tokenizer.idLimit == 304 && tokenizer.token(303) == "a>>b" && tokenizer.token(290) == nil)
  }

  @Test func anEmptyOneIsNowhere() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs(added: [SampleTokenizers.added(300, "")]))
    #expect(tokenizer.encode("the").count == 1 && tokenizer.encode("").count == 0)
  }
}
