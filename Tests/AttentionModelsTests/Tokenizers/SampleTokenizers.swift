import AttentionModels
import Foundation

/// Small tokenizer.json documents.
enum SampleTokenizers {
  static let words = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "un", "##aff", "##able", "the", "cat", ",", "!", "世", "cafe", "##s",
    "a",
    "##b", "ab", "it", "'", "can", "t",
  ]

  static func quoted(_ text: String) -> String {
    "\"" + text.replacingOccurrences(of: "\\", with: "\\\\").replacingOccurrences(of: "\"", with: "\\\"") + "\""
  }

  static func object(_ tokens: [String]) -> String {
    "{" + tokens.enumerated().map { "\(quoted($1)):\($0)" }.joined(separator: ",") + "}"
  }

  static func added(_ id: Int, _ content: String, special: Bool = false, flags: String = "") -> String {
    #"{"id":\#(id),"content":\#(quoted(content)),"special":\#(special)\#(flags)}"#
  }

  static let specialTokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].enumerated().map {
    added($0, $1, special: true)
  }

  static let wordPiece = wordPiece(added: [])

  /// BERT's form over ``words``.
  static func wordPiece(added: [String]) -> String {
    #"""
    {"version":"1.0","truncation":null,"padding":null,"added_tokens":[\#((specialTokens + added).joined(separator: ","))],
    "normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,
    "lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":{"type":"TemplateProcessing",
    "single":[{"SpecialToken":{"id":"[CLS]","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
    {"SpecialToken":{"id":"[SEP]","type_id":0}}],"pair":[{"SpecialToken":{"id":"[CLS]","type_id":0}},
    {"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"[SEP]","type_id":0}},{"Sequence":{"id":"B","type_id":1}},
    {"SpecialToken":{"id":"[SEP]","type_id":1}}],"special_tokens":{"[CLS]":{"id":"[CLS]","ids":[2],"tokens":["[CLS]"]},
    "[SEP]":{"id":"[SEP]","ids":[3],"tokens":["[SEP]"]}}},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
    "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,
    "vocab":\#(object(words))}}
    """#
  }

  /// The visible characters of bytes, in the order of bytes.
  static let characters: [String] = {
    var next: UInt32 = 256
    return (0..<256).map { byte in
      let isVisible = (33...126).contains(byte) || (161...172).contains(byte) || (174...255).contains(byte)
      defer { if !isVisible { next += 1 } }
      return String(Unicode.Scalar(isVisible ? UInt32(byte) : next)!)
    }
  }()

  static let bytePairs = bytePairs(added: [added(261, "<|endoftext|>", special: true)])

  /// GPT-2's form: all bytes and a few pairs.
  static func bytePairs(added: [String], prefixSpace: Bool = false) -> String {
    let tokens = characters + ["th", "the", "Ġthe", "aa", "aaa"]
    return #"""
      {"version":"1.0","added_tokens":[\#(added.joined(separator: ","))],"normalizer":null,
      "pre_tokenizer":{"type":"ByteLevel","add_prefix_space":\#(prefixSpace),"trim_offsets":true},
      "post_processor":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":false},
      "decoder":{"type":"ByteLevel"},"model":{"type":"BPE","dropout":null,"unk_token":null,
      "vocab":\#(object(tokens)),"merges":["t h","th e",["Ġ","the"],"a a","aa a"]}}
      """#
  }

  static func read(_ text: String) throws -> SubwordTokenizer {
    try SubwordTokenizer(json: Array(text.utf8), name: "tokenizer.json")
  }
}

/// Calls `body` with a folder that holds these files, and removes it afterwards.
func withModelFolder<Result>(_ files: [String: String], _ body: (ModelFolder) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "attention-tests-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  for (name, text) in files { try Data(text.utf8).write(to: folder.appending(path: name)) }
  return try body(ModelFolder(path: folder.path(percentEncoded: false)))
}
