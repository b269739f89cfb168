import AttentionModels
import AttentionTraining
import Foundation
import Testing

/// Calls `body` with the path of a file that holds these bytes, and removes it afterwards.
func withFile<Result>(_ bytes: some Sequence<UInt8>, _ body: (String) throws -> Result) throws -> Result {
  let folder = FileManager.default.temporaryDirectory.appending(path: "attention-training-\(UUID().uuidString)")
  try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
  defer { try? FileManager.default.removeItem(at: folder) }
  let file = folder.appending(path: "text.txt")
  try Data(bytes).write(to: file)
  return try body(file.path(percentEncoded: false))
}

/// Reads documents from a file that holds this text.
func textDocuments(_ text: String, _ cut: TextCut) throws -> TextDocuments {
  try withFile(text.utf8) { try TextDocuments(contentsOf: $0, cut: cut) }
}

extension TextDocuments {
  /// The texts of all documents.
  var all: [String] { (0..<count).map { self[$0] } }
}

/// A tokenizer whose tokens are bytes. Offsets are scalars, as every tokenizer's.
struct ByteTokenizer: Tokenizer {
  var idLimit: Int { 256 }

  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    var (ids, offsets): ([Int], [Range<Int>]) = ([], [])
    for (index, scalar) in text.unicodeScalars.enumerated() {
      for byte in String(scalar).utf8 {
        ids.append(Int(byte))
        offsets.append(index..<index + 1)
      }
    }
    return Encoding(ids: ids, offsets: offsets)
  }

  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
    String(decoding: ids.compactMap { UInt8(exactly: $0) }, as: UTF8.self)
  }

  func token(_ id: Int) -> String? { id < 256 ? String(decoding: [UInt8(id)], as: UTF8.self) : nil }

  func id(of token: String) -> Int? { token.utf8.count == 1 ? Int(token.utf8.first!) : nil }
}

/// Lines of words, none of them like another, with letters of several scripts and line ends of both kinds.
func madeText(lines: Int, seed: UInt64) -> String {
  var generator = SplitMix(state: seed)
  let words = ["and", "the", "Herr", "été", "naïve", "Ωmega", "слово", "世界", "a", "I", "don't", "x1", "—", "3.14", "🙂"]
  return (0..<lines).map { line in
    let count = Int.random(in: 1...12, using: &generator)
    let text = (0..<count).map { _ in words.randomElement(using: &generator)! }.joined(separator: " ")
    return "\(line) \(text)."
  }.joined(separator: "\n")
}

/// A generator of the tests' own.
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
