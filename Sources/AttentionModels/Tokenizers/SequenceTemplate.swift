/// Where a model wants its texts and special tokens, such as `[CLS] A [SEP] B [SEP]`.
public struct SequenceTemplate: Sendable, Equatable {
  /// A part of a template.
  public enum Part: Sendable, Equatable {
    /// Tokens of the template, and the segment that they count to.
    case tokens(ids: [Int], segment: Int)
    /// The first text.
    case text(segment: Int)
    /// The second text.
    case pair(segment: Int)
  }

  /// The parts around one text.
  public var single: [Part]
  /// The parts around two texts.
  public var double: [Part]

  /// Creates a template from its parts.
  public init(single: [Part], double: [Part]) {
    self.single = single
    self.double = double
  }

  /// Nothing but the texts, all in segment 0, or the second in segment 1.
  public static let none = SequenceTemplate(
    single: [.text(segment: 0)], double: [.text(segment: 0), .pair(segment: 1)])

  /// BERT's: `[CLS] A [SEP]`, and `[CLS] A [SEP] B [SEP]` of which the last two are segment 1.
  public static func bert(begin: Int, end: Int) -> SequenceTemplate {
    SequenceTemplate(
      single: [.tokens(ids: [begin], segment: 0), .text(segment: 0), .tokens(ids: [end], segment: 0)],
      double: [
        .tokens(ids: [begin], segment: 0), .text(segment: 0), .tokens(ids: [end], segment: 0), .pair(segment: 1),
        .tokens(ids: [end], segment: 1),
      ])
  }

  /// All ids of its tokens.
  var ids: [Int] {
    (single + double).flatMap { part -> [Int] in if case .tokens(let ids, _) = part { ids } else { [] } }
  }

  /// The tokens that it adds.
  public func tokenCount(isPair: Bool) -> Int {
    (isPair ? double : single).reduce(0) { if case .tokens(let ids, _) = $1 { $0 + ids.count } else { $0 } }
  }
}

extension [SequenceTemplate.Part] {
  /// How often each of the two texts is there.
  var textCounts: (first: Int, second: Int) {
    reduce(into: (0, 0)) { counts, part in
      switch part {
      case .tokens: break
      case .text: counts.0 += 1
      case .pair: counts.1 += 1
      }
    }
  }
}
