import AttentionModels
import AttentionTensors
import Foundation
import Testing

/// What `scripts/compare-tokenizers` wrote: texts, and what Hugging Face's tokenizers (0.23.3) make of them.
enum ReferenceFiles {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent().deletingLastPathComponent().appending(path: ".build/tokenizers")

  static func path(_ name: String) -> String { folder.appending(path: name).path }

  static func open(_ name: String) throws -> SafetensorsFile {
    try #require(
      try? SafetensorsFile(path: path(name)), "\(name) is not in .build/tokenizers: run scripts/compare-tokenizers")
  }

  /// The texts of the corpus.
  static let texts = Result { try strings(open("texts.safetensors"), "texts", "sizes") }

  /// Strings that lie one after another.
  static func strings(_ file: SafetensorsFile, _ name: String, _ sizes: String) throws -> [String] {
    let bytes = try file.bytes(named: name)
    var start = 0
    return try file.integers(named: sizes).values.map { size in
      defer { start += size }
      return String(decoding: bytes[start..<start + size], as: UTF8.self)
    }
  }
}

/// What Hugging Face says of many texts, laid end to end.
struct ReferenceEncodings {
  let ids: [Int]
  let offsets: [Int]
  /// Where each encoding begins; one more than there are.
  let starts: [Int]

  init(_ file: SafetensorsFile, prefix: String = "") throws {
    ids = try file.integers(named: prefix + "ids").values
    offsets = try file.integers(named: prefix + "offsets").values
    starts = try file.integers(named: prefix + "counts").values.reduce(into: [0]) { $0.append($0.last! + $1) }
  }

  var count: Int { starts.count - 1 }

  /// What of an encoding is other than said; nil if nothing.
  func difference(_ encoding: Encoding, at index: Int) -> String? {
    let range = starts[index]..<starts[index + 1]
    if !encoding.ids.elementsEqual(ids[range]) { return "ids \(encoding.ids.prefix(40)) for \(ids[range].prefix(40))" }
    for (place, token) in range.enumerated() {
      let expected = offsets[2 * token]..<offsets[2 * token + 1]
      if encoding.offsets[place] != expected {
        return "offset \(encoding.offsets[place]) of token \(place) for \(expected)"
      }
    }
    return nil
  }
}

/// A few differences of many, for a message.
struct Differences: CustomStringConvertible {
  private(set) var count = 0
  private var first: [String] = []

  mutating func add(_ text: @autoclosure () -> String) {
    count += 1
    if first.count < 8 { first.append(text()) }
  }

  var isEmpty: Bool { count == 0 }
  var description: String { "\(count) differences: " + first.joined(separator: "; ") }
}

/// The beginning of a text, with what cannot be seen written out.
func shown(_ text: String) -> String {
  text.unicodeScalars.prefix(40).map {
    $0.isASCII && $0.value > 31 ? String($0) : "\\u{\(String($0.value, radix: 16))}"
  }
  .joined()
}
