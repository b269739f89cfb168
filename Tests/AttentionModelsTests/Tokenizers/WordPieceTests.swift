import AttentionModels
import Testing

@Suite("WordPiece")
struct WordPieceTests {
  let tokenizer: SubwordTokenizer

  init() throws { tokenizer = try SampleTokenizers.read(SampleTokenizers.wordPiece) }

  static let texts: [(String, [String], [Range<Int>])] = [
    ("", [], []), (" \t\n", [], []), ("the cat", ["the", "cat"], [0..<3, 4..<7]),
    ("Unaffable!", ["un", "##aff", "##able", "!"], [0..<2, 2..<5, 5..<9, 9..<10]),
    ("CAFÉS", ["cafe", "##s"], [0..<4, 4..<5]), ("cafe\u{301}s", ["cafe", "##s"], [0..<4, 5..<6]),
    ("a世a", ["a", "世", "a"], [0..<1, 1..<2, 2..<3]), ("cats", ["cat", "##s"], [0..<3, 3..<4]),
    ("catx the", ["[UNK]", "the"], [0..<4, 5..<8]), ("👍 a", ["[UNK]", "a"], [0..<1, 2..<3]),
    ("t\u{0}h\u{AD}e", ["the"], [0..<5]), ("[SEP]a", ["[SEP]", "a"], [0..<5, 5..<6]),
  ]

  @Test(arguments: texts)
  func wordsBecomeTokens(text: String, tokens: [String], offsets: [Range<Int>]) {
    let encoding = tokenizer.encode(text, options: EncodingOptions(addsTemplate: false))
    #expect(tokenizer.tokens(encoding) == tokens)
    #expect(encoding.offsets == offsets)
    #expect(encoding.ids == tokens.map { tokenizer.id(of: $0) })
  }

  @Test(arguments: [(99, false), (100, false), (101, true), (1_000_000, true)])
  func wordsOfMoreThanAHundredScalarsAreUnknown(length: Int, isUnknown: Bool) {
    let text = "a" + String(repeating: "b", count: length - 1)
    let encoding = tokenizer.encode(text, options: EncodingOptions(addsTemplate: false))
    #expect(isUnknown ? encoding.ids == [1] && encoding.offsets == [0..<length] : encoding.count == length - 1)
  }

  @Test func theTemplateStandsAroundTexts() {
    let one = tokenizer.encode("the cat")
    #expect(one.ids == [2, 8, 9, 3] && one.offsets == [0..<0, 0..<3, 4..<7, 0..<0])
    #expect(one.isTemplate == [true, false, false, true] && one.segments == [0, 0, 0, 0] && !one.isTruncated)
    let two = tokenizer.encode("the cat", pair: "it", options: .init())
    #expect(two.ids == [2, 8, 9, 3, 18, 3] && two.segments == [0, 0, 0, 0, 1, 1])
    #expect(two.offsets == [0..<0, 0..<3, 4..<7, 0..<0, 0..<2, 0..<0])
    let empty = tokenizer.encode("", pair: "", options: .init())
    #expect(empty.ids == [2, 3, 3] && empty.segments == [0, 0, 1] && empty.isTemplate == [true, true, true])
    let plain = tokenizer.encode("the", pair: "cat", options: EncodingOptions(addsTemplate: false))
    #expect(plain.ids == [8, 9] && plain.segments == [0, 1] && plain.isTemplate == [false, false])
  }

  @Test func specialTokensOfStrangersAreText() {
    let options = EncodingOptions(addsTemplate: false, recognizesSpecialTokens: false)
    #expect(tokenizer.encode("[SEP]", options: options).ids == [1, 1, 1])
    #expect(tokenizer.encode("[SEP]", options: EncodingOptions(addsTemplate: false)).ids == [3])
  }

  @Test(arguments: [
    ([2, 8, 9, 3], true, "the cat"), ([2, 8, 9, 3], false, "[CLS] the cat [SEP]"), ([5, 6, 7, 11], true, "unaffable!"),
    ([8, 10, 9], true, "the, cat"), ([20, 19, 21], true, "can ' t"), ([], true, ""),
    ([-1, 8, 999_999, Int.max, 9], true, "the cat"),
    ([6, 7], true, "##affable"), ([4], true, ""),
  ])
  func idsBecomeText(ids: [Int], skips: Bool, text: String) {
    let found = tokenizer.decode(ids, skippingSpecialTokens: skips)
    #expect(found == text)
  }

  @Test func idsAndTokens() {
    #expect(tokenizer.idLimit == SampleTokenizers.words.count)
    for (id, token) in SampleTokenizers.words.enumerated() {
      #expect(tokenizer.token(id) == token && tokenizer.id(of: token) == id)
    }
    for id in [-1, SampleTokenizers.words.count, Int.max, Int.min] { #expect(tokenizer.token(id) == nil) }
    // Not the one that is canonically equivalent.
    #expect(tokenizer.id(of: "nonsense") == nil && tokenizer.id(of: "") == nil)
  }
}
