import AttentionModels
import AttentionTraining
import Testing

@Suite struct TokenDocumentsTests {
  static let text = madeText(lines: 30_000, seed: 8)
  static let tokenizer = BytePairTrainer(vocabularySize: 500).train(on: [text])

  /// The way of one text at a time.
  func encoded(_ text: String, _ tokenizer: some Tokenizer) -> Encoding {
    tokenizer.encode(text, options: EncodingOptions(addsTemplate: false, recognizesSpecialTokens: false))
  }

  @Test(arguments: [TextCut.whole, .lines, .blocks(count: 7)])
  func `tokens are those of each text alone, however the work is cut`(cut: TextCut) throws {
    let texts = try textDocuments(Self.text, cut)
    #expect(cut != .whole || texts.byteCount > 3 << 18, "long enough for several pieces")
    let tokens = TokenDocuments(texts, tokenizer: Self.tokenizer)
    #expect(tokens.count == texts.count)
    #expect(tokens.byteCount == texts.byteCount)
    var (total, wrong) = (0, 0)
    for document in 0..<texts.count {
      let expected = encoded(texts[document], Self.tokenizer)
      total += expected.count
      let starts = expected.wordStarts(in: texts[document])
      if tokens.ids(of: document) != expected.ids || tokens.wordStarts(of: document) != starts { wrong += 1 }
    }
    #expect(wrong == 0)
    #expect(tokens.tokenCount == total)
  }

  @Test func `begin and end stand around each document, and count no bytes`() throws {
    let texts = TextDocuments(["ab", "", "c"])
    let tokens = TokenDocuments(texts, tokenizer: ByteTokenizer(), beginID: 256, endID: 257)
    #expect((0..<3).map(tokens.ids(of:)) == [[256, 97, 98, 257], [256, 257], [256, 99, 257]])
    #expect(tokens.byteCount == 3)
    #expect((0..<3).map(tokens.byteCount(of:)) == [2, 0, 1])
    #expect(tokens.wordStarts(of: 0) == [true, true, false, true])
  }

  @Test func `a special token that is spelt out is text`() throws {
    let texts = TextDocuments(["a<|endoftext|>b"])
    let special = try #require(Self.tokenizer.id(of: "<|endoftext|>"))
    let tokens = TokenDocuments(texts, tokenizer: Self.tokenizer, endID: special)
    #expect(tokens.ids(of: 0).count { $0 == special } == 1)
    #expect(Self.tokenizer.decode(tokens.ids(of: 0)) == "a<|endoftext|>b")
  }

  @Test(arguments: ["x", "世", "word "])
  func `one giant line is read in pieces`(unit: String) throws {
    let line = String(repeating: unit, count: (4 << 20) / unit.utf8.count)
    let tokens = TokenDocuments(try textDocuments(line, .whole), tokenizer: Self.tokenizer)
    #expect(tokens.count == 1)
    #expect(Self.tokenizer.decode(tokens.ids(of: 0)) == line)
    if unit == "word " { #expect(tokens.ids(of: 0) == encoded(line, Self.tokenizer).ids) }
  }

  @Test func `ids that do not fit are a mistake of the caller`() async {
    await #expect(processExitsWith: .failure) { _ = TokenDocuments(ids: [[-1]]) }
    await #expect(processExitsWith: .failure) { _ = TokenDocuments(ids: [[1 << 31]]) }
    await #expect(processExitsWith: .failure) { _ = TokenDocuments(ids: [[1]], origins: [0, 0]) }
  }
}
