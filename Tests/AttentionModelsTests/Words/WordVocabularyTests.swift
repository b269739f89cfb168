import AttentionModels
import Foundation
import Testing

@Suite struct WordVocabularyTests {
  private func words(_ text: String) -> [String] {
    let vocabulary = WordVocabulary(countingWordsOf: [text], minimumCount: 1)
    return vocabulary.ids(of: text).map { vocabulary[$0] }
  }

  @Test(
    "Words are runs of letters, marks and numbers, lowercased; an apostrophe inside is part of one",
    arguments: [
      ("In the BEGINNING, God created.", ["in", "the", "beginning", "god", "created"]),
      (
        "God's ’tis 'quoted' don’t rock'n'roll a''b c'",
        ["god's", "tis", "quoted", "don't", "rock'n'roll", "a", "b", "c"]
      ),
      ("3:16 x2 a_b", ["3", "16", "x2", "a_b"]), ("", []), (" .,;\n\t—!", []),
      ("ÄRGER ΣΊΣΥΦΟΣ İ", ["ärger", "σίσυφοσ", "i\u{307}"]),
      // One scalar or two, a word is its scalars.
      ("caf\u{E9} cafe\u{301}", ["caf\u{E9}", "cafe\u{301}"]),
      ("世界 नमस्ते 👍🏽 x", ["世界", "नमस्ते", "x"]), ("\u{2167} \u{BD}", ["\u{2177}", "\u{BD}"]),
      (
        String(repeating: "a", count: 100) + " " + String(repeating: "b", count: 101),
        [String(repeating: "a", count: 100)]
      ),
    ])
  func rule(text: String, expected: [String]) {
    let found = words(text)
    #expect(
      found.count == expected.count && zip(found, expected).allSatisfy { $0.utf8.elementsEqual($1.utf8) }, "\(found)")
  }

  @Test("The most frequent come first, of equal ones those whose bytes do; rare ones are left out")
  func order() {
    let texts = ["b a c a", "c z é", "a c e"]
    let all = WordVocabulary(countingWordsOf: texts, minimumCount: 1)
    #expect((0..<all.count).map { all[$0] } == ["a", "c", "b", "e", "z", "é"])
    let frequent = WordVocabulary(countingWordsOf: texts, minimumCount: 2)
    #expect((0..<frequent.count).map { frequent[$0] } == ["a", "c"])
    #expect(WordVocabulary(countingWordsOf: texts, minimumCount: 1, maximumSize: 3).count == 3)
    #expect(frequent.ids(of: "b A c, a!") == [0, 1, 0])
    #expect(all.id(of: "é") == 5 && all.id(of: "e\u{301}") == nil && all.id(of: "Z") == nil)
    #expect(WordVocabulary(countingWordsOf: [], minimumCount: 1).ids(of: "a") == [])
  }

  @Test(
    "A file that holds no list of different words is an error",
    arguments: [
      (Data([0x61, 0x0A, 0xFF, 0x0A]), "not UTF-8"), (Data("a\n\nb\n".utf8), "line 2 is empty"),
      (Data("a\nb\r\na\n".utf8), "twice"),
    ])
  func wrongFiles(bytes: Data, message: String) throws {
    try withTemporaryFolder { folder in
      let path = folder.appending(path: "vocab.txt")
      try bytes.write(to: path)
      #expect {
        _ = try WordVocabulary(contentsOf: path.path(percentEncoded: false))
      } throws: {
        $0 is ModelFileError && "\($0)".contains(message)
      }
      #expect(throws: ModelFileError.self) {
        try WordVocabulary(contentsOf: folder.path(percentEncoded: false) + "none")
      }
    }
  }
}
