import AttentionTraining

/// A short text that differs where a run's text does (FNV-1a): a run goes on only with the text that it was begun with.
struct TextDigest: CustomStringConvertible {
  private var hash: UInt64 = 0xCBF2_9CE4_8422_2325

  var description: String { String(hash, radix: 16) }

  mutating func add(_ value: UInt64) { hash = (hash ^ value) &* 0x100_0000_01B3 }
}

extension TokenDocuments {
  /// Differs where tokens or documents do.
  var digest: String {
    var digest = TextDigest()
    for document in 0..<count {
      for id in ids(of: document) { digest.add(UInt64(id)) }
      digest.add(0xFFFF_FFFF)
    }
    return "\(digest)"
  }
}

extension TextDocuments {
  /// Differs where bytes or documents do.
  var digest: String {
    var digest = TextDigest()
    for text in texts {
      for byte in text.utf8 { digest.add(UInt64(byte)) }
      digest.add(0xFF)
    }
    return "\(digest)"
  }
}
