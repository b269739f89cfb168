import Attention

/// One layer, as the command line writes it: `block-t1024w384h12f1536`, `lstm-b32l128i384h384`, `layernorm-m16384w1024`.
///
///     let one = try LayerCase.list(parsing: "lstm,gru-b32l128i384h384")[0]
///     print(one)  // lstm-b32l128i384h384
///
/// ``description`` is the canonical form: parsing it gives an equal case.
public struct LayerCase: Sendable, Hashable {
  /// What the layer is.
  public enum Kind: String, Sendable, CaseIterable {
    /// An encoder block on a ragged batch, with its norms behind the sums.
    case block
    /// The same with its norms before the sublayers.
    case preblock
    /// Elman's, with tanh.
    case rnn
    /// Long short-term memory.
    case lstm
    /// Gated recurrent units.
    case gru
    /// Layer norm over rows.
    case layernorm
    /// RMS norm over rows.
    case rmsnorm
    /// Softmax over rows.
    case softmax
    /// GELU, by erf.
    case gelu

    /// The letters of its sizes and what they mean.
    var sizes: [(letter: String, meaning: String)] {
      switch self {
      case .block, .preblock: [("t", "t (tokens)"), ("w", "w (width)"), ("h", "h (heads)"), ("f", "f (feed-forward)")]
      case .rnn, .lstm, .gru: [("b", "b (batch)"), ("l", "l (length)"), ("i", "i (inputs)"), ("h", "h (hidden)")]
      case .layernorm, .rmsnorm, .softmax, .gelu: [("m", "m (rows)"), ("w", "w (width)")]
      }
    }

    /// A case to show.
    var example: String {
      switch self {
      case .block, .preblock: "\(self)-t1024w384h12f1536"
      case .rnn, .lstm, .gru: "\(self)-b32l128i384h384"
      case .layernorm, .rmsnorm, .softmax, .gelu: "\(self)-m16384w1024"
      }
    }

    /// Whether it does a few operations on each number: then memory is what bounds it.
    public var isRowwise: Bool { sizes.count == 2 }
    /// Whether it goes step by step.
    public var isRecurrent: Bool { [.rnn, .lstm, .gru].contains(self) }
  }

  /// What the layer is.
  public let kind: Kind
  /// Its sizes, in the order of their letters.
  public let sizes: [Int]

  /// What `attention bench layers` measures unless told otherwise.
  public static let defaultList =
    "block-t1024w384h12f1536 lstm,gru,rnn-b32l128i384h384 layernorm,rmsnorm,softmax,gelu-m16384w1024"

