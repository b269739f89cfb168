import AttentionTensors

/// The words that vectors are learnt for, the most frequent first.
///
///     let vocabulary = WordVocabulary(countingWordsOf: verses, minimumCount: 5)
///     vocabulary.ids(of: "In the beginning God created")   // [6, 0, 553, 28, 1241], say
///
/// Words are those of a fixed rule over Unicode scalars: runs of letters, marks, numbers, connectors and joiners, with an
/// apostrophe (' or ’) inside of a word as part of it, lowercased scalar by scalar; a word of more than 100 bytes is none.
public struct WordVocabulary: Sendable {
  /// The words that there may be at the most.
  public static let maximumCount = 1 << 23

  private let table: TokenVocabulary

  /// The number of words.
  public var count: Int { table.count }

  /// Counts the words of texts. O(text + words · log words).
  ///
  /// - Parameters:
  ///   - texts: any number.
  ///   - minimumCount: words that occur less often are left out.
  ///   - maximumSize: of the others the most frequent ones, so many; of equally frequent ones those whose bytes come first.
  public init(
    countingWordsOf texts: some Sequence<String>, minimumCount: Int = 5,
    maximumSize: Int = WordVocabulary.maximumCount
  ) {
    var counts: [[UInt8]: Int] = [:]
    var words = WordText()
    for var text in texts {
      text.withUTF8 { words.forEachWord($0) { counts[Array($0), default: 0] += 1 } }
    }
    let kept = counts.filter { $0.value >= minimumCount }.sorted {
      $0.value != $1.value ? $0.value > $1.value : $0.key.lexicographicallyPrecedes($1.key)
    }.prefix(max(0, min(maximumSize, WordVocabulary.maximumCount)))
    self.init(distinct: kept.map { String(decoding: $0.key, as: UTF8.self) })
  }

  /// Words that differ from each other, by bytes, in their order.
  ///
  /// - Precondition: there are at most ``maximumCount``, of a gigabyte at the most; each is different.
  public init(_ words: [String]) {
    self.init(distinct: words)
    require(words.count <= WordVocabulary.maximumCount && firstRepeated == nil, "WordVocabulary: a word is there twice")
  }

  private init(distinct words: [String]) {
    guard let table = try? TokenVocabulary(words.enumerated().map { (token: $1, id: $0) }) else {
      preconditionFailure("WordVocabulary: \(words.count) words are more than a gigabyte")
    }
    self.table = table
  }

  /// Reads a file with a word on each line, which ends with LF or CRLF, and whose number from 0 is the word's id.
  ///
  /// - Throws: ``ModelFileError`` when the file cannot be read, is not UTF-8, is too large, or has a word twice or an empty one.
  public init(contentsOf path: String) throws(ModelFileError) {
    let lines = try SubwordTokenizer.lines(path)
    func fault(_ problem: String) -> ModelFileError {
      ModelFileError(file: path, reason: .inconsistent(problem: problem))
    }
    guard lines.count <= WordVocabulary.maximumCount else {
      throw fault("it has \(lines.count) words, more than \(WordVocabulary.maximumCount)")
    }
    if let empty = lines.firstIndex(where: \.isEmpty) { throw fault("line \(empty + 1) is empty") }
    do throws(TokenVocabulary.Fault) {
      table = try TokenVocabulary(lines.enumerated().map { (token: String(Substring($1)), id: $0) })
    } catch {
      throw fault(error.description)
    }
    if let word = firstRepeated { throw fault("\(quotedForMessage(word)) is there twice") }
  }

  /// A word that another one is equal to.
  private var firstRepeated: String? {
    for (word, id) in table.tokens where table.id(of: word) != Int32(id) { return word }
    return nil
  }

  /// The word of an id.
  ///
  /// - Precondition: the id is below ``count``.
  public subscript(id: Int) -> String {
    guard id >= 0, id < count, let word = table.token(Int32(id)) else {
      fatalError("WordVocabulary: there is no word \(id) of \(count)")
    }
    return word
  }

  /// The id of a word as it is spelt in the vocabulary, nil if it is not there.
  public func id(of word: String) -> Int? { table.id(of: word).map(Int.init) }

  /// The ids of a text's words, without those that are not in the vocabulary. O(text).
  public func ids(of text: String) -> [Int] {
    var ids: [Int] = []
    var words = WordText()
    var text = text
    text.withUTF8 { forEachID(of: $0, &words) { ids.append($0) } }
    return ids
  }

  func forEachID(of text: UnsafeBufferPointer<UInt8>, _ words: inout WordText, _ body: (Int) -> Void) {
    words.forEachWord(text) { word in
      if let id = table.id(of: word, hash: table.hash(word)) { body(Int(id)) }
    }
  }

  /// A line for each word.
  var file: [UInt8] {
    var bytes: [UInt8] = []
    for (word, _) in table.tokens { bytes += Array(word.utf8) + [UInt8(ascii: "\n")] }
    return bytes
  }
}

extension WordVocabulary: Equatable {
  /// Whether both have the same words in the same order, by their bytes.
  public static func == (left: WordVocabulary, right: WordVocabulary) -> Bool {
    left.count == right.count && (0..<left.count).allSatisfy { left[$0].utf8.elementsEqual(right[$0].utf8) }
  }
}
