import AttentionModels
import AttentionTensors
import Testing

@Suite("Byte-level BPE")
struct BytePairTests {
  static let plain = EncodingOptions(addsTemplate: false)

  static let texts: [(String, [String], [Range<Int>])] = [
    ("", [], []), ("the", ["the"], [0..<3]), (" the", ["Ġthe"], [0..<4]),
    ("the the", ["the", "Ġthe"], [0..<3, 3..<7]),
    ("aaaa", ["aa", "aa"], [0..<2, 2..<4]), ("aaa", ["aaa"], [0..<3]), ("aaaaa", ["aa", "aaa"], [0..<2, 2..<5]),
    ("é", ["Ã", "©"], [0..<1, 0..<1]), ("a  b", ["a", "Ġ", "Ġ", "b"], [0..<1, 1..<2, 2..<3, 3..<4]),
    ("\n", ["Ċ"], [0..<1]), ("👍", ["ð", "Ł", "ĳ", "į"], [0..<1, 0..<1, 0..<1, 0..<1]),
    ("the<|endoftext|>the", ["the", "<|endoftext|>", "the"], [0..<3, 3..<16, 16..<19]),
  ]

  @Test(arguments: texts)
  func wordsBecomeTokens(text: String, tokens: [String], offsets: [Range<Int>]) throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs)
    let encoding = tokenizer.encode(text)
    #expect(tokenizer.tokens(encoding) == tokens)
    #expect(encoding.offsets == offsets)
  }

  @Test func aTextThatBeginsWithNoSpaceGetsOne() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs(added: [], prefixSpace: true))
    for text in ["the", " the"] { #expect(tokenizer.tokens(tokenizer.encode(text)) == ["Ġthe"]) }
    #expect(tokenizer.encode("the").offsets == [0..<3] && tokenizer.encode(" the").offsets == [0..<4])
    #expect(tokenizer.encode("").ids.isEmpty)
  }

  /// Every scalar there is, and random texts of all of them.
  @Test func whatIsEncodedIsDecoded() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs)
    let all = (UInt32(0)...0x10FFFF).compactMap(Unicode.Scalar.init)
    var generator = SeededGenerator(seed: 5)
    var texts = stride(from: 0, to: all.count, by: 997).map { start in
      String(String.UnicodeScalarView(all[start..<min(start + 997, all.count)]))
    }
    for _ in 0..<2000 {
      let scalars = (0..<Int.random(in: 0..<30, using: &generator)).map { _ in all.randomElement(using: &generator)! }
      texts.append(String(String.UnicodeScalarView(scalars)))
    }
    for (text, encoding) in zip(texts, tokenizer.encode(texts)) {
      let decoded = tokenizer.decode(encoding.ids, skippingSpecialTokens: false)
      #expect(decoded.utf8.elementsEqual(text.utf8))
      let count = text.unicodeScalars.count
      #expect(encoding.offsets.allSatisfy { $0.upperBound <= count && !$0.isEmpty })
    }
  }

  @Test func bytesThatAreNoTextBecomeReplacements() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs)
    #expect(tokenizer.decode([0xC3]) == "\u{FFFD}" && tokenizer.decode([0xC3, 0xA9]) == "é")
    #expect(tokenizer.decode([-1, 97, 5000]) == "a")
    #expect(tokenizer.decode([97, 261]) == "a")
    #expect(tokenizer.decode([97, 261], skippingSpecialTokens: false) == "a<|endoftext|>")
  }

  @Test func aLongWordIsCut() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs)
    let encoding = tokenizer.encode(String(repeating: "a", count: 1_000_000))
    #expect(encoding.count == 500_000 && encoding.offsets.last == 999_998..<1_000_000)
  }

  @Test func savedAndReadItIsTheSame() throws {
    for text in [SampleTokenizers.bytePairs, SampleTokenizers.wordPiece] {
      let tokenizer = try SampleTokenizers.read(text)
      let copy = try SubwordTokenizer(json: tokenizer.json, name: "copy")
      #expect(
        copy.template == tokenizer.template && copy.addedTokens == tokenizer.addedTokens && copy.json == tokenizer.json)
      for sample in ["the cat, it's [SEP] <|endoftext|> Café 世", " a  b\n"] {
        #expect(
          copy.encode(sample, pair: "it", options: .init()) == tokenizer.encode(sample, pair: "it", options: .init()))
      }
    }
  }
}