  /// Reads cases between spaces or semicolons; kinds may be a list, and a number a list or a range as in
  /// ``BenchmarkCase/list(parsing:limits:)``. A case that comes twice is kept once. All cases have to fit into memory
  /// together.
  public static func list(
    parsing text: String, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [LayerCase] {
    var cases: [LayerCase] = []
    var known: Set<LayerCase> = []
    for word in BenchmarkCase.words(of: text) {
      for one in try expand(word, limits: limits) where known.insert(one).inserted {
        guard one.memoryEstimate <= Double(limits.memory) else {
          throw .tooLarge(
            case: one.description, bytes: Int(min(one.memoryEstimate, 0x1p62)), limit: limits.memory)
        }
        cases.append(one)
        guard cases.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
      }
    }
    guard !cases.isEmpty else {
      throw .syntax(text: text, at: 1, expected: "a case such as \(Kind.lstm.example)", found: "none")
    }
    guard cases.reduce(0, { $0 + $1.memoryEstimate }) <= Double(limits.memory) else {
      throw .tooLargeTogether(cases: cases.count, limit: limits.memory)
    }
    return cases
  }

  private static func expand(_ text: String, limits: CaseLimits) throws(BenchmarkCaseError) -> [LayerCase] {
    var scanner = CaseScanner(text)
    var kinds: [Kind] = []
    repeat {
      let start = scanner
      guard let kind = Kind(rawValue: scanner.letters()) else {
        throw start.expected("one of \(Kind.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      guard kinds.isEmpty || kinds[0].sizes.map(\.letter) == kind.sizes.map(\.letter) else {
        throw start.expected("a layer with the sizes of \(kinds[0])")
      }
      guard !kinds.contains(kind) else { throw .repeated(text: text, field: kind.rawValue) }
      kinds.append(kind)
    } while scanner.skip(",")
    guard scanner.skip("-") else { throw scanner.expected("-, as in \(kinds[0].example)") }
    var found: [(name: String, values: [Int])] = []
    while let (name, _) = kinds[0].sizes.first(where: { scanner.skip($0.letter) }) {
      guard !found.contains(where: { $0.name == name }) else { throw .repeated(text: text, field: name) }
      let values = try scanner.numbers(of: name, limit: limits.cases)
      guard values.allSatisfy({ $0 >= 1 }) else {
        throw .sizeOutOfRange(case: text, field: name, largest: CaseLimits.largestSize)
      }
      found.append((name, values))
    }
    for (name, meaning) in kinds[0].sizes where !found.contains(where: { $0.name == name }) {
      throw scanner.expected("\(meaning), as in \(kinds[0].example)")
    }
    guard scanner.isAtEnd else { throw scanner.expected("the end") }
    var cases: [LayerCase] = []
    for kind in kinds {
      for chosen in try BenchmarkCase.combinations(found, limit: limits.cases) {
        let one = LayerCase(kind: kind, sizes: kind.sizes.map { chosen[$0.letter] ?? 0 })
        guard !one.isBlock || one.sizes[1] % one.sizes[2] == 0 else {
          throw .syntax(
            text: text, at: 1, expected: "a width that \(one.sizes[2]) heads divide", found: "\(one.sizes[1])")
        }
        cases.append(one)
      }
    }
    return cases
  }

  /// Whether it is a block of either form.
  var isBlock: Bool { kind == .block || kind == .preblock }

  /// The lengths of a block's sequences: 1 + 29k mod 63 for k = 0, 1, …, each length from 1 to 63 in turn, of mean 32; the
  /// last is cut to the tokens.
  package var lengths: [Int] {
    guard isBlock else { return kind.isRecurrent ? Array(repeating: sizes[1], count: sizes[0]) : [] }
    var (lengths, left, index) = ([Int](), sizes[0], 0)
    while left > 0 {
      lengths.append(min(left, 1 + index * 29 % 63))
      left -= lengths[lengths.count - 1]
      index = (index + 1) % 63
    }
    return lengths
  }

  /// The rows of the input.
  var rows: Int { kind.isRecurrent ? sizes[0] * sizes[1] : sizes[0] }
  /// The width of the input.
  var inputs: Int { kind.isRecurrent ? sizes[2] : sizes[1] }
  /// The width of the output.
  var outputs: Int { kind.isRecurrent ? sizes[3] : sizes[1] }

  /// The operations of products with weights, forward.
  private var linearOperations: Double {
    let numbers = sizes.map(Double.init)
    switch kind {
    case .block, .preblock: return 2 * numbers[0] * numbers[1] * (4 * numbers[1] + 2 * numbers[3])
    case .rnn, .lstm, .gru:
      let gates: Double = kind == .lstm ? 4 : kind == .gru ? 3 : 1
      return 2 * gates * numbers[0] * numbers[1] * numbers[3] * (numbers[2] + numbers[3])
    default: return 0
    }
  }

  /// The operations of attention over the real lengths, forward.
  private var attentionOperations: Double {
    guard isBlock else { return 0 }
    return lengths.reduce(0) { $0 + 4 * Double($1) * Double($1) } * Double(sizes[1])
  }

  /// Useful work forward; 0 where memory is what counts.
  var forwardOperations: Double { linearOperations + attentionOperations }
  /// Useful work forward and back: linear maps three times, attention three and a half times.
  var trainingOperations: Double { 3 * linearOperations + 3.5 * attentionOperations }

  /// The bytes that measuring the case takes, roughly and from above.
  var memoryEstimate: Double {
    let numbers = sizes.map(Double.init)
    switch kind {
    case .block, .preblock:
      let parameters = numbers[1] * (4 * numbers[1] + 2 * numbers[3] + 12) + numbers[3]
      return 4 * (8 * parameters + numbers[0] * (40 * numbers[1] + 8 * numbers[3])) + 8 * 16 * parameters
    case .rnn, .lstm, .gru:
      let gates: Double = kind == .lstm ? 4 : kind == .gru ? 3 : 1
      let parameters = gates * numbers[3] * (numbers[2] + numbers[3] + 2)
      return 4 * (8 * parameters + numbers[0] * numbers[1] * (6 * numbers[2] + 8 * (gates + 2) * numbers[3]))
        + 8 * 16 * parameters
    default: return 4 * 4 * numbers[0] * numbers[1]
    }
  }
}

extension LayerCase: CustomStringConvertible {
  /// The canonical form.
  public var description: String {
    "\(kind)-" + zip(kind.sizes, sizes).map { "\($0.letter)\($1)" }.joined()
  }
}
