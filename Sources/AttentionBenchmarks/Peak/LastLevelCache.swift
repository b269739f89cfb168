/// The largest of the processor's caches.
enum LastLevelCache {
  /// Its size; nil where the system does not tell.
  static let bytes: Int? = (0..<8).compactMap { index in
    text("/sys/devices/system/cpu/cpu0/cache/index\(index)/size").flatMap(bytes)
  }.max()

  /// "32768K" and "32M" as bytes.
  private static func bytes(_ text: String) -> Int? {
    let units: [Character: Int] = ["K": 1 << 10, "M": 1 << 20, "G": 1 << 30]
    guard let unit = text.last.flatMap({ units[$0] }) else { return Int(text) }
    return Int(text.dropLast()).map { $0 * unit }
  }

  private static func text(_ path: String) -> String? {
    (try? TextFile.bytes(of: path)).map {
      String(decoding: $0, as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
    }
  }
}
