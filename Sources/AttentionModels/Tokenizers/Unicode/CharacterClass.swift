/// What tokenizers take a Unicode scalar for.
struct CharacterClass: OptionSet, Hashable, Sendable {
  let rawValue: UInt8

  /// Dropped from text: controls, formats and private use, but tab and line ends; U+0000 and U+FFFD.
  static let removed = CharacterClass(rawValue: 1 << 0)
  /// White space that ends a word.
  static let whitespace = CharacterClass(rawValue: 1 << 1)
  /// A word by itself.
  static let punctuation = CharacterClass(rawValue: 1 << 2)
  /// A mark without a width of its own (Mn), which stripping accents drops.
  static let nonspacingMark = CharacterClass(rawValue: 1 << 3)
  /// `\p{L}`
  static let letter = CharacterClass(rawValue: 1 << 4)
  /// `\p{N}`
  static let number = CharacterClass(rawValue: 1 << 5)
  /// `\s`
  static let space = CharacterClass(rawValue: 1 << 6)
  /// `\w`: letters, marks, decimal digits, connectors and joiners.
  static let word = CharacterClass(rawValue: 1 << 7)
}

extension CharacterClass {
  /// The class of a scalar.
  @inline(__always)
  init(of scalar: UInt32) { self = CharacterClasses.shared[scalar] }

  /// Ideographs that BERT's normalizer sets apart, as Hugging Face counts them: U+2B820 to U+2B91F are not among them.
  @inline(__always)
  static func isIdeograph(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0..<0x3400: false
    case 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xF900...0xFAFF, 0x20000...0x2A6DF, 0x2A700...0x2B81F, 0x2B920...0x2CEAF,
      0x2F800...0x2FA1F:
      true
    default: false
    }
  }
}

/// The classes of all scalars, in pages of 256 of which equal ones are kept once.
struct CharacterClasses: Sendable {
  static let shared = CharacterClasses()

  private var pages: [UInt16] = []
  private var classes: [CharacterClass] = []

  private init() {
    var known: [[CharacterClass]: UInt16] = [:]
    var next = 0
    var current = CharacterClass()
    for page in 0..<0x1100 {
      var content: [CharacterClass] = []
      content.reserveCapacity(256)
      for scalar in UInt32(page) << 8..<UInt32(page + 1) << 8 {
        while next < CharacterRuns.runs.count, CharacterRuns.runs[next] >> 8 <= scalar {
          current = CharacterClass(rawValue: UInt8(truncatingIfNeeded: CharacterRuns.runs[next]))
          next += 1
        }
        content.append(current)
      }
      if let place = known[content] {
        pages.append(place)
      } else {
        let place = UInt16(known.count)
        known[content] = place
        pages.append(place)
        classes += content
      }
    }
  }

  @inline(__always)
  subscript(scalar: UInt32) -> CharacterClass { classes[Int(pages[Int(scalar >> 8)]) << 8 | Int(scalar & 255)] }
}
