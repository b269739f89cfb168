import AttentionTensors

/// A text, cut into documents: what is read of one is never seen from another.
///
///     let text = try TextDocuments(contentsOf: "bible.txt", cut: .blocks(count: 100))
///     let (training, heldOut) = try text.split(.every(20))
///     training.byteCount   // of the documents to train on
///
/// Memory holds the file's bytes once, however many documents there are and however they are split.
public struct TextDocuments: Sendable {
  /// The path of the file, or what the text is called in messages.
  public let name: String
  /// UTF-8, all of it.
  private let text: [UInt8]
  private let ranges: [Range<Int>]
  /// The document that each was cut from, where some were cut again.
  private let origins: [Int]?
  /// The bytes of all documents.
  public let byteCount: Int

  /// Reads a file. O(bytes).
  ///
  /// A byte order mark at its beginning is left out.
  ///
  /// - Throws: ``TextDataError`` when the file cannot be read, is no UTF-8, or holds nothing but white space.
  public init(contentsOf path: String, cut: TextCut = .whole) throws(TextDataError) {
    try self.init(TextDocuments.bytes(ofFile: path), name: path, cut: cut)
  }

  /// Cuts bytes as those of a file.
  package init(_ text: [UInt8], name: String, cut: TextCut = .whole) throws(TextDataError) {
    let ranges: [Range<Int>] = text.withUnsafeBufferPointer { bytes in
      let start = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
      guard bytes[start...].contains(where: { !TextCut.isSpace($0) }) else { return [] }
      return cut.ranges(in: start..<bytes.count, of: bytes)
    }
    guard !ranges.isEmpty else { throw TextDataError(file: name, reason: .empty) }
    if let byte = text.withUnsafeBufferPointer({ firstInvalidUTF8(in: $0) }) {
      let line = text[..<byte].count { $0 == 0x0A } + 1
      throw TextDataError(file: name, reason: .invalidUTF8(line: line, byte: byte))
    }
    self.init(name: name, text: text, ranges: ranges)
  }

  /// Creates documents from texts.
  public init(_ texts: [String], name: String = "the text") {
    var bytes: [UInt8] = []
    var ranges: [Range<Int>] = []
    for text in texts {
      ranges.append(bytes.count..<bytes.count + text.utf8.count)
      bytes += text.utf8
    }
    self.init(name: name, text: bytes, ranges: ranges)
  }

  /// Parts of a text, which is well-formed.
  init(name: String, text: [UInt8], ranges: [Range<Int>], origins: [Int]? = nil) {
    self.name = name
    self.text = text
    self.ranges = ranges
    self.origins = origins
    byteCount = ranges.reduce(0) { $0 + $1.count }
  }

  static func bytes(ofFile path: String) throws(TextDataError) -> [UInt8] {
    do throws(TensorFileError) {
      return try contents(ofFile: path)
    } catch {
      throw TextDataError(file: path, reason: .unreadable(error.reason))
    }
  }

  // MARK: Documents

  /// The number of documents.
  public var count: Int { ranges.count }

  /// The text of a document.
  public subscript(index: Int) -> String { string(ranges[index]) }

  /// The texts of all documents, made as they are asked for.
  public var texts: some Sequence<String> { ranges.lazy.map(string) }

  /// The bytes of a document.
  public func byteCount(of index: Int) -> Int { ranges[index].count }

  /// The document that a document was cut from by ``cut(_:)``: its own number where it was not.
  public func origin(of index: Int) -> Int { origins?[index] ?? index }

  /// Where a document lies in the text, in bytes.
  func range(of index: Int) -> Range<Int> { ranges[index] }

  func string(_ range: Range<Int>) -> String { String(decoding: text[range], as: UTF8.self) }

  func withText<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result { text.withUnsafeBufferPointer(body) }

  // MARK: Parts

  /// Cuts each document once more: a block into its lines, say. Each part knows which document it comes from, so that
  /// what follows it is known to. O(bytes).
  public func cut(_ cut: TextCut) -> TextDocuments {
    var parts: [Range<Int>] = []
    var origins: [Int] = []
    withText { text in
      for (index, range) in ranges.enumerated() {
        let found = cut.ranges(in: range, of: text)
        parts += found
        origins += repeatElement(origin(of: index), count: found.count)
      }
    }
    return TextDocuments(name: name, text: text, ranges: parts, origins: origins)
  }

  /// The documents with these numbers.
  ///
  /// - Precondition: there are such documents.
  func selecting(_ numbers: [Int]) -> TextDocuments {
    TextDocuments(
      name: name, text: text, ranges: numbers.map { ranges[$0] },
      origins: origins.map { all in numbers.map { all[$0] } })
  }

  /// The same text with one document less or more.
  func replacing(_ ranges: [Range<Int>]) -> TextDocuments { TextDocuments(name: name, text: text, ranges: ranges) }
}
