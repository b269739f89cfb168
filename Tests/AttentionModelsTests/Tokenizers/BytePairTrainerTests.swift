import AttentionModels
import AttentionTensors
import Testing

@Suite("BPE learnt from texts")
struct BytePairTrainerTests {
  static let corpus: [String] = {
    var generator = SeededGenerator(seed: 9)
    let words = ["the", "cat", "sat", "on", "mat", "thesis", "Theseus", "über", "日本語", "👍", "123", "can't", "  ", "\n"]
    return (0..<2000).map { _ in
      (0..<Int.random(in: 0..<12, using: &generator)).map { _ in words.randomElement(using: &generator)! }
        .joined(separator: " ")
    }
  }()

  @Test func theMostFrequentPairComesFirst() {
    let tokenizer = BytePairTrainer(vocabularySize: 300, minimumFrequency: 2, specialTokens: [])
      .train(on: ["abab ab", "ab", "cd cd"])
    // "ab" stands 4 times in "abab", " ab" and "ab"; then "cd", " " and others by the smallest ids of what is left.
    #expect(tokenizer.token(256) == "ab" && tokenizer.token(257) == "cd")
    #expect(tokenizer.idLimit == 258)
  }

  @Test(arguments: [0, 1, 256, 257, 258, 300, 400])
  func theSizeIsReached(size: Int) {
    let tokenizer = BytePairTrainer(vocabularySize: size).train(on: Self.corpus)
    // A special token and 256 bytes are there in any case; the corpus has pairs for some hundred more.
    let found = tokenizer.idLimit
    #expect(size <= 300 ? found == max(size, 257) : found > 300 && found <= size)
  }

  @Test func itEndsWhereThereAreNoPairs() {
    let once = BytePairTrainer(vocabularySize: 10_000).train(on: ["abcdefg"])
    #expect(once.idLimit == 257)
    let all = BytePairTrainer(vocabularySize: 10_000, minimumFrequency: 1).train(on: ["abcdefg"])
    #expect(all.idLimit == 257 + 6 && all.encode("abcdefg").count == 1)
    #expect(BytePairTrainer(vocabularySize: 10_000, minimumFrequency: 0).train(on: ["abcdefg"]).json == all.json)
  }

  @Test(arguments: [[], [""], ["", "", ""], ["a"]])
  func textsOfNothing(texts: [String]) {
    let tokenizer = BytePairTrainer(vocabularySize: 1000, specialTokens: ["<a>", "<b>", "<a>"]).train(on: texts)
    #expect(tokenizer.idLimit == 258 && tokenizer.id(of: "<b>") == 1 && tokenizer.addedTokens.count == 2)
    let encoding = tokenizer.encode("x <a>é<b>")
    #expect(tokenizer.decode(encoding.ids, skippingSpecialTokens: false) == "x <a>é<b>" && encoding.count == 6)
  }

  @Test func trainedTwiceItIsTheSame() throws {
    let trainer = BytePairTrainer(vocabularySize: 500, addsPrefixSpace: true)
    let first = trainer.train(on: Self.corpus)
    #expect(trainer.train(on: Self.corpus).json == first.json)
    // A pair's count does not depend on the order of the texts.
    #expect(trainer.train(on: Self.corpus.reversed()).json == first.json)
    #expect(trainer.train(on: Self.corpus.lazy.map { $0 }).json == first.json)
    let read = try SubwordTokenizer(json: first.json, name: "trained")
    #expect(read.encode(Self.corpus) == first.encode(Self.corpus))
  }

  @Test func whatIsEncodedIsDecodedAndShorter() {
    let tokenizer = BytePairTrainer(vocabularySize: 500).train(on: Self.corpus)
    for (text, encoding) in zip(Self.corpus, tokenizer.encode(Self.corpus)) {
      #expect(tokenizer.decode(encoding.ids).utf8.elementsEqual(text.utf8))
      #expect(encoding.count * 2 <= text.utf8.count + 2)
    }
  }

  @Test func specialTokensAreNotSplit() {
    let tokenizer = BytePairTrainer(vocabularySize: 400, specialTokens: ["<|endoftext|>", "the"]).train(on: Self.corpus)
    #expect(tokenizer.encode("a<|endoftext|>").ids.last == 0 && tokenizer.encode("the").ids == [1])
    #expect(tokenizer.encode("the", options: EncodingOptions(recognizesSpecialTokens: false)).count > 0)
  }

  /// Pairs over the edges of the words that are counted by several threads.
  @Test func manyTextsAreCountedOnAllCores() {
    let texts = Array(repeating: Self.corpus.joined(separator: "\n"), count: 80)
    let trainer = BytePairTrainer(vocabularySize: 400)
    #expect(texts.reduce(0) { $0 + $1.utf8.count } > 1 << 22)
    #expect(trainer.train(on: texts).json == trainer.train(on: [texts.joined(separator: "\n")]).json)
  }

  @Test func theFileIsWhole() throws {
    try withModelFolder([:]) { folder in
      let tokenizer = BytePairTrainer(vocabularySize: 300).train(on: Self.corpus)
      try tokenizer.save(to: folder.path + "/tokenizer.json")
      let read = try SubwordTokenizer(folder)
      #expect(read.json == tokenizer.json)
      #expect(throws: ModelFileError.self) { try tokenizer.save(to: folder.path + "/none/tokenizer.json") }
      #expect(throws: ModelFileError.self) { try tokenizer.save(to: "") }
    }
  }
}
