import Foundation

extension BenchmarkCase {
  /// Reads one case, without lists or ranges.
  public init(parsing text: String, limits: CaseLimits = .init()) throws(BenchmarkCaseError) {
    let cases = try BenchmarkCase.expand(text, limits: limits)
    guard cases.count == 1 else { throw .tooMany(limit: 1) }
    self = cases[0]
  }

  /// Reads cases between spaces or semicolons; a number in a case may be a list or a range.
  ///
  ///     try BenchmarkCase.list(parsing: "b1,8h12q128-512*2d64; h32q512d128-kv8-causal")
  ///
  /// `128,512` is a list, `128-1024*2` counts 128, 256, 512, 1024, `64-256+64` counts 64, 128, 192, 256, and `1-4`
  /// counts by one; blanks may stand round a comma. The first size named changes slowest. A case that comes twice is kept
  /// once. All cases have to fit into memory together.
  public static func list(
    parsing text: String, limits: CaseLimits = .init()
  ) throws(BenchmarkCaseError) -> [BenchmarkCase] {
    let cases = try list(parsing: text, given: [:], limits: limits)
    var remaining = limits.memory
    for one in cases {
      remaining -= one.memoryEstimate ?? remaining
      guard remaining >= 0 else { throw .tooLargeTogether(cases: cases.count, limit: limits.memory) }
    }
    return cases
  }

  /// Reads cases whose sizes of some letters are known already, and are not in the text: `h32d128-kv8` with b, q and k
  /// given. Each case has to fit into memory, not all of them together.
  static func list(
    parsing text: String, given: [String: Int], limits: CaseLimits
  ) throws(BenchmarkCaseError) -> [BenchmarkCase] {
    var cases: [BenchmarkCase] = []
    var known: Set<BenchmarkCase> = []
    for word in words(of: text) {
      for one in try expand(word, given: given, limits: limits) where known.insert(one).inserted {
        cases.append(one)
        guard cases.count <= limits.cases else { throw .tooMany(limit: limits.cases) }
      }
    }
    guard !cases.isEmpty else { throw .empty }
    return cases
  }

  /// What stands between spaces and semicolons, where spaces beside a comma separate nothing.
  static func words(of text: String) -> [String] {
    text.split(separator: ";").flatMap { part in
      part.split(separator: ",", omittingEmptySubsequences: false)
        .map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }.joined(separator: ",")
        .split(whereSeparator: \.isWhitespace).map(String.init)
    }
  }

  /// The sizes that are letters, and the suffixes that carry numbers; `-causal` carries none.
  private static let sizeNames = ["b", "h", "q", "k", "d"]
  private static let suffixNames = ["kv", "v", "window", "softcap"]

  private static func expand(
    _ text: String, given: [String: Int] = [:], limits: CaseLimits
  ) throws(BenchmarkCaseError) -> [BenchmarkCase] {
    let sizeNames = sizeNames.filter { given[$0] == nil }
    var scanner = CaseScanner(text)
    var sizes: [(name: String, values: [Int])] = []
    func add(_ name: String, shown: String, _ values: [Int]) throws(BenchmarkCaseError) {
      guard !sizes.contains(where: { $0.name == name }) else { throw .repeated(text: text, field: shown) }
      sizes.append((name, values))
    }
    while let name = sizeNames.first(where: { scanner.skip($0) }) {
      try add(name, shown: name, try scanner.numbers(of: name, limit: limits.cases))
    }
    var isCausal = false
    while scanner.skip("-") {
      let name = scanner.letters()
      if name == "causal" {
        guard !isCausal else { throw .repeated(text: text, field: "-causal") }
        isCausal = true
        continue
      }
      guard suffixNames.contains(name) else {
        throw scanner.expected(
          "one of the suffixes -causal, -window, -kv, -v, -softcap", ahead: -name.utf8.count - 1)
      }
      try add("-\(name)", shown: "-\(name)", try scanner.numbers(of: "-\(name)", limit: limits.cases))
    }
    guard scanner.isAtEnd else {
      throw scanner.expected(
        sizes.count < 3
          ? "sizes such as \(given.isEmpty ? "b8h12q512k512d64" : "h12d64")"
          : "one of \(sizeNames.joined(separator: ", ")), a suffix such as -causal, or the end")
    }
    for (field, meaning) in [("h", "h (heads)"), ("q", "q (queries)"), ("d", "d (the width of a head)")]
    where given[field] == nil && !sizes.contains(where: { $0.name == field }) {
      guard given.isEmpty else { throw scanner.expected("\(meaning), as in h12d64-causal") }
      throw .missing(text: text, field: meaning)
    }
    return try combinations(sizes, limit: limits.cases).map { (named) throws(BenchmarkCaseError) in
      let chosen = named.merging(given) { $1 }
      return try BenchmarkCase(
        batch: chosen["b"] ?? 1, heads: chosen["h"] ?? 0, queryLength: chosen["q"] ?? 0, keyLength: chosen["k"],
        keyWidth: chosen["d"] ?? 0, keyValueHeads: chosen["-kv"], valueWidth: chosen["-v"], isCausal: isCausal,
        window: chosen["-window"], softcap: chosen["-softcap"], limits: limits)
    }
  }

  /// Every choice of one value for each size, the first size slowest.
  static func combinations(
    _ sizes: [(name: String, values: [Int])], limit: Int
  ) throws(BenchmarkCaseError) -> [[String: Int]] {
    var chosen: [[String: Int]] = [[:]]
    for (name, values) in sizes {
      // At most `limit` values each: the product of two such counts does not overflow.
      guard chosen.count * values.count <= limit else { throw .tooMany(limit: limit) }
      chosen = chosen.flatMap { known in values.map { known.merging([name: $0]) { $1 } } }
    }
    return chosen
  }
}
