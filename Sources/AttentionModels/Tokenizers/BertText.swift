/// BERT's way from text to words: BertNormalizer and BertPreTokenizer of Hugging Face's tokenizers, in one pass.
///
/// In order: controls dropped and white space made equal; space around ideographs; canonical decomposition without
/// nonspacing marks; lowercase, scalar by scalar; then words between white space, and each punctuation mark a word.
struct BertText: Sendable, Equatable {
  let cleansText: Bool
  let separatesIdeographs: Bool
  let stripsAccents: Bool
  let lowercases: Bool

  /// What becomes of an ASCII byte: 0 nothing, 1 the end of a word, 2 a word by itself, 3 a part of a word.
  private let asciiActions: [UInt8]
  /// Whether words are joined again, which leaves normalized text.
  private var joinsWords = false

  init(cleansText: Bool, separatesIdeographs: Bool, stripsAccents: Bool, lowercases: Bool) {
    self.cleansText = cleansText
    self.separatesIdeographs = separatesIdeographs
    self.stripsAccents = stripsAccents
    self.lowercases = lowercases
    asciiActions = (0..<UInt32(128)).map { byte in
      let kind = CharacterClass(of: byte)
      // What is removed comes before what is white space: U+001C is both.
      if cleansText, kind.contains(.removed) { return 0 }
      return kind.contains(.whitespace) ? 1 : kind.contains(.punctuation) ? 2 : 3
    }
  }

  /// Calls `body` with each word of `text`, until it answers false.
  ///
  /// - Parameters:
  ///   - text: UTF-8.
  ///   - firstScalar: where the text begins in its source, in scalars.
  ///   - word: memory for a word.
  /// - Returns: whether `body` always answered true.
  func forEachWord(
    _ text: UnsafeBufferPointer<UInt8>, firstScalar: Int, word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    var position = 0
    var scalar = Int32(truncatingIfNeeded: firstScalar)
    word.removeAll()
    var marks: [Mark] = []
    while position < text.count {
      let byte = text[position]
      if byte < 0x80 {
        guard flush(&marks, &word, body) else { return false }
        position += 1
        switch asciiActions[Int(byte)] {
        case 0: break
        case 1: guard end(&word, space: UInt32(byte), from: scalar, body) else { return false }
        case 2:
          guard end(&word, body) else { return false }
          word.append(byte, from: scalar)
          guard end(&word, body) else { return false }
        default:
          word.append(lowercases && (0x41...0x5A).contains(byte) ? byte + 32 : byte, from: scalar)
        }
        scalar += 1
        continue
      }
      let value = decodeScalar(text, &position)
      guard add(value, from: scalar, &marks, &word, body) else { return false }
      scalar += 1
    }
    guard flush(&marks, &word, body) else { return false }
    return word.finish(body)
  }

  /// A scalar beyond ASCII.
  private func add(
    _ value: UInt32, from origin: Int32, _ marks: inout [Mark], _ word: inout WordBuffer,
    _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    if cleansText, CharacterClass(of: value).contains(.removed) { return true }
    guard separatesIdeographs, CharacterClass.isIdeograph(value) else {
      return decompose(value, from: origin, &marks, &word, body)
    }
    return flush(&marks, &word, body) && end(&word, space: 0x20, from: origin, body)
      && decompose(value, from: origin, &marks, &word, body) && flush(&marks, &word, body)
      && end(&word, space: 0x20, from: origin, body)
  }

  /// A mark that waits for those after it: marks on one letter are put in order.
  private struct Mark {
    let scalar: UInt32
    let origin: Int32
    let order: UInt8
    /// Whether it is a further part of a scalar that was taken apart.
    let isFurther: Bool
  }

  private func decompose(
    _ value: UInt32, from origin: Int32, _ marks: inout [Mark], _ word: inout WordBuffer,
    _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    guard stripsAccents else { return put(value, from: origin, &word, body) }
    func add(_ part: UInt32, isFurther: Bool) -> Bool {
      let order = ScalarMapping.combiningClass(of: part)
      if order > 0 {
        marks.append(Mark(scalar: part, origin: origin, order: order, isFurther: isFurther))
        return true
      }
      guard flush(&marks, &word, body) else { return false }
      return CharacterClass(of: part).contains(.nonspacingMark) || put(part, from: origin, &word, body)
    }
    guard let parts = ScalarMapping.decomposition(of: value) else { return add(value, isFurther: false) }
    return parts.indices.allSatisfy { add(parts[$0], isFurther: $0 > 0) }
  }

  @inline(__always)
  private func flush(_ marks: inout [Mark], _ word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool) -> Bool {
    marks.isEmpty || putInOrder(&marks, &word, body)
  }

  private func putInOrder(
    _ marks: inout [Mark], _ word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    defer { marks.removeAll(keepingCapacity: true) }
    func isStripped(_ mark: Mark) -> Bool { CharacterClass(of: mark.scalar).contains(.nonspacingMark) }
    // Nearly always all of them go.
    guard !marks.allSatisfy(isStripped) else { return true }
    let ordered = marks.enumerated().sorted { ($0.element.order, $0.offset) < ($1.element.order, $1.offset) }
    // The scalars of the source are taken in their order, whatever order the marks are in now.
    var places = marks.lazy.filter { !$0.isFurther }.map(\.origin).makeIterator()
    var place = marks[0].origin
    return ordered.allSatisfy { _, mark in
      if !mark.isFurther { place = places.next() ?? place }
      return isStripped(mark) || put(mark.scalar, from: place, &word, body)
    }
  }

  /// A normalized scalar but for its case.
  private func put(
    _ value: UInt32, from origin: Int32, _ word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    guard lowercases else { return split(value, from: origin, &word, body) }
    let (first, second) = ScalarMapping.lowercase(value)
    guard split(first, from: origin, &word, body) else { return false }
    return second.map { split($0, from: origin, &word, body) } ?? true
  }

  private func split(
    _ value: UInt32, from origin: Int32, _ word: inout WordBuffer, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    let kind = CharacterClass(of: value)
    if kind.contains(.whitespace) { return end(&word, space: value, from: origin, body) }
    guard kind.contains(.punctuation) else {
      word.append(scalar: value, from: origin)
      return true
    }
    guard end(&word, body) else { return false }
    word.append(scalar: value, from: origin)
    return end(&word, body)
  }

  /// Ends a word, or goes on with white space in it.
  @inline(__always)
  private func end(
    _ word: inout WordBuffer, space: UInt32? = nil, from origin: Int32 = 0, _ body: (inout WordBuffer) -> Bool
  ) -> Bool {
    guard joinsWords else { return word.finish(body) }
    if let space { word.append(scalar: cleansText ? 0x20 : space, from: origin) }
    return true
  }

  // MARK: Normalized text

  /// Text after normalization, words not yet split.
  func normalized(_ text: UnsafeBufferPointer<UInt8>, firstScalar: Int) -> WordBuffer {
    var joining = self
    joining.joinsWords = true
    var result = WordBuffer()
    var word = WordBuffer()
    _ = joining.forEachWord(text, firstScalar: firstScalar, word: &word) { word in
      result = word
      return true
    }
    return result
  }

  /// How normalized text is split into words: as it is.
  static let normalizedWords = BertText(
    cleansText: false, separatesIdeographs: false, stripsAccents: false, lowercases: false)
}
