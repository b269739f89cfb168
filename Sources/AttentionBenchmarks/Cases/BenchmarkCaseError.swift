/// Why a text names no case that can be measured. ``description`` is one line that says what was expected.
public enum BenchmarkCaseError: Error, Sendable, Equatable {
  /// The text is not of the grammar; `at` counts characters from 1, `found` is what stands there.
  case syntax(text: String, at: Int, expected: String, found: String)
  /// A size that a case needs is missing.
  case missing(text: String, field: String)
  /// A size or suffix is given twice.
  case repeated(text: String, field: String)
  /// There is no case in the text.
  case empty
  /// A range whose end lies below its start, or whose step leads nowhere.
  case badRange(text: String, range: String)
  /// Lists and ranges give more cases than allowed.
  case tooMany(limit: Int)
  /// A size is 0 or larger than the largest.
  case sizeOutOfRange(case: String, field: String, largest: Int)
  /// The kv heads do not divide the query heads.
  case headsNotDivisible(case: String, heads: Int, keyValueHeads: Int)
  /// The product of the sizes overflows.
  case sizeOverflow(case: String)
  /// The tensors would not fit into memory.
  case tooLarge(case: String, bytes: Int, limit: Int)
  /// The text tells no lengths of sequences.
  case lengths(text: String, expected: String)
  /// Each case fits into memory, but not all of them at once.
  case tooLargeTogether(cases: Int, limit: Int)
}

extension BenchmarkCaseError: CustomStringConvertible {
  /// One line that says what was expected.
  public var description: String {
    switch self {
    case .syntax(let text, let at, let expected, let found):
      "case \(quoted(text)): expected \(expected) at character \(at), found \(found)"
    case .missing(let text, let field):
      "case \(quoted(text)): \(field) is missing; expected a case such as b8h12q512k512d64-causal"
    case .repeated(let text, let field): "case \(quoted(text)): \(field) is given twice"
    case .empty: "no case given; expected one such as b8h12q512k512d64-causal"
    case .badRange(let text, let range):
      "case \(quoted(text)): the range \(quoted(range)) leads nowhere; expected first-last, first-last+step or "
        + "first-last*factor with first ≤ last, a step of 1 or more and a factor of 2 or more"
    case .tooMany(let limit): "the lists and ranges give more than \(limit) cases; expected at most \(limit)"
    case .sizeOutOfRange(let name, let field, let largest):
      "case \(quoted(name)): \(field) is out of range; expected a size from 1 to \(largest)"
    case .headsNotDivisible(let name, let heads, let keyValueHeads):
      "case \(quoted(name)): \(heads) query heads do not form groups of \(keyValueHeads) kv heads; expected a divisor"
    case .sizeOverflow(let name): "case \(quoted(name)): the sizes multiply to more than memory can hold"
    case .tooLarge(let name, let bytes, let limit):
      "case \(quoted(name)): \(Decimals.bytes(bytes)) of memory are needed; expected at most \(Decimals.bytes(limit))"
    case .lengths(let text, let expected): "lengths \(quoted(text)): expected \(expected)"
    case .tooLargeTogether(let cases, let limit):
      "the \(cases) cases, which are measured in turns, do not fit into memory together; expected at most "
        + "\(Decimals.bytes(limit)): measure fewer at a time"
    }
  }
}

/// User's text for a message: on one line, and not longer than 80 characters.
func quoted(_ text: String) -> String {
  let start = String(text.unicodeScalars.prefix(80))
  return "'\(start.printable)\(text.unicodeScalars.count > 80 ? "…" : "")'"
}
