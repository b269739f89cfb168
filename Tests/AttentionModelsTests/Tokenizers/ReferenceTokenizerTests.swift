import AttentionModels
import AttentionTensors
import Testing

/// Every text of a hostile corpus, as Hugging Face's tokenizers have it: ids, tokens, offsets, and text from ids.
///
/// No difference is allowed. One is not looked at: Hugging Face lists an added token that takes white space with that
/// white space, as in " <mask>", and ``Tokenizer/tokens(_:)`` as the vocabulary spells it, "<mask>"; the spellings of all
/// ids are compared.
@Suite("Tokenizers beside Hugging Face's")
struct ReferenceTokenizerTests {
  static let names = [
    "minilm", "cased", "flagged", "accented", "stripped", "gpt2", "roberta", "trimmed", "partial", "unfused",
  ]

  static func tokenizer(_ name: String) throws -> SubwordTokenizer {
    try SubwordTokenizer(contentsOf: ReferenceFiles.path("\(name).json"))
  }

  @Test func allTextsAreThere() throws {
    #expect(try ReferenceFiles.texts.get().count >= 20_000)
  }

  @Test(arguments: names)
  func idsAndOffsetsAreEqual(name: String) throws {
    let file = try ReferenceFiles.open("\(name).safetensors")
    let texts = try ReferenceFiles.texts.get()
    let places = try file.integers(named: "places").values
    let expected = try ReferenceEncodings(file)
    try #require(places.count >= 20_000 && expected.count == places.count)
    let encodings = try Self.tokenizer(name).encode(places.map { texts[$0] })
    var differences = Differences()
    for (index, encoding) in encodings.enumerated() {
      if let difference = expected.difference(encoding, at: index) {
        differences.add("\(places[index]) '\(shown(texts[places[index]]))': \(difference)")
      }
    }
    #expect(differences.isEmpty, "\(differences)")
  }

  @Test(arguments: names)
  func tokensAreSpeltAlike(name: String) throws {
    let file = try ReferenceFiles.open("\(name).safetensors")
    let tokenizer = try Self.tokenizer(name)
    let spellings = try ReferenceFiles.strings(file, "tokens", "tokenSizes")
    try #require(spellings.count > 500)
    #expect(tokenizer.idLimit == spellings.count)
    var differences = Differences()
    for (id, spelling) in spellings.enumerated() where (tokenizer.token(id) ?? "") != spelling {
      differences.add("\(id): \(tokenizer.token(id) ?? "none") for \(spelling)")
    }
    #expect(differences.isEmpty, "\(differences)")
  }

  @Test(arguments: names, [true, false])
  func idsBecomeTheSameText(name: String, skipsSpecialTokens: Bool) throws {
    let file = try ReferenceFiles.open("\(name).safetensors")
    let tokenizer = try Self.tokenizer(name)
    let expected = try ReferenceEncodings(file)
    let key = skipsSpecialTokens ? "decoded" : "spelt"
    let decoded = try ReferenceFiles.strings(file, key, "\(key)Sizes")
    try #require(decoded.count == expected.count && decoded.count >= 20_000)
    var differences = Differences()
    for (index, text) in decoded.enumerated() {
      let ids = expected.ids[expected.starts[index]..<expected.starts[index + 1]].prefix(2000)
      let found = tokenizer.decode(ids, skippingSpecialTokens: skipsSpecialTokens)
      // Swift takes canonically equivalent strings for equal.
      if !found.utf8.elementsEqual(text.utf8) { differences.add("\(index): '\(shown(found))' for '\(shown(text))'") }
    }
    #expect(differences.isEmpty, "\(differences)")
  }

  @Test(arguments: names)
  func pairsAreTruncatedAlike(name: String) throws {
    let file = try ReferenceFiles.open("\(name).safetensors")
    let tokenizer = try Self.tokenizer(name)
    let texts = try ReferenceFiles.texts.get()
    let pairs = try file.integers(named: "pairs").values
    let expected = try ReferenceEncodings(file, prefix: "pair.")
    let segments = try file.integers(named: "pair.segments").values
    let template = try file.integers(named: "pair.template").values
    try #require(expected.count >= 2000 && pairs.count == 3 * expected.count)
    var differences = Differences()
    for index in 0..<expected.count {
      let (first, second, limit) = (pairs[3 * index], pairs[3 * index + 1], pairs[3 * index + 2])
      let encoding = tokenizer.encode(
        texts[first], pair: second < 0 ? nil : texts[second], options: EncodingOptions(maximumLength: limit))
      let range = expected.starts[index]..<expected.starts[index + 1]
      if let difference = expected.difference(encoding, at: index) {
        differences.add("\(first), \(second), \(limit): \(difference)")
      } else if !encoding.segments.elementsEqual(segments[range]) {
        differences.add("\(first), \(second), \(limit): segments \(encoding.segments)")
      } else if !encoding.isTemplate.elementsEqual(template[range].map { $0 == 1 }) {
        differences.add("\(first), \(second), \(limit): template \(encoding.isTemplate)")
      }
    }
    #expect(differences.isEmpty, "\(differences)")
  }
}
