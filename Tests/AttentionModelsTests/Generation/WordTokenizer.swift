import AttentionModels

/// A tokenizer whose tokens are the 256 bytes, and some texts more: of one or several bytes, whole or torn scalars.
struct ByteTokenizer: Tokenizer {
  /// Tokens from 256 on.
  var others: [[UInt8]] = []

  var idLimit: Int { 256 + others.count }

  func bytes(_ id: Int) -> [UInt8] {
    id < 256 ? [UInt8(id)] : others.indices.contains(id - 256) ? others[id - 256] : []
  }

  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    // Encodings are made by tokenizers of the package alone: byte-level BPE without merges has the same ids.
    ByteTokenizer.encoder.encode(text, pair: pair, options: options)
  }

  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
    String(decoding: ids.flatMap(bytes), as: UTF8.self)
  }

  func token(_ id: Int) -> String? { id < idLimit ? String(decoding: bytes(id), as: UTF8.self) : nil }

  func id(of token: String) -> Int? { Array(token.utf8).count == 1 ? Int(Array(token.utf8)[0]) : nil }
}
