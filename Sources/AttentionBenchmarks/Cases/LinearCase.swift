import Attention

/// One linear map, as the command line writes it: `m12i384o1536-gelu`.
///
///     let one = try LinearCase.list(parsing: "m12,1024i384o1536")[0]
///     print(one)  // m12i384o1536
///
/// ``description`` is the canonical form: parsing it gives an equal case.
public struct LinearCase: Sendable, Hashable {
  /// M: the rows of the input.
  public let rows: Int
  /// The width of the input.
  public let inputs: Int
  /// The width of the output.
  public let outputs: Int
  /// What is applied to the output, if anything.
  public let activation: Activation?

  /// What `attention bench linear` measures unless told otherwise: the feed-forward maps of small and base models, of
  /// a few tokens and of many.
  public static let defaultList = "m12,32,1024i384o1536 m12,32,1024i1536o384 m12,32,1024i768o3072"

  private static let example = "m12i384o1536-gelu"
  private static let sizes = [("m", "m (rows)"), ("i", "i (inputs)"), ("o", "o (outputs)")]

  /// Reads cases between spaces or semicolons; a number in a case may be a list or a range as in
  /// ``BenchmarkCase/list(parsing:limits:)``. A case that comes twice is kept once. All cases have to fit into memory
  /// together.
  public static func list(
    parsing text: String, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [LinearCase] {
    var cases: [LinearCase] = []
    var known: Set<LinearCase> = []
    for word in BenchmarkCase.words(of: text) {
      for one in try expand(word, limits: limits) where known.insert(one).inserted {
        guard one.memoryEstimate <= Double(limits.memory) else {
          throw .tooLarge(case: one.description, bytes: Int(clamping: one.memoryEstimate), limit: limits.memory)
        }
        cases.append(one)
        guard cases.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
      }
    }
    guard !cases.isEmpty else {
      throw .syntax(text: text, at: 1, expected: "a case such as \(example)", found: "none")
    }
    guard cases.reduce(0, { $0 + $1.memoryEstimate }) <= Double(limits.memory) else {
      throw .tooLargeTogether(cases: cases.count, limit: limits.memory)
    }
    return cases
  }

  private static func expand(_ text: String, limits: CaseLimits) throws(BenchmarkCaseError) -> [LinearCase] {
    var scanner = CaseScanner(text)
    var found: [(name: String, values: [Int])] = []
    while let (name, _) = sizes.first(where: { scanner.skip($0.0) }) {
      guard !found.contains(where: { $0.name == name }) else { throw .repeated(text: text, field: name) }
      let values = try scanner.numbers(of: name, limit: limits.cases)
      guard values.allSatisfy({ $0 >= 1 }) else {
        throw .sizeOutOfRange(case: text, field: name, largest: CaseLimits.largestSize)
      }
      found.append((name, values))
    }
    for (name, meaning) in sizes where !found.contains(where: { $0.name == name }) {
      throw scanner.expected("\(meaning), as in \(example)")
    }
    var activation: Activation?
    if scanner.skip("-") {
      // The longest first: gelu is how geluTanh begins.
      let names = Activation.allCases.map(\.rawValue).sorted { $0.count > $1.count }
      guard let name = names.first(where: { scanner.skip($0) }) else {
        throw scanner.expected("one of the activations \(Activation.allCases.map(\.rawValue).joined(separator: ", "))")
      }
      activation = Activation(rawValue: name)
    }
    guard scanner.isAtEnd else {
      throw scanner.expected(activation == nil ? "an activation such as -gelu, or the end" : "the end")
    }
    return try BenchmarkCase.combinations(found, limit: limits.cases).map { chosen in
      LinearCase(
        rows: chosen["m"] ?? 0, inputs: chosen["i"] ?? 0, outputs: chosen["o"] ?? 0, activation: activation)
    }
  }

  /// The floating-point operations of the product.
  var operations: Double { 2 * Double(rows) * Double(inputs) * Double(outputs) }

  /// The bytes that measuring the case takes, roughly and from above: the weight as rows of both kinds and packed, the
  /// input, and results of each way with those that they are held against.
  var memoryEstimate: Double {
    let (rows, inputs, outputs) = (Double(rows), Double(inputs), Double(outputs) + 16)
    return 4 * (3 * inputs * outputs + rows * inputs + 6 * rows * outputs + outputs)
  }
}

extension LinearCase: CustomStringConvertible {
  /// The canonical form.
  public var description: String {
    "m\(rows)i\(inputs)o\(outputs)" + (activation.map { "-\($0.rawValue)" } ?? "")
  }
}

extension Int {
  fileprivate init(clamping value: Double) { self = value < Double(Int.max) ? Int(value) : .max }
}
