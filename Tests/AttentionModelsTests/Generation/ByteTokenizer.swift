import Attention

import AttentionModels

/// A tokenizer whose tokens are the 256 bytes, and more of any bytes: whole scalars or parts of them. It makes tokens of
/// single bytes.
struct ByteTokenizer: Tokenizer {
  /// Tokens from 256 on.
  var others: [[UInt8]] = []

  var idLimit: Int { 256 + others.count }

  private func bytes(_ id: Int) -> [UInt8] {
    id < 256 ? [UInt8(id)] : others.indices.contains(id - 256) ? others[id - 256] : []
  }

  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    let ids = text.utf8.prefix(options.maximumLength ?? .max).map { Int($0) }
    return Encoding(ids: ids, offsets: ids.map { _ in 0..<0 }, isTruncated: ids.count < text.utf8.count)
  }

  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String {
    String(decoding: ids.flatMap(bytes), as: UTF8.self)
  }

  func token(_ id: Int) -> String? { id < idLimit ? String(decoding: bytes(id), as: UTF8.self) : nil }

  func id(of token: String) -> Int? { token.utf8.count == 1 ? token.utf8.first.map { Int($0) } : nil }
}

/// A tokenizer that gives the same tokens whatever the text: to end a model's vocabulary before its tokenizer's.
struct FixedTokenizer: Tokenizer {
  let ids: [Int]
  var idLimit: Int { 1 << 20 }

  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding {
    Encoding(ids: ids, offsets: ids.map { _ in 0..<0 })
  }

  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String { ids.map { "<\($0)>" }.joined() }
  func token(_ id: Int) -> String? { "<\(id)>" }
  func id(of token: String) -> Int? { nil }
}
