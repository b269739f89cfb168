import AttentionModels
import Foundation
import Testing

/// Every way in which a tokenizer.json can be wrong has an error that says so.
@Suite("Errors of tokenizer.json")
struct TokenizerFileErrorTests {
  struct Case: Sendable, CustomTestStringConvertible {
    let isBytePairs: Bool
    let old: String
    let new: String
    let problem: String

    var testDescription: String { "\(old) → \(new)" }

    static func word(_ old: String, _ new: String, _ problem: String) -> Case {
      Case(isBytePairs: false, old: old, new: new, problem: problem)
    }

    static func pair(_ old: String, _ new: String, _ problem: String) -> Case {
      Case(isBytePairs: true, old: old, new: new, problem: problem)
    }
  }

  static let cases: [Case] = [
    .word(#""model""#, #""modell""#, "model.vocab is missing"),
    .word(#""vocab""#, #""vocabulary""#, "model.vocab is missing"),
    .word(#""WordPiece","unk"#, #""Unigram","unk"#, "model.type: \"Unigram\" is not supported"),
    .word(#""WordPiece","unk"#, #"3,"unk"#, "model.type is not a string"),
    .word(#""unk_token":"[UNK]""#, #""unk_token":"<unk>""#, "unk_token \"<unk>\" is not in the vocabulary"),
    .word(#""unk_token":"[UNK]""#, #""unk_token":[]"#, "model.unk_token is not a string"),
    .word(#""the":8"#, #""the":-1"#, "has the id -1"),
    .word(#""the":8"#, #""the":1073741824"#, "has the id 1073741824"),
    .word(#""the":8"#, #""the":9"#, "have the same id 9"),
    .word(#""the":8"#, #""the":8.5"#, "model.vocab.the is not a whole number"),
    .word(#""the":8"#, #""the":"8""#, "model.vocab.the is not a whole number"),
    .word(#""the":8"#, #""the":18446744073709551615"#, "model.vocab.the is not a whole number"),
    .word(#""the":8"#, #""the":8,"the":80"#, "occurs twice"),
    .word(
      #""max_input_chars_per_word":100"#, #""max_input_chars_per_word":-1"#, "max_input_chars_per_word is not a whole"),
    .word(#""BertNormalizer""#, #""NFKC""#, "normalizer.type: \"NFKC\" is not supported"),
    .word(#""lowercase":true"#, #""lowercase":1"#, "normalizer.lowercase is not true or false"),
    .word(#""strip_accents":null"#, #""strip_accents":"no""#, "normalizer.strip_accents is not true or false"),
    .word(#""BertPreTokenizer""#, #""Whitespace""#, "pre_tokenizer.type: \"Whitespace\" is not supported"),
    .word(#"{"type":"BertPreTokenizer"}"#, "null", "pre_tokenizer.type is missing"),
    .word(#"{"type":"BertPreTokenizer"}"#, #"{"type":"Sequence","pretokenizers":[{},{}]}"#, "Sequence of 2"),
    .word(#""TemplateProcessing""#, #""Magic""#, "post_processor.type: \"Magic\" is not supported"),
    .word(#""single":["#, #""single":3,"x":["#, "post_processor.single is not an array"),
    .word(#""ids":[2]"#, #""ids":[77]"#, "the template has the id 77, which no token has"),
    .word(#""ids":[2]"#, #""ids":[-2]"#, "post_processor.special_tokens.[CLS].ids is not a list of ids"),
    .word(#""[CLS]":{"id""#, #""[XXX]":{"id""#, "the template's token \"[CLS]\" is not in special_tokens"),
    .word(#"{"id":"A","type_id":0}},"#, #"{"id":"C","type_id":0}},"#, "is not A or B"),
    .word(#"{"id":"A","type_id":0}},"#, #"{"id":"A","type_id":-1}},"#, "type_id is not a whole number"),
    .word(
      #"{"Sequence":{"id":"A","type_id":0}},"#,
      #"{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"A","type_id":0}},"#,
      "post_processor.single is not a template with text A once"),
    .word(
      #""single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},"#,
      #""single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},"#, "post_processor.single is not a template with text A"),
    .word(
      #"{"Sequence":{"id":"B","type_id":1}},"#,
      #"{"Sequence":{"id":"B","type_id":1}},{"Sequence":{"id":"B","type_id":1}},"#,
      "post_processor.pair is not a template with texts A and B once each"),
    .word(#"{"type":"WordPiece","prefix""#, #"{"type":"Metaspace","prefix""#, "decoder.type: \"Metaspace\""),
    .word(###""prefix":"##""###, #""prefix":4"#, "decoder.prefix is not a string"),
    .word(
      #"{"id":4,"content":"[MASK]""#, #"{"id":5,"content":"[MASK]""#, "\"[MASK]\" is 4 in the vocabulary and 5 as added"
    ),
    .word(#"{"id":4,"content":"[MASK]""#, #"{"id":5,"content":"new""#, "\"new\" and \"un\" have the same id 5"),
    .word(#"{"id":4,"content":"[MASK]""#, #"{"id":-1,"content":"new""#, "added_tokens[4].id is not a whole number"),
    .word(
      #"{"id":4,"content":"[MASK]""#, #"{"id":1073741824,"content":"new""#, "added_tokens[4].id is not a whole number"),
    .word(#"{"id":4,"content":"[MASK]""#, #"{"id":4,"content":7"#, "added_tokens[4].content is not a string"),
    .word(
      #"{"id":4,"content":"[MASK]","special":true"#, #"{"id":4,"content":"[MASK]","special":"yes""#,
      "special is not true"),
    .word(#""added_tokens":["#, #""added_tokens":{},"x":["#, "added_tokens is not an array"),
    .pair("\"t h\"", "\"t  h\"", "model.merges[0] is not two tokens"),
    .pair("\"t h\"", "\"th\"", "model.merges[0] is not two tokens"),
    .pair("\"t h\"", "7", "model.merges[0] is not two tokens"),
    .pair("\"t h\"", "[\"t\"]", "model.merges[0] is not two tokens"),
    .pair("\"t h\"", "\"t ŧ\"", "merge 0 has \"ŧ\", which is no token"),
    .pair("\"t h\"", "\"t x\"", "merge 0 has \"tx\""),
    .pair(#""merges":["#, #""merges":null,"x":["#, "model.merges is not an array"),
    .pair(#""dropout":null"#, #""dropout":0.5"#, "model.dropout"),
    .pair(#""unk_token":null"#, #""byte_fallback":3"#, "byte_fallback"),
    .pair(#""unk_token":null"#, #""end_of_word_suffix":"</w>""#, "model.end_of_word_suffix: \"</w>\" is not supported"),
    .pair(#""normalizer":null"#, #""normalizer":{"type":"NFC"}"#, "normalizer.type: \"NFC\" is not supported"),
    .pair(
      #""normalizer":null"#, #""normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"}]}"#,
      "\"NFC\" is not supported"),
    .pair(
      #"{"type":"ByteLevel","add_prefix_space":false"#, #"{"type":"Split","x":false"#, "pre_tokenizer.type: \"Split\""),
    .pair(
      #""add_prefix_space":false"#, #""add_prefix_space":0"#, "pre_tokenizer.add_prefix_space is not true or false"),
    .pair("\"Ā\":0,", "", "ok"),
    .pair(#""unk_token":null"#, #""unk_token":"<unk>""#, "ok"),
  ]

  @Test(arguments: cases)
  func isSaid(testCase: Case) throws {
    let text = testCase.isBytePairs ? SampleTokenizers.bytePairs : SampleTokenizers.wordPiece
    let changed = text.replacingOccurrences(of: testCase.old, with: testCase.new)
    try #require(changed != text, "\(testCase.old) is not in the document")
    guard testCase.problem != "ok" else {
      // Bytes without a token, and a name that nothing needs, are allowed.
      _ = try SampleTokenizers.read(changed).encode("\0a")
      return
    }
    let error = #expect(throws: ModelFileError.self) { try SampleTokenizers.read(changed) }
    #expect(error?.description.contains(testCase.problem) == true, "\(String(describing: error))")
    #expect(error?.description.hasPrefix("\"tokenizer.json\": ") == true)
  }

  @Test(arguments: ["", "{", "[]", "null", "{}", "3", "\u{FEFF}{}", "{\"model\":{}}", "{\"model\":[]}"])
  func otherDocuments(text: String) {
    #expect(throws: ModelFileError.self) { try SampleTokenizers.read(text) }
  }

  /// Ids are as large as the file says; memory is not.
  @Test func largeIdsTakeNoMemory() throws {
    let limit = 1 << 30
    let text = SampleTokenizers.wordPiece.replacingOccurrences(of: #""the":8"#, with: #""the":\#(limit - 1)"#)
    let tokenizer = try SampleTokenizers.read(text)
    #expect(tokenizer.idLimit == limit && tokenizer.id(of: "the") == limit - 1 && tokenizer.token(limit - 1) == "the")
    #expect(tokenizer.encode("the cat").ids == [2, limit - 1, 9, 3] && tokenizer.decode([limit - 1, 8]) == "the")
  }

  /// What GPT-2's own file has, and sequences of one part.
  @Test func formsOfOldAreRead() throws {
    var text = SampleTokenizers.bytePairs
    for (old, new) in [
      (#""dropout":null"#, #""dropout":null,"continuing_subword_prefix":"","end_of_word_suffix":"""#),
      (#""unk_token":null"#, #""unk_token":"""#), (#""type":"BPE","#, ""),
      (#""merges":["#, ##""merges":["#version: 0.2","##),
      (#""normalizer":null"#, #""normalizer":{"type":"Sequence","normalizers":[]}"#),
      (#""decoder":{"type":"ByteLevel"}"#, #""decoder":{"type":"Sequence","decoders":[{"type":"ByteLevel"}]}"#),
    ] {
      try #require(text.contains(old))
      text = text.replacingOccurrences(of: old, with: new)
    }
    let tokenizer = try SampleTokenizers.read(text)
    #expect(tokenizer.tokens(tokenizer.encode("the the")) == ["the", "Ġthe"])
    #expect(tokenizer.decode(tokenizer.encode("the the").ids) == "the the")
    let words = SampleTokenizers.wordPiece.replacingOccurrences(of: #""type":"WordPiece","unk"#, with: #""unk"#)
    #expect(try SampleTokenizers.read(words).encode("the cat").ids == [2, 8, 9, 3])
  }
}
