import AttentionModels
import AttentionTensors

/// The tokens of documents, end to end, four bytes each.
///
///     let tokens = TokenDocuments(training, tokenizer: tokenizer, beginID: 0)
///     tokens.ids(of: 3)       // of document 3, the begin token first
public struct TokenDocuments: Sendable {
  /// What the text is called in messages.
  public let name: String
  /// The token that each document begins with, if one was put there.
  public let beginID: Int?
  /// The token that each document ends with, if one was put there.
  public let endID: Int?
  /// The bytes of text that all documents stand for.
  public let byteCount: Int

  /// An id each, and in the uppermost bit whether the token begins a word.
  private let tokens: [UInt32]
  /// Where each document begins, and after the last one the number of tokens.
  private let offsets: [Int]
  private let byteCounts: [Int]
  private let origins: [Int]

  private static let wordStart: UInt32 = 1 << 31

  /// Encodes documents, on all cores.
  ///
  /// Text is text: a special token that is spelt out in it does not become that token. Long documents are encoded in pieces
  /// of some 256 KiB, so that memory holds no more of a text's encoding than that for each core; they are cut before a space
  /// between two letters, where no tokenizer that is made of words has a token across. (In a text without any for so long,
  /// they are cut between two characters.)
  ///
  /// - Parameters:
  ///   - documents: the texts.
  ///   - tokenizer: what encodes them; its template is not used.
  ///   - beginID: a token that is put before each document, so that its first token is predicted too.
  ///   - endID: a token that is put behind each document.
  /// - Precondition: the tokenizer's ids are less than 2³¹.
  public init(
    _ documents: TextDocuments, tokenizer: some Tokenizer, beginID: Int? = nil, endID: Int? = nil
  ) {
    let pieces = EncodingPieces(documents)
    let encoded = pieces.encoded(by: tokenizer) { id, startsWord in
      require(id >= 0 && id < 1 << 31, "TokenDocuments: the id \(id)")
      return UInt32(id) | (startsWord ? Self.wordStart : 0)
    }
    var tokens: [UInt32] = []
    tokens.reserveCapacity(encoded.reduce(0) { $0 + $1.count } + 2 * documents.count)
    var offsets = [0]
    offsets.reserveCapacity(documents.count + 1)
    var next = 0
    for document in 0..<documents.count {
      if let beginID { tokens.append(UInt32(beginID) | Self.wordStart) }
      while next < encoded.count, pieces.document(of: next) == document {
        tokens += encoded[next]
        next += 1
      }
      if let endID { tokens.append(UInt32(endID) | Self.wordStart) }
      offsets.append(tokens.count)
    }
    self.init(
      name: documents.name, tokens: tokens, offsets: offsets,
      byteCounts: (0..<documents.count).map(documents.byteCount(of:)),
      origins: (0..<documents.count).map(documents.origin(of:)), beginID: beginID, endID: endID)
  }

  /// Creates documents from ids, each token a word.
  ///
  /// - Parameters:
  ///   - ids: the tokens of each document.
  ///   - origins: the document that each was cut from, where they are sentences; nil where none was.
  ///   - name: what the text is called in messages.
  /// - Precondition: ids are not negative, and less than 2³¹; if there are origins there is one for each document.
  public init(ids: [[Int]], origins: [Int]? = nil, name: String = "the documents") {
    require(
      origins.map { $0.count == ids.count } ?? true,
      "TokenDocuments: \(ids.count) documents and \(origins?.count ?? 0) origins")
    var tokens: [UInt32] = []
    var offsets = [0]
    for document in ids {
      for id in document {
        require(id >= 0 && id < 1 << 31, "TokenDocuments: the id \(id)")
        tokens.append(UInt32(id) | Self.wordStart)
      }
      offsets.append(tokens.count)
    }
    self.init(
      name: name, tokens: tokens, offsets: offsets, byteCounts: ids.map { _ in 0 },
      origins: origins ?? Array(ids.indices),
      beginID: nil, endID: nil)
  }

  private init(
    name: String, tokens: [UInt32], offsets: [Int], byteCounts: [Int], origins: [Int], beginID: Int?, endID: Int?
  ) {
    self.name = name
    self.tokens = tokens
    self.offsets = offsets
    self.byteCounts = byteCounts
    self.origins = origins
    self.beginID = beginID
    self.endID = endID
    byteCount = byteCounts.reduce(0, +)
  }

  // MARK: Documents

  /// The number of documents.
  public var count: Int { byteCounts.count }

  /// The tokens of all documents, those put around them among them.
  public var tokenCount: Int { tokens.count }

  /// The tokens of a document.
  public func ids(of document: Int) -> [Int] { ids(in: range(of: document)) }

  /// Whether each token of a document begins a word.
  public func wordStarts(of document: Int) -> [Bool] { wordStarts(in: range(of: document)) }

  /// The bytes of text that a document stands for.
  public func byteCount(of document: Int) -> Int { byteCounts[document] }

  /// The document that a document was cut from, as ``TextDocuments/origin(of:)`` has it.
  public func origin(of document: Int) -> Int { origins[document] }

  /// Where a document's tokens lie among all.
  func range(of document: Int) -> Range<Int> { offsets[document]..<offsets[document + 1] }

  func ids(in range: Range<Int>) -> [Int] { tokens[range].map { Int($0 & ~Self.wordStart) } }

  func wordStarts(in range: Range<Int>) -> [Bool] { tokens[range].map { $0 & Self.wordStart != 0 } }
}
