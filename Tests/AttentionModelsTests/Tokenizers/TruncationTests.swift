import AttentionModels
import AttentionTensors
import AttentionTestSupport
import Testing

@Suite("Limits of tokens")
struct TruncationTests {
  static func tokenizers() throws -> [SubwordTokenizer] {
    try [
      SampleTokenizers.wordPiece, SampleTokenizers.bytePairs,
      SampleTokenizers.wordPiece(added: [SampleTokenizers.added(22, "<m>", flags: #","normalized":true"#)]),
      SampleTokenizers.bytePairs(added: [SampleTokenizers.added(300, "<m>", flags: #","lstrip":true,"rstrip":true"#)]),
    ].map(SampleTokenizers.read)
  }

  @Test func theFirstTokensAreThoseOfTheWholeText() throws {
    var generator = SeededGenerator(seed: 3)
    let parts = ["the", " ", "  ", "cat", "<m>", "unaffable", "a\u{301}", "世", "\n", "👍", "[SEP]", "it's", "<", "m>"]
    for tokenizer in try Self.tokenizers() {
      for count in [0, 1, 5, 40, 4000, 12_000] {
        let text = (0..<count).map { _ in parts.randomElement(using: &generator)! }.joined()
        let whole = tokenizer.encode(text, options: EncodingOptions(addsTemplate: false))
        for limit in [0, 1, 2, 3, 7, 64, 200, 5000, 1_000_000, Int.max / 2] {
          let found = tokenizer.encode(text, options: EncodingOptions(maximumLength: limit, addsTemplate: false))
          #expect(found.ids.elementsEqual(whole.ids.prefix(limit)), "\(count) parts, \(limit) tokens")
          #expect(found.offsets.elementsEqual(whole.offsets.prefix(limit)), "\(count) parts, \(limit) tokens")
          #expect(found.isTruncated == (whole.count > limit))
        }
      }
    }
  }

  static let pairs: [(Int, Int, Int, Int, Int)] = [
    (5, 5, 10, 5, 5), (5, 5, 9, 4, 5), (6, 5, 9, 5, 4), (5, 6, 9, 4, 5), (2, 9, 6, 2, 4), (9, 2, 6, 4, 2),
    (9, 0, 4, 4, 0),
    (0, 9, 4, 0, 4), (9, 9, 1, 0, 1), (10, 9, 1, 1, 0), (9, 9, 0, 0, 0), (1, 1, 1, 0, 1), (1000, 999, 7, 4, 3),
    (999, 1000, 7, 3, 4), (3, 100, 7, 3, 4), (100, 3, 7, 4, 3), (4, 100, 7, 3, 4),
  ]

  /// The longer one gives way; of an odd room the longer one, or the second, has one token more.
  @Test(arguments: pairs)
  func pairsShareTheRoom(first: Int, second: Int, room: Int, left: Int, right: Int) throws {
    let tokenizer = try SampleTokenizers.read(SampleTokenizers.wordPiece)
    let text = { (count: Int) in Array(repeating: "the", count: count).joined(separator: " ") }
    let encoding = tokenizer.encode(
      text(first), pair: text(second), options: EncodingOptions(maximumLength: room + 3))
    #expect(encoding.ids == [2] + Array(repeating: 8, count: left) + [3] + Array(repeating: 8, count: right) + [3])
    #expect(encoding.segments == Array(repeating: 0, count: left + 2) + Array(repeating: 1, count: right + 1))
    #expect(encoding.isTruncated == (first + second > room))
  }

  /// Behind the first pages of the text lies memory that nobody may read.
  @Test(arguments: [false, true])
  func aLongTextIsNotReadToItsEnd(isBytePairs: Bool) throws {
    let tokenizer = try SampleTokenizers.read(isBytePairs ? SampleTokenizers.bytePairs : SampleTokenizers.wordPiece)
    let beginning = Array(repeatElement("the cat, unaffable. ", count: 1000).joined().utf8)
    let memory = GuardedBuffer(beginning, edge: .end)
    for limit in [2, 10, 128] {
      let encoding = memory.withBase { base in
        tokenizer.encode(
          utf8: UnsafeBufferPointer(start: base, count: 10_000_000), options: EncodingOptions(maximumLength: limit))
      }
      #expect(encoding.count == limit && encoding.isTruncated)
    }
  }

  @Test func aLimitBelowTheTemplateIsAMistake() async {
    let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
      _ = try SampleTokenizers.read(SampleTokenizers.wordPiece).encode("a", options: EncodingOptions(maximumLength: 1))
    }
    #expect(message(result).contains("the template alone has 2 tokens, and the limit is 1"))
  }
}
