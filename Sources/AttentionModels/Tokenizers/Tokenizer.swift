import AttentionTensors

/// What turns text into the ids that a model reads, and back. A model takes any type that conforms.
public protocol Tokenizer: Sendable {
  /// One more than the largest id.
  var idLimit: Int { get }

  /// Encodes a text, or a pair.
  ///
  /// - Precondition: the limit of `options`, if there is one, is at least the number of the template's tokens.
  func encode(_ text: String, pair: String?, options: EncodingOptions) -> Encoding

  /// Text from ids. Bytes that are no UTF-8 become U+FFFD, and ids without a token nothing.
  func decode(_ ids: some Sequence<Int>, skippingSpecialTokens: Bool) -> String

  /// The token of an id, as the vocabulary spells it; nil where there is none.
  func token(_ id: Int) -> String?

  /// The id of a token as the vocabulary spells it; nil where there is none.
  func id(of token: String) -> Int?
}

extension Tokenizer {
  /// Encodes a text.
  public func encode(_ text: String, options: EncodingOptions = .init()) -> Encoding {
    encode(text, pair: nil, options: options)
  }

  /// Encodes texts one after another, on the thread that asks.
  public func encodeOnThisThread(_ texts: [String], options: EncodingOptions = .init()) -> [Encoding] {
    texts.map { encode($0, pair: nil, options: options) }
  }

  /// Encodes texts, on all cores. The results are those of one text at a time.
  public func encode(_ texts: [String], options: EncodingOptions = .init()) -> [Encoding] {
    var results = [Encoding](repeating: Encoding(), count: texts.count)
    results.withUnsafeMutableBufferPointer { buffer in
      let target = Unchecked(buffer)
      let bytes = texts.reduce(0) { $0 + $1.utf8.count }
      // Pieces of some 16 KiB, so that long texts do not keep one core waiting.
      let pieces = max(1, min(texts.count, bytes >> 14))
      WorkerPool.shared.forEach(pieces, inline: bytes < 1 << 14) { piece in
        for index in piece * texts.count / pieces..<(piece + 1) * texts.count / pieces {
          target.value[index] = encode(texts[index], pair: nil, options: options)
        }
      }
    }
    return results
  }

  /// Text from ids, without special tokens.
  public func decode(_ ids: some Sequence<Int>) -> String { decode(ids, skippingSpecialTokens: true) }

  /// The tokens of an encoding, as the vocabulary spells them.
  public func tokens(_ encoding: Encoding) -> [String] { encoding.ids.map { token($0) ?? "" } }
}
