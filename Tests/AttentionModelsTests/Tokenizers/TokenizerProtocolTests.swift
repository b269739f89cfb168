import AttentionModels
import AttentionTensors
import Testing

/// What holds for every tokenizer, ours and a user's own.
@Suite("Tokenizers")
struct TokenizerProtocolTests {
  /// A user's own: an id for each scalar.
  struct ScalarTokenizer: Tokenizer {
    var idLimit: Int { 0x110000 }

    func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
      let scalars = Array((text + (pair ?? "")).unicodeScalars)
      let kept = scalars.prefix(options.maximumLength ?? .max)
      return Encoding(
        ids: kept.map { Int($0.value) }, offsets: kept.indices.map { $0..<$0 + 1 },
        isTruncated: kept.count < scalars.count)
    }

    func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
      String(String.UnicodeScalarView(ids.compactMap { UInt32(exactly: $0).flatMap(Unicode.Scalar.init) }))
    }

    func token(_ id: Int) -> String? { UInt32(exactly: id).flatMap(Unicode.Scalar.init).map { String($0) } }

    func id(of token: String) -> Int? {
      token.unicodeScalars.count == 1 ? token.unicodeScalars.first.map { Int($0.value) } : nil
    }
  }

  static let texts: [String] = {
    var generator = SeededGenerator(seed: 4)
    let parts = ["the", " ", "cat", "unaffable", "é", "世", "👍", ",", "it's", "\n", "aaaa"]
    return (0..<3000).map { _ in
      (0..<Int.random(in: 0..<20, using: &generator)).map { _ in parts.randomElement(using: &generator)! }.joined()
    }
  }()

  @Test func oneOfTheirOwnWillDo() {
    let tokenizer: any Tokenizer = ScalarTokenizer()
    let encoding = tokenizer.encode("aé👍", options: EncodingOptions(maximumLength: 2))
    #expect(encoding.ids == [97, 0xE9] && encoding.offsets == [0..<1, 1..<2] && encoding.isTruncated)
    #expect(encoding.segments == [0, 0] && encoding.isTemplate == [false, false])
    #expect(tokenizer.decode([97, -1, 0x1F44D]) == "a👍" && tokenizer.tokens(encoding) == ["a", "é"])
    #expect(tokenizer.encode(Self.texts) == Self.texts.map { tokenizer.encode($0) })
  }

  static func tokenizers() throws -> [SubwordTokenizer] {
    try [SampleTokenizers.wordPiece, SampleTokenizers.bytePairs].map(SampleTokenizers.read)
  }

  @Test(arguments: [0, 1])
  func allCoresGiveWhatOneGives(index: Int) throws {
    let tokenizer = try Self.tokenizers()[index]
    for options in [EncodingOptions(), EncodingOptions(maximumLength: 6), EncodingOptions(addsTemplate: false)] {
      let one = Self.texts.map { tokenizer.encode($0, options: options) }
      #expect(tokenizer.encode(Self.texts, options: options) == one)
      #expect(tokenizer.encodeOnThisThread(Self.texts, options: options) == one)
    }
    #expect(tokenizer.encode([String]()).isEmpty)
  }

  @Test func manyTasksUseOne() async throws {
    let tokenizers = try Self.tokenizers()
    let expected = tokenizers.map { tokenizer in Self.texts.map { tokenizer.encode($0) } }
    await withTaskGroup(of: Bool.self) { group in
      for task in 0..<16 {
        let (tokenizer, wanted) = (tokenizers[task % 2], expected[task % 2])
        group.addTask {
          task % 4 < 2
            ? tokenizer.encode(Self.texts) == wanted
            : zip(Self.texts, wanted).allSatisfy { tokenizer.encode($0) == $1 }
        }
      }
      for await isEqual in group { #expect(isEqual) }
    }
  }
}
