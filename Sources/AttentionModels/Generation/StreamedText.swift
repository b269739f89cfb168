/// Text from tokens as they come: what is certain of it, and none of a stop string.
///
/// Held back are the bytes of a scalar that is not whole yet, and what may be the beginning of a stop string. All pieces
/// together are the text of all tokens, up to the first stop string.
package struct StreamedText<Text: Tokenizer>: Sendable {
  private let tokenizer: Text
  private let stops: [[UInt8]]
  /// Every token so far from the last place on where the text was whole.
  private var window: [Int] = []
  /// The bytes of the window's text that were taken, and how many of its tokens give them.
  private var taken = 0
  /// Taken, and not given out.
  private var held: [UInt8] = []
  /// Whether a stop string was found.
  package private(set) var isStopped = false

  package init(_ tokenizer: Text, stopStrings: [String]) {
    self.tokenizer = tokenizer
    stops = stopStrings.map { Array($0.utf8) }
  }

  /// Takes a token, and gives out what is certain.
  package mutating func append(_ id: Int) -> String {
    window.append(id)
    var text = Array(tokenizer.decode(window).utf8)
    let isWhole = !text.suffix(3).elementsEqual(StreamedText.replacement)
    // The last scalar may be the beginning of one that goes on.
    if !isWhole { text.removeLast(3) }
    let new = text.dropFirst(taken)
    taken = max(taken, text.count)
    if isWhole {
      // The last token stays: what comes next may look different behind it.
      window.removeFirst(window.count - 1)
      taken = tokenizer.decode(window).utf8.count
    }
    return given(new)
  }

  /// Gives out the rest: there are no more tokens.
  package mutating func finish() -> String {
    guard !isStopped else { return "" }
    let rest = Array(tokenizer.decode(window).utf8).dropFirst(taken)
    let text = given(rest)
    defer { held = [] }
    return isStopped ? text : text + String(decoding: held, as: UTF8.self)
  }

  /// U+FFFD, which stands for bytes that are no scalar.
  private static var replacement: [UInt8] { [0xEF, 0xBF, 0xBD] }

  private mutating func given(_ new: ArraySlice<UInt8>) -> String {
    guard !isStopped, !new.isEmpty else { return "" }
    held += new
    for start in held.indices {
      let rest = held[start...]
      if stops.contains(where: { rest.starts(with: $0) }) {
        defer { held = [] }
        isStopped = true
        return String(decoding: held[..<start], as: UTF8.self)
      }
    }
    // From here on it may become one.
    let start = held.indices.first { start in stops.contains { $0.starts(with: held[start...]) } } ?? held.endIndex
    let text = String(decoding: held[..<start], as: UTF8.self)
    held.removeFirst(start)
    return text
  }
}
