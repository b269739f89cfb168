import AttentionTensors

/// The tokens of a model and their ids, found by their bytes.
///
/// Open addressing over one array of bytes, since a lookup for each prefix of each word is most of a tokenizer's work. The
/// hash goes byte by byte, so that those of all prefixes cost as much as that of the whole.
struct TokenVocabulary: Sendable {
  /// FNV-1a over bytes, from a start of the vocabulary's own, so that no file can be written in which all tokens collide.
  struct Hash: Sendable {
    fileprivate(set) var value: UInt64

    @inline(__always)
    mutating func add(_ byte: UInt8) { value = (value ^ UInt64(byte)) &* 0x100_0000_01b3 }

    /// The upper bits, which depend on all bytes.
    @inline(__always)
    func slot(_ mask: Int) -> Int { Int(truncatingIfNeeded: value ^ value >> 32) & mask }
  }

  /// All tokens' bytes; `starts[i]..<starts[i + 1]` are those of token i, in the order of `ids`.
  private var bytes: [UInt8] = []
  private var starts: [Int32] = [0]
  private var ids: [Int32] = []
  /// For each slot, one more than the place of a token; 0 for none.
  private var slots: [Int32]
  /// Where the ids are not 0, 1, 2, …: the places by id.
  private var places: [Int32: Int32]?
  /// The bytes of the longest token.
  private(set) var longest = 0
  /// One more than the largest id.
  private(set) var idLimit = 0
  /// The hash of no bytes.
  let emptyHash = Hash(value: .random(in: 0...(.max)))

  var count: Int { ids.count }

  /// Why tokens make no vocabulary.
  enum Fault: Error, Equatable, CustomStringConvertible {
    case idOutOfRange(token: String, id: Int)
    case idTwice(id: Int, first: String, second: String)
    case tooLarge

    var description: String {
      switch self {
      case .idOutOfRange(let token, let id):
        "\(quotedForMessage(token)) has the id \(id), which is not in 0..<\(1 << 30)"
      case .idTwice(let id, let first, let second):
        "\(quotedForMessage(first)) and \(quotedForMessage(second)) have the same id \(id)"
      case .tooLarge: "the vocabulary is larger than a gigabyte"
      }
    }
  }

  /// Tokens with their ids. Of equal tokens the last one is found by its bytes (as in Python's dictionaries), and each by
  /// its id.
  init(_ tokens: some Sequence<(token: String, id: Int)>) throws(Fault) {
    slots = []
    var isDense = true
    for (token, id) in tokens {
      guard id >= 0, id < 1 << 30 else { throw .idOutOfRange(token: token, id: id) }
      if id != ids.count { isDense = false }
      bytes.append(contentsOf: token.utf8)
      guard bytes.count < 1 << 30, ids.count < 1 << 28 else { throw .tooLarge }
      starts.append(Int32(bytes.count))
      ids.append(Int32(id))
      longest = max(longest, token.utf8.count)
      idLimit = max(idLimit, id + 1)
    }
    if !isDense {
      var places: [Int32: Int32] = [:]
      places.reserveCapacity(ids.count)
      for (place, id) in ids.enumerated() {
        if let other = places.updateValue(Int32(place), forKey: id) {
          throw .idTwice(id: Int(id), first: text(at: Int(other)), second: text(at: place))
        }
      }
      self.places = places
    }
    var capacity = 64
    while capacity < 2 * ids.count { capacity *= 2 }
    slots = [Int32](repeating: 0, count: capacity)
    bytes.withUnsafeBufferPointer { bytes in
      for place in ids.indices {
        let token = UnsafeBufferPointer(rebasing: bytes[Int(starts[place])..<Int(starts[place + 1])])
        slots[slot(of: token, hash(token), in: bytes)] = Int32(place + 1)
      }
    }
  }

  func hash(_ bytes: UnsafeBufferPointer<UInt8>) -> Hash {
    var hash = emptyHash
    for byte in bytes { hash.add(byte) }
    return hash
  }

  /// The slot that holds the token, or the empty one where it would be.
  @inline(__always)
  private func slot(of token: UnsafeBufferPointer<UInt8>, _ hash: Hash, in bytes: UnsafeBufferPointer<UInt8>) -> Int {
    let mask = slots.count - 1
    var slot = hash.slot(mask)
    while slots[slot] != 0 {
      let place = Int(slots[slot]) - 1
      let (start, end) = (Int(starts[place]), Int(starts[place + 1]))
      if end - start == token.count, equal(bytes.baseAddress! + start, token.baseAddress, token.count) { break }
      slot = (slot + 1) & mask
    }
    return slot
  }

  @inline(__always)
  private func equal(_ left: UnsafePointer<UInt8>, _ right: UnsafePointer<UInt8>?, _ count: Int) -> Bool {
    guard let right else { return count == 0 }
    for index in 0..<count where left[index] != right[index] { return false }
    return true
  }

  /// The id of the token with these bytes, of which `hash` is the hash.
  @inline(__always)
  func id(of token: UnsafeBufferPointer<UInt8>, hash: Hash) -> Int32? {
    bytes.withUnsafeBufferPointer { bytes in
      guard token.count <= longest, !ids.isEmpty else { return nil }
      let place = slots[slot(of: token, hash, in: bytes)]
      return place == 0 ? nil : ids[Int(place) - 1]
    }
  }

  /// The id of a token.
  func id(of token: String) -> Int32? {
    var token = token
    return token.withUTF8 { id(of: $0, hash: hash($0)) }
  }

  /// The token of an id.
  func token(_ id: Int32) -> String? { place(id).map(text(at:)) }

  /// The bytes of an id's token.
  func withBytes<Result>(of id: Int32, _ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result? {
    place(id).map { place in
      bytes.withUnsafeBufferPointer {
        body(UnsafeBufferPointer(rebasing: $0[Int(starts[place])..<Int(starts[place + 1])]))
      }
    }
  }

  private func place(_ id: Int32) -> Int? {
    if let places { return places[id].map(Int.init) }
    return ids.indices.contains(Int(id)) ? Int(id) : nil
  }

  private func text(at place: Int) -> String {
    String(decoding: bytes[Int(starts[place])..<Int(starts[place + 1])], as: UTF8.self)
  }

  /// All tokens with their ids, in the order in which they were given.
  var tokens: some Sequence<(token: String, id: Int)> {
    ids.indices.lazy.map { (token: text(at: $0), id: Int(ids[$0])) }
  }
}
