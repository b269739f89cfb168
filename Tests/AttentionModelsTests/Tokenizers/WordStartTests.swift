import AttentionModels
import Foundation
import Testing

@Suite struct WordStartTests {
  @Test func `pieces of WordPiece go on, punctuation and white space end words`() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.wordPiece)
    let text = "unaffable, the  cafés! can't 世the"
    let encoding = tokenizer.encode(text)
    let starts = encoding.wordStarts(in: text)
    let tokens = tokenizer.tokens(encoding)
    #expect(
      tokens == [
        "[CLS]", "un", "##aff", "##able", ",", "the", "cafe", "##s", "!", "can", "'", "t", "世", "the", "[SEP]",
      ])
    #expect(starts == tokens.map { !$0.hasPrefix("##") })
  }

  @Test func `bytes of one character are one word, and a token's leading space begins one`() throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.bytePairs)
    let text = "the theé the\n世世 x"
    let encoding = tokenizer.encode(text)
    let words = zip(tokenizer.tokens(encoding), encoding.wordStarts(in: text)).reduce(into: [String]()) {
      if $1.1 { $0.append($1.0) } else { $0[$0.count - 1] += $1.0 }
    }
    let bytes = { (text: String) in text.utf8.map { SampleTokenizers.characters[Int($0)] }.joined() }
    // Each ideograph is a word of its own; white space goes with what follows, if that is no other word.
    #expect(words == ["the", "Ġthe" + bytes("é"), "Ġthe", bytes("\n"), bytes("世"), bytes("世"), "Ġ" + "x"])
  }

  @Test(
    "With BERT's own vocabulary, words go on where tokens begin with ##",
    .enabled(if: ModelFiles.isMiniLMThere))
  func agreesWithSpelling() throws {
    let tokenizer = try SubwordTokenizer(ModelFiles.miniLM)
    let lines = try String(contentsOf: ModelFiles.fixture("minilm/texts.txt"), encoding: .utf8)
      .components(separatedBy: "\n")
    var (compared, goingOn) = (0, 0)
    for line in lines {
      let encoding = tokenizer.encode(line)
      let expected = tokenizer.tokens(encoding).map { !$0.hasPrefix("##") }
      #expect(encoding.wordStarts(in: line) == expected, "\(line)")
      compared += expected.count
      goingOn += expected.count { !$0 }
    }
    #expect(compared > 2_000 && goingOn > 100)
  }

  @Test func `without offsets every token is a word`() {
    let encoding = Encoding(ids: [1, 2, 3], offsets: [0..<0, 0..<0, 0..<0])
    #expect(encoding.wordStarts(in: "abc") == [true, true, true])
    #expect(Encoding().wordStarts(in: "abc") == [])
    // Offsets past the text are none of it.
    let outside = Encoding(ids: [1, 2], offsets: [5..<6, 6..<9])
    #expect(outside.wordStarts(in: "ab").count == 2)
  }
}
